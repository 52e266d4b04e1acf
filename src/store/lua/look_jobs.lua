#!lua flags=no-writes,allow-oom
-- look_jobs: reads what the audit wants to know of jobs, all of them at one moment.
-- uses: base, events
-- KEYS 1 part:meta  2 part:deadlines  3.. jobs
-- ARGV 1 time or ''  2.. the ids of the jobs, in the order of KEYS
-- replies: jobs {state account hold_ucr '1' where it stands in the deadlines, account's seq} ...
-- invariant: nothing is written. (A script, since MULTI is refused when memory is full.)

local rows = {}
for i = 3, #KEYS do
  local v = redis.call('HMGET', KEYS[i], 'state', 'account', 'hold_ucr')
  local seq = v[2] and redis.call('HGET', key('acct', v[2]), 'seq')
  rows[#rows + 1] = { v[1] or '', v[2] or '', v[3] or '0',
    redis.call('ZSCORE', KEYS[2], ARGV[i - 1]) and '1' or '', seq or '0' }
end
-- point of no return: never reached
return { 'jobs', rows }
