#!lua flags=allow-oom
-- restore_job: brings back a job that has ended and that the store has lost, with the key under which it was sent.
-- uses: base, events
-- KEYS 1 part:meta  2 part:restoring  3 part:finished  4 job  5 work  6 timeline
-- ARGV 1 time or ''  2 restoration id  3 job  4 result or ''  5 what it was charged from or ''  6 timeline or ''
--      7.. the fields of its hash and their texts, in turn
-- replies: done | again | not_restoring
-- invariant: no credit moves. What is sent again with the job's key is answered with the job, and is not a second
--            one; a later job under the same key keeps it, unless that one was itself lost.

local part = load_part()
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[2] then return { 'not_restoring' } end -- guard: restore_job_under_way
if redis.call('EXISTS', KEYS[4]) == 1 then return { 'again' } end -- guard: restore_job_absent
local fields = {}
for i = 7, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
local account, created = fields.account, tonumber(fields.created_at)
local ended = tonumber(fields.finished_at) or part.now
local idem_key = fields.idem and key('idem', account .. ':' .. fields.idem)
local holder = idem_key and redis.call('GET', idem_key)
local other = holder and redis.call('HMGET', key('job', holder), 'created_at', 'fail_class') or {}
if other[1] and other[2] ~= 'lost' and tonumber(other[1]) > created then idem_key = nil end -- guard: restore_job_key
touch(KEYS[3], KEYS[5], KEYS[6], key('jobs', account))

-- point of no return
redis.call('HSET', KEYS[4], unpack(ARGV, 7))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[5], 'artifact', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[5], 'taken', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('SET', KEYS[6], ARGV[6]) end
redis.call('ZADD', key('jobs', account), int(created), ARGV[3])
redis.call('ZADD', KEYS[3], int(ended), ARGV[3])
if idem_key then redis.call('SET', idem_key, ARGV[3]) end
return { 'done' }
