#!lua
-- submit: holds a job's ceiling and queues the job, both or neither.
-- uses: base, account, calendar, caps, hold, queue, acts, frozen, admission, hooks
-- KEYS 1 part:meta  2 acct  3 grants  4 job  5 payload  6 idem  7 quote  8 active  9 lane  10 ready
--      11 timeline  12 jobs (of the account)  13 part:deadlines  14 part:due  15 part:journal
--      16 part:events  17 part:queues  18 part:lanes
-- ARGV 1 time or ''  2 account  3 job  4 fingerprint  5 ceiling_ucr  6 tool  7 queue  8 class
--      9 price version  10 rule  11 asked_ms  12 asked outputs  13 deadline_ms  14 queue_ttl_ms
--      15 delay_ms  16 max_active (default)  17 open jobs at most (this partition)
--      18 lane at most  19 payload  20 idempotency key or ''  21 quote or ''  22 max_ucr or ''
-- replies: held job hold_ucr state | replayed job hold_ucr state | key_mismatch job
--          | unknown_account | frozen what reason | account_closed state | quote_expired | above_max ceiling_ucr
--          | queue_draining queue | queue_full | cap_exceeded day-or-month until_ms need_ucr left_ucr | lane_full
--          | insufficient need_ucr available_ucr
-- invariant: held rises by the ceiling exactly when the job comes to stand in a queue.

local account, need = ARGV[2], tonumber(ARGV[5])
local seen = ARGV[20] ~= '' and redis.call('GET', KEYS[6]) or ARGV[3]
local before = redis.call('HMGET', key('job', seen), 'fingerprint', 'hold_ucr', 'state', 'quote')
if before[3] then -- guard: idempotency
  local same = before[1] == ARGV[4] or (ARGV[21] ~= '' and before[4] == ARGV[21])
  if not same then return { 'key_mismatch', seen } end -- guard: idempotency_fingerprint
  return { 'replayed', seen, before[2], before[3] }
end
local part = load_part()
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
if part.frozen or acct.state == 'frozen' then -- guard: submit_frozen
  return { 'frozen', part.frozen and '*' or account, frozen_reason(part, account) or '' }
end
if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: account_open
local quoted_until = ARGV[21] ~= '' and tonumber(redis.call('HGET', KEYS[7], 'expires_at') or '0') or math.huge
if quoted_until <= part.now then return { 'quote_expired' } end -- guard: quote_alive
if ARGV[22] ~= '' and need > tonumber(ARGV[22]) then return { 'above_max', ARGV[5] } end -- guard: max_credits
local r = { account = account, job = ARGV[3], queue = ARGV[7], class = ARGV[8], need = need, delay = tonumber(ARGV[15]),
  ttl = tonumber(ARGV[14]), max_active = tonumber(ARGV[16]), open_max = tonumber(ARGV[17]), lane_max = tonumber(ARGV[18]) }
local refusal = plan_admission(part, acct, r)
if refusal then return refusal end

-- point of no return
local fields = { 'tool', ARGV[6], 'fingerprint', ARGV[4], 'price_version', ARGV[9], 'rule', ARGV[10],
  'asked_ms', ARGV[11], 'asked_outputs', ARGV[12], 'deadline_ms', ARGV[13] }
if ARGV[21] ~= '' then fields[#fields + 1], fields[#fields + 2] = 'quote', ARGV[21] end
if ARGV[20] ~= '' then fields[#fields + 1], fields[#fields + 2] = 'idem', ARGV[20] end
commit_admission(part, acct, r, fields, ARGV[19], ARGV[20])
if ARGV[20] ~= '' then redis.call('SET', KEYS[6], r.job) end
return { 'held', r.job, ARGV[5], r.state }
