#!lua flags=allow-oom
-- checkpoint: writes down how far a submission has come, before the next step is taken.
-- uses: base, account, caps, hold, queue, job
-- KEYS 1 part:meta  2 job  3 work
-- ARGV 1 time or ''  2 job  3 token  4 intent | handle | artifact  5 the record as JSON
--      6 submission (intent only): the number that this intent gets
-- replies: noted submissions | fenced | cancelled | timed_out | out_of_order submissions
-- invariant: submissions rises by one with each intent, never twice for one number.
--
-- Registered twice: with `intent` it is refused when memory is full (it stands before the POST, so that
-- is safe); a handle or an artifact is always written.

local part, what = load_part(), ARGV[4]
local job = load_job(ARGV[2])
if not job or job.state ~= 'running' or job.token ~= ARGV[3] then return { 'fenced' } end -- guard: checkpoint_fence
local submissions = job.submissions
if what == 'intent' then
  if job.cancel_at > 0 then return { 'cancelled' } end -- guard: intent_cancelled
  if part.now >= job.deadline_at then return { 'timed_out' } end -- guard: intent_deadline
  local wanted = tonumber(ARGV[6])
  local again = wanted == submissions and job.stage == 'intent'
  local next_one = wanted == submissions + 1 and job.open_submission == '' -- the last one has its verdict
  if not again and not next_one then -- guard: intent_order
    return { 'out_of_order', int(submissions) }
  end
  submissions = wanted
end
touch(KEYS[3], key('timeline', job.id), PREFIX .. 'part:events')

-- point of no return
redis.call('HSET', KEYS[3], what, ARGV[5])
if what == 'intent' then
  redis.call('HDEL', KEYS[3], 'handle', 'artifact')
  redis.call('HSET', KEYS[2], 'stage', what, 'submissions', int(submissions), 'open_submission', '1')
else
  redis.call('HSET', KEYS[2], 'stage', what)
end
event(part, job.id, job.account, what, int(submissions))
return { 'noted', int(submissions) }
