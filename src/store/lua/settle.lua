#!lua flags=allow-oom
-- settle: ends a successful job: capture, release, acknowledge, journal, next of the lane.
-- uses: base, account, caps, hold, queue, job, hooks
-- KEYS 1 part:meta  2 job  3 work
-- ARGV 1 time or ''  2 job  3 token  4 captured_ucr  5 absorbed_ucr  6 measured_ms or ''
--      7 billable_ms or ''  8 flags  9 result as JSON
-- replies: settled captured_ucr released_ucr | replayed captured_ucr released_ucr
--          | mismatch captured_ucr absorbed_ucr | fenced | timed_out | cancelled | above_ceiling hold_ucr
-- invariant: a hold ends once, and never for more than its ceiling.

local part, capture, absorbed = load_part(), tonumber(ARGV[4]), tonumber(ARGV[5])
local job = load_job(ARGV[2])
if not job or job.token ~= ARGV[3] then return { 'fenced' } end -- guard: settle_fence
if ENDINGS[job.state] then -- guard: settle_once
  if job.state ~= 'succeeded' then return { job.state == 'failed' and 'fenced' or job.state } end
  local was = redis.call('HMGET', KEYS[2], 'captured_ucr', 'absorbed_ucr')
  local captured_was, absorbed_was = tonumber(was[1]), tonumber(was[2] or '0')
  if captured_was ~= capture or absorbed_was ~= absorbed then -- guard: settle_mismatch
    return { 'mismatch', int(captured_was), int(absorbed_was) }
  end
  return { 'replayed', int(captured_was), int(job.hold_ucr - captured_was) }
end
if job.state ~= 'running' then return { 'fenced' } end -- guard: settle_running
local o = { state = 'succeeded', class = '', capture = capture, absorbed = absorbed, by = 'worker' }
if part.now >= job.deadline_at then -- guard: settle_deadline
  o = { state = 'timed_out', class = 'timeout', capture = 0, absorbed = 0, by = 'worker', detail = 'late' }
elseif job.cancel_at > 0 then -- guard: settle_cancelled
  o = { state = 'cancelled', class = '', capture = 0, absorbed = 0, by = 'worker' }
elseif capture > job.hold_ucr then -- guard: settle_ceiling
  return { 'above_ceiling', int(job.hold_ucr) }
end
local plan = plan_end(part, job, o)

-- point of no return
commit_end(part, plan, { 'measured_ms', ARGV[6], 'billable_ms', ARGV[7], 'flags', ARGV[8] })
if o.state ~= 'succeeded' then return { o.state } end
redis.call('HSET', KEYS[3], 'artifact', ARGV[9], 'taken', plan.trail.memo)
return { 'settled', int(capture), int(plan.released) }
