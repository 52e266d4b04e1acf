#!lua
-- submit: holds a job's ceiling and queues the job, both or neither.
-- uses: base, account, hold, queue
-- KEYS 1 part:meta  2 acct  3 grants  4 job  5 payload  6 idem  7 quote  8 active  9 lane  10 ready
--      11 timeline  12 jobs (of the account)  13 part:deadlines  14 part:due  15 part:journal
--      16 part:events  17 part:queues  18 part:lanes
-- ARGV 1 time or ''  2 account  3 job  4 fingerprint  5 ceiling_ucr  6 tool  7 queue  8 class
--      9 price version  10 rule  11 asked_ms  12 asked outputs  13 deadline_ms  14 queue_ttl_ms
--      15 delay_ms  16 max_active (default)  17 open jobs at most (this partition)
--      18 lane at most  19 payload  20 idempotency key or ''  21 quote or ''  22 max_ucr or ''
-- replies: held job hold_ucr state | replayed job hold_ucr state | key_mismatch job
--          | unknown_account | account_closed state | quote_expired | above_max ceiling_ucr
--          | queue_draining | queue_full | lane_full | insufficient need_ucr available_ucr
-- invariant: held rises by the ceiling exactly when the job comes to stand in a queue.

local account, job_id, need, queue, class = ARGV[2], ARGV[3], tonumber(ARGV[5]), ARGV[7], ARGV[8]
local seen = ARGV[20] ~= '' and redis.call('GET', KEYS[6]) or job_id
local before = redis.call('HMGET', key('job', seen), 'fingerprint', 'hold_ucr', 'state', 'quote')
if before[3] then -- guard: idempotency
  local same = before[1] == ARGV[4] or (ARGV[21] ~= '' and before[4] == ARGV[21])
  if not same then return { 'key_mismatch', seen } end -- guard: idempotency_fingerprint
  return { 'replayed', seen, before[2], before[3] }
end
local part = load_part()
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: account_open
local quoted_until = ARGV[21] ~= '' and tonumber(redis.call('HGET', KEYS[7], 'expires_at') or '0') or math.huge
if quoted_until <= part.now then return { 'quote_expired' } end -- guard: quote_alive
if ARGV[22] ~= '' and need > tonumber(ARGV[22]) then return { 'above_max', ARGV[5] } end -- guard: max_credits
if is_halted(part, queue, 'draining') then return { 'queue_draining' } end -- guard: queue_draining
if redis.call('ZCARD', KEYS[13]) >= tonumber(ARGV[17]) then return { 'queue_full' } end -- guard: queue_room
expire_due(acct, part.now)
if acct.debt > 0 or acct.available < need then -- guard: sufficient
  return { 'insufficient', ARGV[5], int(acct.available - acct.debt) }
end
local max_active = acct.max_active > 0 and acct.max_active or tonumber(ARGV[16])
local delay = tonumber(ARGV[15])
local lane_length = redis.call('ZCARD', KEYS[9])
local active = lane_length == 0 and redis.call('SCARD', KEYS[8]) < max_active -- guard: max_active
if delay == 0 and not active and lane_length >= tonumber(ARGV[18]) then return { 'lane_full' } end -- guard: lane_max
local slices = pin_slices(acct, need)
local due, state = part.now + delay, delay > 0 and 'scheduled' or 'queued'

-- point of no return
tally(part, queue, 1, need)
commit_expiry(part, acct)
journal(part, acct, 'hold', ARGV[20], job_id, { { 'available', -need }, { 'held', need } }, ',"slices":"' .. slices .. '"')
commit_account(acct)
local job = { 'account', account, 'tool', ARGV[6], 'queue', queue, 'class', class, 'hold_ucr', ARGV[5], 'slices', slices,
  'fingerprint', ARGV[4], 'price_version', ARGV[9], 'rule', ARGV[10], 'asked_ms', ARGV[11], 'asked_outputs', ARGV[12],
  'deadline_ms', ARGV[13], 'max_active', int(max_active), 'created_at', int(part.now),
  'due_at', int(due), 'ttl_at', int(due + tonumber(ARGV[14])), 'state', state }
if ARGV[21] ~= '' then job[#job + 1], job[#job + 2] = 'quote', ARGV[21] end
if ARGV[20] ~= '' then job[#job + 1], job[#job + 2] = 'idem', ARGV[20] end
if delay == 0 and active then
  local entry = redis.call('XADD', KEYS[10], '*', 'j', job_id)
  job[#job + 1], job[#job + 2], job[#job + 3], job[#job + 4] = 'stream', queue .. ':' .. class, 'entry', entry
  redis.call('SADD', KEYS[8], job_id)
end
redis.call('HSET', KEYS[4], unpack(job))
redis.call('SET', KEYS[5], ARGV[19])
if ARGV[20] ~= '' then redis.call('SET', KEYS[6], job_id) end
redis.call('ZADD', KEYS[12], int(part.now), job_id)
redis.call('ZADD', KEYS[13], int(due + tonumber(ARGV[14])), job_id)
redis.call('SADD', KEYS[17], queue)
if delay > 0 then
  redis.call('ZADD', KEYS[14], int(due), job_id)
elseif not active then
  enter_lane(part, job_id, account, queue, class)
end
event(part, job_id, account, 'submitted', state)
return { 'held', job_id, ARGV[5], state }
