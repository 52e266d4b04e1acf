#!lua flags=allow-oom
-- key_used: notes that an API key was used, at most once a minute.
-- uses: base, events
-- KEYS 1 part:meta  2 apikey
-- ARGV 1 time or ''
-- replies: noted | lately | unknown_key
-- invariant: nothing but the time is written, and nothing where the key is gone.

local part = load_part()
local now = redis.call('HMGET', KEYS[2], 'kind', 'used_at')
if not now[1] then return { 'unknown_key' } end -- guard: key_used_known
if part.now - (tonumber(now[2]) or 0) < 60000 then return { 'lately' } end -- guard: key_used_seldom

-- point of no return
redis.call('HSET', KEYS[2], 'used_at', int(part.now))
return { 'noted' }
