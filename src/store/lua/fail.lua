#!lua flags=allow-oom
-- fail: a try that did not succeed: again later with the same hold, or the end with a full release.
-- uses: base, account, caps, hold, queue, job
-- KEYS 1 part:meta  2 job  3 work
-- ARGV 1 time or ''  2 job  3 token  4 again | end  5 class  6 what to tell the user
--      7 delay_ms  8 tries spent from now on  9 route from now on  10 '1' = the submission has its verdict
-- replies: rescheduled due_at_ms | failed | timed_out | cancelled | fenced
-- invariant: while a job may run again its hold stands; when it ends, all of it goes back.

local part, action = load_part(), ARGV[4]
local job = load_job(ARGV[2])
if not job or job.token ~= ARGV[3] then return { 'fenced' } end -- guard: fail_fence
if ENDINGS[job.state] then return { job.state == 'succeeded' and 'fenced' or job.state } end -- guard: fail_once
if job.state ~= 'running' then return { 'fenced' } end -- guard: fail_running
if ARGV[10] == '1' then job.open_submission = '' end
local o = { state = 'failed', class = ARGV[5], capture = 0, absorbed = 0, by = 'worker', detail = ARGV[5] }
if part.now >= job.deadline_at then -- guard: fail_deadline
  o.state, o.class, o.detail = 'timed_out', 'timeout', 'late'
elseif job.cancel_at > 0 then -- guard: fail_cancelled
  o.state, o.class, o.detail = 'cancelled', '', ''
end
if action == 'end' or o.state ~= 'failed' then
  local plan = plan_end(part, job, o)
  -- point of no return
  commit_end(part, plan, { 'message', ARGV[6] })
  return { o.state }
end
touch(KEYS[3], key('timeline', job.id), active_key(job.account, job.queue), lane_key(job.account, job.queue),
  key('ready', job.stream), PREFIX .. 'part:due', PREFIX .. 'part:events')
if job.open_submission == '1' then touch_obligation(job) end
local freed = redis.call('SISMEMBER', active_key(job.account, job.queue), job.id)
local admit = plan_admit(job.account, job.queue, limit_now(job.account, job.queue, job.max_active), freed, job.id)
local due = part.now + tonumber(ARGV[7])

-- point of no return
if job.open_submission == '1' then write_obligation(part, job, ARGV[5]) end
drop_entry(job)
redis.call('HSET', KEYS[2], 'state', 'scheduled', 'token', '', 'worker', '', 'stage', '', 'open_submission', '',
  'stream', '', 'entry', '', 'tries', ARGV[8], 'route', ARGV[9], 'due_at', int(due), 'fail_class', ARGV[5],
  'message', ARGV[6], 'lane', 'front')
redis.call('HDEL', KEYS[3], 'intent', 'handle', 'artifact')
redis.call('SREM', active_key(job.account, job.queue), job.id)
redis.call('ZADD', PREFIX .. 'part:due', int(due), job.id)
commit_admit(admit)
event(part, job.id, job.account, 'retry', ARGV[5] .. ' ' .. int(due))
return { 'rescheduled', int(due) }
