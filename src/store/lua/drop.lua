#!lua flags=allow-oom
-- drop: lets a dead letter go; its parameters go with it.
-- uses: base, acts
-- KEYS 1 part:meta  2 job  3 payload  4 part:deadletters  5 part:finished
-- ARGV 1 time or ''  2 job  3 actor  4 reason
-- replies: dropped | replayed | unknown_job | not_dead state | redriven job
-- invariant: no money moves: a dead letter has given everything back when it ended.

local job = redis.call('HMGET', KEYS[2], 'state', 'account', 'dropped_at', 'redriven_as')
if not job[1] then return { 'unknown_job' } end
if job[3] then return { 'replayed' } end -- guard: drop_once
if job[4] then return { 'redriven', job[4] } end -- guard: drop_redriven
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return { 'not_dead', job[1] } end -- guard: drop_dead
local part = load_part()
touch(KEYS[3], KEYS[5])

-- point of no return
redis.call('HSET', KEYS[2], 'dropped_at', int(part.now))
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[5], int(part.now), ARGV[2])
event(part, ARGV[2], job[2], 'dropped', '')
note_act(part, ARGV[3], 'drop', ARGV[2], ARGV[4], '')
return { 'dropped' }
