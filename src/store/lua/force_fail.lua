#!lua flags=allow-oom
-- force_fail: an operator ends an open job as failed; everything held for it goes back.
-- uses: base, account, hold, queue, job, acts
-- KEYS 1 part:meta  2 job
-- ARGV 1 time or ''  2 job  3 actor  4 reason
-- replies: failed released_ucr | ended state | unknown_job
-- invariant: whatever its worker says afterwards is refused.

local part = load_part()
local job = load_job(ARGV[2])
if not job then return { 'unknown_job' } end
if ENDINGS[job.state] then return { 'ended', job.state } end -- guard: force_fail_once
local plan = plan_end(part, job, { state = 'failed', class = 'operator', capture = 0, absorbed = 0, by = 'operator' })
touch(key('stops', job.worker), PREFIX .. 'part:control')

-- point of no return
commit_end(part, plan, { 'token', '', 'message', ARGV[4] })
note_act(part, ARGV[3], 'force-fail', job.id, ARGV[4], int(plan.released))
return { 'failed', int(plan.released) }
