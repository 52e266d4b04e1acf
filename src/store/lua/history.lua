#!lua flags=allow-oom
-- history: notes up to which entry the journal is committed outside the store; trimming waits for it.
-- uses: base, events
-- KEYS 1 part:meta
-- ARGV 1 time or ''  2 sequence; 0 = none yet, but there is such a history
-- replies: noted seq
-- invariant: the mark never goes back.

local was = tonumber(redis.call('HGET', KEYS[1], 'history_seq') or '-1')
if tonumber(ARGV[2]) <= was then return { 'noted', int(was) } end -- guard: history_forward

-- point of no return
redis.call('HSET', KEYS[1], 'history_seq', ARGV[2])
return { 'noted', ARGV[2] }
