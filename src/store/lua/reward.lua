#!lua flags=allow-oom
-- reward: the welcome of an account, once, and its daily reward, once per day of UTC.
-- uses: base, events, account, expiry, calendar, operation, hold, credit
-- KEYS 1 part:meta  2 acct  3 grants  4 ops
-- ARGV 1 time or ''  2 account  3 signup | daily  4 amount_ucr
--      5 days of UTC until it expires, today being the first (0 = never)  6 live grants at most  7 actor
-- replies: granted grant available_ucr debt_ucr operation | already_taken operation next_at_ms (0 = never)
--          | unknown_account | account_closed state | too_many_grants n | overflow
-- invariant: the operation id follows from the kind and the server's day alone, so that of two at once one wins.

local part, account, kind, amount, days = load_part(), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
local daily = kind == 'daily'
local op = daily and 'daily-' .. date_text(part.now) or 'signup'
if redis.call('HEXISTS', KEYS[4], op) == 1 then -- guard: reward_once
  return { 'already_taken', op, daily and int(day_end(part.now)) or '0' }
end
if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: reward_open
expire_due(acct, part.now)
local expires = days > 0 and day_end(part.now) + (days - 1) * DAY_MS or 0
local grant, paid = add_credit(acct, kind, expires, amount, ARGV[6])
if not grant then return paid end
acct.granted = acct.granted + amount

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'grant', op, '', { { 'promo', -amount }, { 'available', amount - paid }, { 'debt', paid } },
  ',"reason":"' .. kind .. '","actor":' .. cjson.encode(ARGV[7]) .. ',"given":"' .. grant.id .. '=' .. int(amount) .. '"')
commit_account(acct)
-- The fingerprint of no request: whoever grants under this id by hand is told that it is taken.
keep_answer(KEYS[4], op, '0', amount, { grant.id, int(acct.available), int(acct.debt) })
event(part, '', account, 'granted', grant.id .. ' ' .. ARGV[4])
return { 'granted', grant.id, int(acct.available), int(acct.debt), op }
