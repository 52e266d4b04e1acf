#!lua
-- redrive: takes a dead letter away and submits its work again as a new job, both or neither.
-- uses: base, account, hold, queue, admission, acts
-- KEYS 1 part:meta  2 old job  3 its payload  4 new job
-- ARGV 1 time or ''  2 old job  3 new job  4 account | house, who pays  5 actor  6 reason
--      7 queue_ttl_ms  8 max_active (default)  9 open jobs at most (this partition)  10 lane at most
-- replies: redriven job hold_ucr state | replayed job hold_ucr state | unknown_job | not_dead state
--          | dropped | account_closed state | insufficient need_ucr available_ucr | queue_full | lane_full
-- invariant: a dead letter becomes at most one new job, held for at most what the old one was.

local FIELDS = { 'tool', 'price_version', 'rule', 'asked_ms', 'asked_outputs', 'deadline_ms' }
local old = redis.call('HMGET', KEYS[2], 'state', 'account', 'queue', 'class', 'hold_ucr', 'redriven_as', 'dropped_at')
if not old[1] then return { 'unknown_job' } end
if old[6] then -- guard: redrive_once
  local new = redis.call('HMGET', key('job', old[6]), 'hold_ucr', 'state')
  return { 'replayed', old[6], new[1] or old[5], new[2] or 'forgotten' }
end
if old[7] then return { 'dropped' } end -- guard: redrive_dropped
if not redis.call('ZSCORE', PREFIX .. 'part:deadletters', ARGV[2]) then return { 'not_dead', old[1] } end -- guard: redrive_dead
local part = load_part()
local acct = load_account(old[2])
if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: redrive_account_open
local r = { account = old[2], job = ARGV[3], queue = old[3], class = old[4], need = tonumber(old[5]), delay = 0,
  ttl = tonumber(ARGV[7]), max_active = tonumber(ARGV[8]), open_max = tonumber(ARGV[9]), lane_max = tonumber(ARGV[10]),
  house = ARGV[4] == 'house' }
if acct.held + acct.granted + r.need > AMOUNT_MAX then return { 'insufficient', old[5], int(acct.available) } end
local refusal = plan_admission(part, acct, r)
if refusal then return refusal end
local values, fields = redis.call('HMGET', KEYS[2], unpack(FIELDS)), { 'redrive_of', ARGV[2], 'payer', ARGV[4] }
for i, name in ipairs(FIELDS) do fields[#fields + 1], fields[#fields + 2] = name, values[i] or '' end
local payload = redis.call('GET', KEYS[3])
touch(KEYS[4])

-- point of no return
commit_admission(part, acct, r, fields, payload, 'redrive:' .. ARGV[2])
redis.call('HSET', KEYS[2], 'redriven_as', r.job)
redis.call('DEL', KEYS[3])
redis.call('ZREM', PREFIX .. 'part:deadletters', ARGV[2])
redis.call('ZADD', PREFIX .. 'part:finished', int(part.now), ARGV[2]) -- kept once more, for whoever asks again
event(part, ARGV[2], r.account, 'redriven', r.job)
note_act(part, ARGV[5], 'redrive', ARGV[2], ARGV[6], r.job .. ' ' .. ARGV[4])
return { 'redriven', r.job, int(r.need), r.state }
