#!lua flags=allow-oom
-- force_fail: an operator ends an open job, whatever it is doing, and everything goes back.
-- uses: base, events, account, expiry, caps, hold, queue, job, acts, hooks
-- KEYS 1 part:meta  2 job
-- ARGV 1 time or ''  2 job  3 class  4 reason  5 actor
-- replies: ended state released_ucr | replayed (the same) | over state | unknown_job
-- invariant: no later word of a worker can charge the job; what was decided before stands above the
--            operator: past its deadline it ends as timed_out, with a cancel pending as cancelled.

local part = load_part()
local job = load_job(ARGV[2])
if not job then return { 'unknown_job' } end
if ENDINGS[job.state] then -- guard: force_fail_once
  local mine = redis.call('HMGET', KEYS[2], 'ended_by', 'released_ucr')
  if mine[1] then return { 'replayed', job.state, mine[2] } end
  return { 'over', job.state }
end
local o = { state = 'failed', class = ARGV[3], capture = 0, absorbed = 0, by = 'operator' }
local over_at = job.deadline_at > 0 and job.deadline_at or tonumber(redis.call('HGET', KEYS[2], 'ttl_at'))
if part.now >= over_at then -- guard: force_fail_deadline
  o.state, o.class = 'timed_out', 'timeout'
elseif job.cancel_at > 0 then -- guard: force_fail_cancelled
  o.state, o.class = 'cancelled', ''
end
local plan = plan_end(part, job, o)
touch(PREFIX .. 'part:acts', PREFIX .. 'part:control', key('stops', job.worker))

-- point of no return
commit_end(part, plan, { 'token', '', 'ended_by', ARGV[5], 'end_reason', ARGV[4], 'message', 'ended by an operator' })
note_act(part, ARGV[5], 'force_fail', job.id, ARGV[4], o.state .. ' ' .. o.class .. ' ' .. int(plan.released))
return { 'ended', o.state, int(plan.released) }
