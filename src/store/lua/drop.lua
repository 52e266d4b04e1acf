#!lua flags=allow-oom
-- drop: forgets a dead letter: what was asked for goes, the job's record stays its time.
-- uses: base, events, acts
-- KEYS 1 part:meta  2 job  3 payload  4 part:deadletters  5 part:finished
-- ARGV 1 time or ''  2 job  3 reason  4 actor
-- replies: dropped hold_ucr account | replayed (the same) | redriven job | not_dead state | unknown_job
-- invariant: nothing of anybody's money moves; its hold ended when the job did.

local part = load_part()
local v = redis.call('HMGET', KEYS[2], 'state', 'account', 'hold_ucr', 'redriven_as', 'dropped_at')
if not v[1] then return { 'unknown_job' } end
if v[5] then return { 'replayed', v[3], v[2] } end -- guard: drop_once
if v[4] then return { 'redriven', v[4] } end -- guard: drop_redriven
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return { 'not_dead', v[1] } end -- guard: drop_dead_letter
touch(KEYS[3], KEYS[5], PREFIX .. 'part:acts', PREFIX .. 'part:events', key('timeline', ARGV[2]))

-- point of no return
redis.call('HSET', KEYS[2], 'dropped_at', int(part.now))
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[5], int(part.now), ARGV[2])
event(part, ARGV[2], v[2], 'dropped', ARGV[4])
note_act(part, ARGV[4], 'drop', ARGV[2], ARGV[3], '')
return { 'dropped', v[3], v[2] }
