#!lua flags=allow-oom
-- fail: tries that did not succeed: again later with the same hold, or the end with a full release.
-- uses: base, events, account, expiry, caps, hold, queue, job, batch, hooks, costs
-- KEYS 1 part:meta
-- ARGV 1 time or ''  2.. ten of each job: job, token, again | end, class, what to tell the user, delay_ms,
--      tries spent from now on, route from now on, '1' = the submission has its verdict, what it cost
--      (lib/costs.lua) or ''
-- replies: an answer of each job: rescheduled due_at_ms | failed | timed_out | cancelled | fenced | error why
-- invariant: while a job may run again its hold stands; when it ends, all of it goes back.

local part = load_part()

local function fail(at)
  local id, token, action, class, message, delay_ms, tries, route, verdict, cost = unpack(ARGV, at, at + 9)
  local job = load_job(id)
  if not job or job.token ~= token then return { 'fenced' } end -- guard: fail_fence
  if ENDINGS[job.state] then return { job.state == 'succeeded' and 'fenced' or job.state } end -- guard: fail_once
  if job.state ~= 'running' then return { 'fenced' } end -- guard: fail_running
  local spent = read_cost(cost)
  if verdict ~= '1' or job.open_submission ~= '1' then spent = nil end -- guard: fail_cost_once
  job.cost = cost
  if verdict == '1' then job.open_submission = '' end
  local o = { state = 'failed', class = class, capture = 0, absorbed = 0, by = 'worker', detail = class }
  if part.now >= job.deadline_at then -- guard: fail_deadline
    o.state, o.class, o.detail = 'timed_out', 'timeout', 'late'
  elseif job.cancel_at > 0 then -- guard: fail_cancelled
    o.state, o.class, o.detail = 'cancelled', '', ''
  end
  if action == 'end' or o.state ~= 'failed' then
    local plan = plan_end(part, job, o)
    -- point of no return
    commit_end(part, plan, { 'message', message })
    book_cost(part, job, o.state == 'failed' and class or o.state, '0', spent)
    return { o.state }
  end
  local active = active_key(job.account, job.queue)
  local freed = redis.call('SISMEMBER', active, id)
  local admit = plan_admit(job.account, job.queue, limit_now(job.account, job.queue, job.max_active), freed, id)
  local due = int(part.now + tonumber(delay_ms))

  -- point of no return
  if job.open_submission == '1' then write_obligation(part, job, class) end
  book_cost(part, job, class, '0', spent)
  drop_entry(part, job)
  redis.call('HSET', key('job', id), 'state', 'scheduled', 'token', '', 'worker', '', 'stage', '', 'open_submission', '',
    'stream', '', 'entry', '', 'tries', tries, 'route', route, 'due_at', due, 'fail_class', class, 'message', message,
    'lane', 'front')
  redis.call('HDEL', key('work', id), 'intent', 'handle', 'artifact')
  redis.call('SREM', active, id)
  redis.call('ZADD', PREFIX .. 'part:due', due, id)
  commit_admit(admit)
  event(part, id, job.account, 'retry', class .. ' ' .. due)
  return { 'rescheduled', due }
end

return each_item(part, 2, 10, fail)
