#!lua flags=allow-oom
-- adjust: a correction up or down by an operator; a clawback is one down that names a payment.
-- uses: base, events, account, expiry, acts, operation, hold, credit
-- KEYS 1 part:meta  2 acct  3 grants  4 ops
-- ARGV 1 time or ''  2 account  3 operation id  4 amount_ucr ('' = all that is left of the payment)
--      5 up | down | clawback  6 reason  7 actor  8 live grants at most  9 fingerprint
--      10 operation id of the payment's grant (clawback only)
-- replies: adjusted amount_ucr debt_made_ucr available_ucr debt_ucr | replayed (the same) | mismatch amount_ucr
--          | unknown_account | account_frozen | unknown_payment | above_payment left_ucr | nothing
--          | too_many_grants n | overflow
-- invariant: down takes only what no hold has pinned, and what is not there becomes debt; of one payment
-- never more is clawed back than it gave.

local part, account, how, payment = load_part(), ARGV[2], ARGV[5], ARGV[10]
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
local before = done_before(KEYS[4], ARGV[3], ARGV[9])
if before then return before end -- guard: adjust_once
if how ~= 'up' and (part.frozen or acct.state == 'frozen') then return { 'account_frozen' } end -- guard: adjust_frozen
local amount, clawed, first = tonumber(ARGV[4]), 0, nil
if how == 'clawback' then
  local given, grant = string.match(redis.call('HGET', KEYS[4], payment) or '', '^%x+|(%d+)|(g%d+)|')
  if not given then return { 'unknown_payment' } end -- guard: clawback_payment
  clawed, first = tonumber(redis.call('HGET', KEYS[4], 'clawed ' .. payment) or '0'), grant
  amount = amount or tonumber(given) - clawed
  if amount > tonumber(given) - clawed then return { 'above_payment', int(given - clawed) } end -- guard: clawback_max
end
if amount <= 0 then return { 'nothing' } end -- guard: adjust_nothing
expire_due(acct, part.now)
local postings, trail, made = nil, nil, 0
if how == 'up' then
  local grant, paid = add_credit(acct, 'adjustment', 0, amount, ARGV[8])
  if not grant then return paid end
  acct.adjusted = acct.adjusted + amount
  postings = { { 'world', -amount }, { 'available', amount - paid }, { 'debt', paid } }
  trail = ',"given":"' .. grant.id .. '=' .. int(amount) .. '"'
else
  if acct.debt + math.abs(acct.adjusted) + amount > AMOUNT_MAX then return { 'overflow' } end -- guard: adjust_overflow
  local taken, from
  taken, made, from = take_unpinned(acct, amount, first)
  acct.adjusted = acct.adjusted - amount
  postings = { { 'available', -taken }, { 'debt', -made }, { 'world', amount } }
  trail = ',"taken":"' .. from .. '"'
end

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'adjust', ARGV[3], '', postings, ',"reason":' .. cjson.encode(ARGV[6]) .. ',"actor":'
  .. cjson.encode(ARGV[7]) .. (how == 'clawback' and ',"payment":' .. cjson.encode(payment) or '') .. trail)
commit_account(acct)
if how == 'clawback' then redis.call('HSET', KEYS[4], 'clawed ' .. payment, int(clawed + amount)) end
local answer = { int(amount), int(made), int(acct.available), int(acct.debt) }
keep_answer(KEYS[4], ARGV[3], ARGV[9], amount, answer)
note_act(part, ARGV[7], how == 'clawback' and 'clawback' or 'adjust', account, ARGV[6],
  (how == 'up' and '+' or '-') .. int(amount) .. ' ' .. ARGV[3])
event(part, '', account, 'adjusted', (how == 'up' and '+' or '-') .. int(amount))
return { 'adjusted', unpack(answer) }
