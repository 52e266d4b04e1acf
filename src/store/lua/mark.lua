#!lua flags=allow-oom
-- mark: a write behind all others, so that a connection has something to wait for.
-- uses: base, events
-- KEYS 1 part:meta
-- ARGV 1 time or ''
-- replies: marked
-- invariant: nothing reads it.

local part = load_part()

-- point of no return
redis.call('SET', PREFIX .. 'part:mark', int(part.now))
return { 'marked' }
