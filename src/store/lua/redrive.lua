#!lua
-- redrive: takes a dead letter away and submits its job anew, both or neither, once.
-- uses: base, events, account, expiry, calendar, caps, hold, queue, admission, acts, frozen, hooks
-- KEYS 1 part:meta  2 job (the dead one)  3 its payload  4 job (the new one)  5 its payload
--      6 part:deadletters  7 part:finished  8 part:deadlines  9 part:journal  10 part:events  11 part:acts
-- ARGV 1 time or ''  2 the dead job  3 the new job  4 account | house: who pays  5 queue_ttl_ms
--      6 max_active (default)  7 open jobs at most (this partition)  8 lane at most  9 reason  10 actor
-- replies: redriven job hold_ucr state account | replayed (the same) | payer_mismatch job payer
--          | unknown_job | not_dead state why | job_exists | unknown_account account | frozen what reason
--          | account_closed state | overflow | queue_draining queue | queue_full | lane_full
--          | cap_exceeded day-or-month until_ms need_ucr left_ucr | insufficient need_ucr available_ucr
-- invariant: a dead letter becomes one new job at most, at the rule, the payload and the ceiling it had;
--            where the house pays, nothing of its credit is ever available to the account.

local part, old, payer = load_part(), ARGV[2], ARGV[4]
local kept = { 'tool', 'deadline_ms', 'rule', 'asked_ms', 'asked_outputs', 'fingerprint', 'price_version' }
local v = redis.call('HMGET', KEYS[2], 'state', 'account', 'queue', 'class', 'hold_ucr', 'redriven_as', 'payer_again',
  'dropped_at', unpack(kept))
if not v[1] then return { 'unknown_job' } end
if v[6] then -- guard: redrive_once
  if v[7] ~= payer then return { 'payer_mismatch', v[6], v[7] } end -- guard: redrive_payer
  return { 'replayed', v[6], v[5], redis.call('HGET', key('job', v[6]), 'state') or 'queued', v[2] }
end
local payload = redis.call('GET', KEYS[3])
if not payload or not redis.call('ZSCORE', KEYS[6], old) then -- guard: redrive_dead_letter
  return { 'not_dead', v[1], v[8] and 'dropped' or '' }
end
if redis.call('EXISTS', KEYS[4]) == 1 then return { 'job_exists' } end -- guard: redrive_new_job
local acct = load_account(v[2])
if not acct then return { 'unknown_account', v[2] } end
if part.frozen or acct.state == 'frozen' then -- guard: redrive_frozen
  return { 'frozen', part.frozen and '*' or acct.id, frozen_reason(part, acct.id) or '' }
end
if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: redrive_account_open
local r = { account = v[2], job = ARGV[3], queue = v[3], class = v[4], need = tonumber(v[5]), delay = 0,
  ttl = tonumber(ARGV[5]), max_active = tonumber(ARGV[6]), open_max = tonumber(ARGV[7]), lane_max = tonumber(ARGV[8]),
  house = payer == 'house' }
if r.house and acct.granted + acct.refunded + math.abs(acct.adjusted) + r.need > AMOUNT_MAX then return { 'overflow' } end -- guard: redrive_overflow
local refusal = plan_admission(part, acct, r)
if refusal then return refusal end
touch(KEYS[5], KEYS[7], KEYS[9], KEYS[10], KEYS[11], key('ready', r.queue .. ':' .. r.class), key('jobs', r.account),
  key('timeline', old), key('timeline', r.job), PREFIX .. 'part:queues', PREFIX .. 'part:lanes', PREFIX .. 'part:expiries')

-- point of no return
local fields = { 'created_at', part.at, 'redrive_of', old, 'payer', payer }
for i, name in ipairs(kept) do fields[#fields + 1], fields[#fields + 2] = name, v[8 + i] or '' end
commit_admission(part, acct, r, fields, payload, old)
redis.call('HSET', KEYS[2], 'redriven_as', r.job, 'payer_again', payer)
redis.call('ZREM', KEYS[6], old)
redis.call('DEL', KEYS[3])
-- The record stays for as long as any finished one, so that the same call still finds what it made.
redis.call('ZADD', KEYS[7], int(part.now), old)
event(part, old, r.account, 'redriven', r.job)
note_act(part, ARGV[10], 'redrive', old, ARGV[9], r.job .. ' ' .. payer .. ' ' .. int(r.need))
return { 'redriven', r.job, int(r.need), r.state, r.account }
