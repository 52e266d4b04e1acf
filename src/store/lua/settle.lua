#!lua flags=allow-oom
-- settle: ends successful jobs: capture, release, acknowledge, journal, next of the lane.
-- uses: base, events, account, expiry, caps, hold, queue, job, batch, hooks, costs
-- KEYS 1 part:meta
-- ARGV 1 time or ''  2.. nine of each job: job, token, captured_ucr, absorbed_ucr, measured_ms or '',
--      billable_ms or '', flags, result as JSON, what the submission cost (lib/costs.lua) or ''
-- replies: an answer of each job: settled captured_ucr released_ucr | replayed captured_ucr released_ucr
--          | mismatch captured_ucr absorbed_ucr | fenced | timed_out | cancelled | above_ceiling hold_ucr
--          | error why
-- invariant: a hold ends once, and never for more than its ceiling.

local part = load_part()

local function settle(at)
  local id, token, captured_ucr, absorbed_ucr, measured_ms, billable_ms, flags, result, cost = unpack(ARGV, at, at + 8)
  local capture, absorbed = tonumber(captured_ucr), tonumber(absorbed_ucr)
  local job = load_job(id)
  if not job or job.token ~= token then return { 'fenced' } end -- guard: settle_fence
  if ENDINGS[job.state] then -- guard: settle_once
    if job.state ~= 'succeeded' then return { job.state == 'failed' and 'fenced' or job.state } end
    local was = redis.call('HMGET', key('job', id), 'captured_ucr', 'absorbed_ucr')
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
  local plan, spent = plan_end(part, job, o), read_cost(cost)
  if job.open_submission ~= '1' then spent = nil end -- guard: settle_cost_once
  if cost ~= '' then job.cost = cost end

  -- point of no return
  commit_end(part, plan, { 'measured_ms', measured_ms, 'billable_ms', billable_ms, 'flags', flags })
  if o.state ~= 'succeeded' then return { o.state } end
  book_cost(part, job, o.state, captured_ucr, spent)
  redis.call('HSET', key('work', id), 'artifact', result, 'taken', plan.trail.memo)
  return { 'settled', captured_ucr, plan.released_text }
end

return each_item(part, 2, 9, settle)
