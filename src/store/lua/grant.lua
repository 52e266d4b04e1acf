#!lua flags=allow-oom
-- grant: gives an account credits, once per operation id.
-- uses: base, events, account, expiry, operation, hold, credit
-- KEYS 1 part:meta  2 acct  3 grants  4 ops
-- ARGV 1 time or ''  2 account  3 operation id  4 amount_ucr  5 kind  6 expires_at_ms (0 = never)
--      7 reason  8 actor  9 live grants at most  10 fingerprint of amount, kind and expiry
-- replies: granted grant available_ucr debt_ucr | replayed (the same) | mismatch amount_ucr
--          | unknown_account | account_closed state | nothing | not_grantable kind | purchase_expires
--          | too_many_grants n | expired_already | overflow
-- invariant: granted rises by the amount, debt is paid first, the rest becomes available.

local GRANTABLE = { signup = true, daily = true, promo = true, plan = true, adjustment = true, purchase = true }
local part, account, amount, kind, expires = load_part(), ARGV[2], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
local before = done_before(KEYS[4], ARGV[3], ARGV[10])
if before then return before end -- guard: grant_once
if acct.state == 'closed' then return { 'account_closed', acct.state } end -- guard: grant_closed
if amount <= 0 then return { 'nothing' } end -- guard: grant_nothing
if not GRANTABLE[kind] then return { 'not_grantable', kind } end -- guard: grant_kind
expire_due(acct, part.now)
if expires > 0 and expires <= part.now then return { 'expired_already' } end -- guard: grant_expiry
if kind == 'purchase' and expires > 0 then return { 'purchase_expires' } end -- guard: purchase_never_expires
local grant, paid = add_credit(acct, kind, expires, amount, ARGV[9])
if not grant then return paid end
acct.granted = acct.granted + amount
local source = (kind == 'purchase' or kind == 'plan' or kind == 'adjustment') and 'world' or 'promo'

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'grant', ARGV[3], '', { { source, -amount }, { 'available', amount - paid }, { 'debt', paid } },
  ',"reason":' .. cjson.encode(ARGV[7]) .. ',"actor":' .. cjson.encode(ARGV[8])
  .. ',"given":"' .. grant.id .. '=' .. int(amount) .. '"')
commit_account(acct)
local answer = { grant.id, int(acct.available), int(acct.debt) }
keep_answer(KEYS[4], ARGV[3], ARGV[10], amount, answer)
event(part, '', account, 'granted', grant.id .. ' ' .. ARGV[4])
return { 'granted', unpack(answer) }
