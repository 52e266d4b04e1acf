#!lua flags=allow-oom
-- checkpoint: writes down how far submissions have come, before the next step of each is taken.
-- uses: base, events, account, expiry, caps, hold, queue, job, batch, hooks
-- KEYS 1 part:meta
-- ARGV 1 time or ''  2.. five of each job: job, token, intent | handle | artifact, the record as JSON,
--      submission (intent only): the number that this intent gets
-- replies: an answer of each job: noted submissions | fenced | cancelled | timed_out | out_of_order submissions
--          | error why
-- invariant: submissions rises by one with each intent, never twice for one number.
--
-- Registered twice: with `intent` it is refused when memory is full (it stands before the POST, so that
-- is safe); a handle or an artifact is always written.

local part = load_part()

local function checkpoint(at)
  local id, token, what, record, submission = unpack(ARGV, at, at + 4)
  local job = load_job(id)
  if not job or job.state ~= 'running' or job.token ~= token then return { 'fenced' } end -- guard: checkpoint_fence
  local submissions = job.submissions
  if what == 'intent' then
    if job.cancel_at > 0 then return { 'cancelled' } end -- guard: intent_cancelled
    if part.now >= job.deadline_at then return { 'timed_out' } end -- guard: intent_deadline
    local wanted = tonumber(submission)
    local again = wanted == submissions and job.stage == 'intent'
    local next_one = wanted == submissions + 1 and job.open_submission == '' -- the last one has its verdict
    if not again and not next_one then -- guard: intent_order
      return { 'out_of_order', int(submissions) }
    end
    submissions = wanted
  end

  -- point of no return
  redis.call('HSET', key('work', id), what, record)
  if what == 'intent' then
    redis.call('HDEL', key('work', id), 'handle', 'artifact')
    redis.call('HSET', key('job', id), 'stage', what, 'submissions', int(submissions), 'open_submission', '1')
  else
    redis.call('HSET', key('job', id), 'stage', what)
  end
  event(part, id, job.account, what, int(submissions))
  return { 'noted', int(submissions) }
end

return each_item(part, 2, 5, checkpoint)
