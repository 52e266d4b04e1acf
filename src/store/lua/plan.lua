#!lua flags=allow-oom
-- plan: puts an account on a plan for a period: its limit, its credits until the period ends.
-- uses: base, events, account, expiry, acts, calendar, operation, hold, credit, queue
-- KEYS 1 part:meta  2 acct  3 grants  4 ops
-- ARGV 1 time or ''  2 account  3 operation id  4 plan ('' = none)  5 amount_ucr  6 max_active (0 = default)
--      7 months of a period  8 when it ends, ms ('' = so many months from now)  9 price, as text
--      10 reason  11 actor  12 live grants at most  13 fingerprint  14 max_active of the settings
-- replies: planned grant-or-dash until_ms available_ucr debt_ucr admitted | replayed (the same) | mismatch amount_ucr
--          | unknown_account | account_closed state | expired_already | too_many_grants n | overflow
-- invariant: limit, credits and the note of which plan it is change together, once per operation id.

local part, account, amount = load_part(), ARGV[2], tonumber(ARGV[5])
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
local before = done_before(KEYS[4], ARGV[3], ARGV[13])
if before then return before end -- guard: plan_once
if acct.state == 'closed' then return { 'account_closed', acct.state } end -- guard: plan_closed
local until_ms = tonumber(ARGV[8]) or months_later(part.now, tonumber(ARGV[7]))
if ARGV[4] == '' then until_ms = 0 elseif until_ms <= part.now then return { 'expired_already' } end -- guard: plan_ends_later
expire_due(acct, part.now)
local given, paid, grant = '', 0, nil
if amount > 0 then
  grant, paid = add_credit(acct, 'plan', until_ms, amount, ARGV[12])
  if not grant then return paid end
  acct.granted = acct.granted + amount
  given = grant.id .. '=' .. int(amount)
end
acct.max_active = tonumber(ARGV[6])
local lanes = plan_all_lanes(acct, tonumber(ARGV[14]))

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'grant', ARGV[3], '', { { 'world', -amount }, { 'available', amount - paid }, { 'debt', paid } },
  ',"reason":' .. cjson.encode(ARGV[10]) .. ',"actor":' .. cjson.encode(ARGV[11]) .. ',"given":"' .. given
  .. '","plan":' .. cjson.encode(ARGV[4]) .. ',"until_ms":' .. int(until_ms) .. ',"max_active":' .. ARGV[6])
commit_account(acct)
redis.call('HSET', KEYS[2], 'plan', ARGV[4], 'plan_price', ARGV[9], 'plan_until', int(until_ms), 'max_active', ARGV[6])
local answer = { int(until_ms), int(acct.available), int(acct.debt), int(commit_all_lanes(lanes)) }
-- The grant stands first, as for any payment, so that this one can be clawed back as well.
keep_answer(KEYS[4], ARGV[3], ARGV[13], amount, { grant and grant.id or '-', unpack(answer) })
note_act(part, ARGV[11], 'plan', account, ARGV[10], (ARGV[4] == '' and 'none' or ARGV[4]) .. ' ' .. ARGV[3])
event(part, '', account, 'plan', ARGV[4])
return { 'planned', grant and grant.id or '-', unpack(answer) }
