#!lua flags=allow-oom
-- defer: puts a job back without spending a try: limits, an open breaker, a hand-over.
-- uses: base, events, account, expiry, caps, hold, queue, job, hooks, costs
-- KEYS 1 part:meta  2 job  3 work
-- ARGV 1 time or ''  2 job  3 token  4 delay_ms  5 reason  6 '1' = keep intent and handle
--      7 '1' = ahead of new work (hand-over): the job had its turn, and its deadline goes on
--      8 what the submission cost, where it is not kept (lib/costs.lua), or ''
-- replies: deferred due_at_ms | fenced | cancelled | timed_out
-- invariant: the job stays active for its account, and its hold stands.

local part, keep = load_part(), ARGV[6] == '1'
local job = load_job(ARGV[2])
if not job or job.state ~= 'running' or job.token ~= ARGV[3] then return { 'fenced' } end -- guard: defer_fence
local spent = read_cost(ARGV[8])
if keep or job.open_submission ~= '1' then spent = nil end -- guard: defer_cost_once
local state = part.now >= job.deadline_at and 'timed_out' or job.cancel_at > 0 and 'cancelled' or nil
if state then
  if not keep then job.open_submission = '' end
  local plan = plan_end(part, job, { state = state, class = state == 'timed_out' and 'timeout' or '', capture = 0,
    absorbed = 0, by = 'worker' })
  -- point of no return
  commit_end(part, plan, {})
  book_cost(part, job, state, '0', spent)
  return { state }
end
touch(KEYS[3], key('timeline', job.id))
local delay = tonumber(ARGV[4])
local due = part.now + delay

-- point of no return
drop_entry(part, job)
redis.call('HSET', KEYS[2], 'state', 'scheduled', 'token', '', 'worker', '', 'stream', '', 'entry', '', 'due_at', int(due))
if not keep then
  redis.call('HSET', KEYS[2], 'stage', '', 'open_submission', '')
  redis.call('HDEL', KEYS[3], 'intent', 'handle', 'artifact')
  job.stage = ''
end
if delay > 0 then
  redis.call('ZADD', PREFIX .. 'part:due', int(due), job.id)
else
  local class = job.class
  if job.stage ~= '' or ARGV[7] == '1' then class = 'resume' end -- guard: hand_over_ahead
  enqueue(job.id, job.queue, class)
end
book_cost(part, job, ARGV[5], '0', spent)
event(part, job.id, job.account, 'deferred', ARGV[5])
return { 'deferred', int(due) }
