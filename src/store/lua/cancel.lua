#!lua flags=allow-oom
-- cancel: ends a waiting job now; flags a running one, which the worker or the sweep then ends.
-- uses: base, events, account, expiry, caps, hold, queue, job, hooks
-- KEYS 1 part:meta  2 job
-- ARGV 1 time or ''  2 job  3 grace_ms  4 actor
-- replies: cancelled released_ucr | cancelling | ended state | unknown_job
-- invariant: after the flag no later word of the worker can charge the job; what ran out of time before
--            ends as timed_out, also where no sweep has come by yet.

local part = load_part()
local job = load_job(ARGV[2])
if not job then return { 'unknown_job' } end
if ENDINGS[job.state] then return { 'ended', job.state } end -- guard: cancel_once
if job.state == 'running' then
  if job.cancel_at > 0 then return { 'cancelling' } end -- guard: cancel_flagged
  touch(key('stops', job.worker), PREFIX .. 'part:control', key('timeline', job.id))
  local until_ms = math.min(job.deadline_at, part.now + tonumber(ARGV[3]))
  -- point of no return
  redis.call('HSET', KEYS[2], 'cancel_at', int(part.now))
  redis.call('ZADD', PREFIX .. 'part:deadlines', int(until_ms), job.id)
  redis.call('SADD', key('stops', job.worker), job.id)
  redis.call('XADD', PREFIX .. 'part:control', 'MAXLEN', '~', 1000, '*', 'w', job.worker)
  event(part, job.id, job.account, 'cancelling', ARGV[4])
  return { 'cancelling' }
end
local o = { state = 'cancelled', class = '', capture = 0, absorbed = 0, by = 'cancel', detail = ARGV[4] }
local over_at = job.deadline_at > 0 and job.deadline_at or tonumber(redis.call('HGET', KEYS[2], 'ttl_at'))
if part.now >= over_at then o.state, o.class, o.detail = 'timed_out', 'timeout', nil end -- guard: cancel_deadline
local plan = plan_end(part, job, o)
-- point of no return
if o.state == 'timed_out' then
  commit_end(part, plan, { 'token', '' })
  return { 'ended', o.state }
end
commit_end(part, plan, { 'token', '', 'cancel_at', int(part.now) })
return { 'cancelled', int(plan.released) }
