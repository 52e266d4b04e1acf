#!lua flags=allow-oom
-- refund: gives back what a job was charged, all of it or a part, into the grants it came from.
-- uses: base, events, account, expiry, acts, caps, operation, hold
-- KEYS 1 part:meta  2 job  3 work
-- ARGV 1 time or ''  2 job  3 operation id  4 amount_ucr ('' = all that is left)  5 reason  6 actor
--      7 fingerprint
-- replies: refunded amount_ucr expired_ucr available_ucr debt_ucr left_ucr | replayed (the same)
--          | mismatch amount_ucr | unknown_job | not_captured state | above_captured left_ucr | nothing
--          | overflow
-- invariant: the refunds of a job never sum to more than its capture, which is the stored one, never
-- the caller's. They go back in reverse of the order in which they were collected, at the original
-- expiry: what has expired meanwhile expires at once.

local part = load_part()
local v = redis.call('HMGET', KEYS[2], 'account', 'state', 'captured_ucr', 'refunded_ucr', 'counted_in', 'tool', 'payer')
local acct = v[1] and load_account(v[1])
if not acct then return { 'unknown_job' } end -- guard: refund_known
local ops = key('ops', acct.id)
local before = done_before(ops, ARGV[3], ARGV[7])
if before then return before end -- guard: refund_once
local captured, refunded = tonumber(v[3] or '0'), tonumber(v[4] or '0')
if v[2] ~= 'succeeded' or captured == 0 then return { 'not_captured', v[2] } end -- guard: refund_captured
if v[7] == 'house' then return { 'not_captured', 'paid for by the house' } end -- guard: refund_house
local left = captured - refunded
local amount = tonumber(ARGV[4]) or left
if amount > left then return { 'above_captured', int(left) } end -- guard: refund_max
if amount <= 0 then return { 'nothing' } end -- guard: refund_nothing
if acct.granted + acct.refunded + math.abs(acct.adjusted) + amount > AMOUNT_MAX then return { 'overflow' } end -- guard: refund_overflow
expire_due(acct, part.now)

-- The grant as it was when it was captured from, also where nothing of it is left.
local function grant_again(id, kind, expires)
  if acct.grants[id] then return acct.grants[id] end
  for _, grant in pairs(acct.grants) do
    if grant.kind == kind and grant.expires == expires then return grant end
  end
  acct.grants[id] = { id = id, kind = kind, remaining = 0, pinned = 0, expires = expires,
    age = tonumber(string.sub(id, 2)) }
  return acct.grants[id]
end

local slices = {}
for id, kind, expires, taken in string.gmatch(redis.call('HGET', KEYS[3], 'taken') or '', '(g%d+)|(%a+)|(%d+)|(%d+)') do
  slices[#slices + 1] = { id = id, kind = kind, expires = tonumber(expires), amount = tonumber(taken) }
end
local skip, need, to_available, to_debt, to_breakage = refunded, amount, 0, 0, 0
local given, lost = {}, {}
for i = #slices, 1, -1 do
  local slice = slices[i]
  local before_now = math.min(slice.amount, skip) -- given back by the refunds before this one
  local back = math.min(slice.amount - before_now, need)
  skip, need = skip - before_now, need - back
  if back > 0 then
    local grant = grant_again(slice.id, slice.kind, slice.expires)
    acct.changed[grant.id] = true
    given[#given + 1] = grant.id .. '=' .. int(back)
    if is_due(grant, part.now) then -- guard: refund_expired
      to_breakage = to_breakage + back
      lost[#lost + 1] = grant.id .. '=' .. int(back)
    else
      local paid = make_available(acct, grant, back)
      to_debt, to_available = to_debt + paid, to_available + back - paid
    end
  end
end
if need > 0 then return { 'not_captured', 'unsound' } end -- guard: refund_whole
acct.refunded, acct.expired = acct.refunded + amount, acct.expired + to_breakage
uncount(acct, v[5] or '', amount)
touch(ops, key('timeline', ARGV[2]))

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'refund', ARGV[3], ARGV[2], { { 'revenue', -amount }, { 'available', to_available },
  { 'debt', to_debt }, { 'breakage', to_breakage } }, ',"reason":' .. cjson.encode(ARGV[5]) .. ',"actor":'
  .. cjson.encode(ARGV[6]) .. ',"tool":' .. cjson.encode(v[6]) .. ',"given":"' .. table.concat(given, ';')
  .. '","lost":"' .. table.concat(lost, ';') .. '"')
commit_account(acct)
redis.call('HSET', KEYS[2], 'refunded_ucr', int(refunded + amount))
local answer = { int(amount), int(to_breakage), int(acct.available), int(acct.debt), int(left - amount) }
keep_answer(ops, ARGV[3], ARGV[7], amount, answer)
note_act(part, ARGV[6], 'refund', ARGV[2], ARGV[5], int(amount) .. ' ' .. ARGV[3])
event(part, ARGV[2], acct.id, 'refunded', int(amount))
return { 'refunded', unpack(answer) }
