#!lua flags=allow-oom
-- grant: gives an account credits, once per operation id.
-- uses: base, account, hold
-- KEYS 1 part:meta  2 acct  3 grants  4 ops
-- ARGV 1 time or ''  2 account  3 operation id  4 amount_ucr  5 kind  6 expires_at_ms (0 = never)
--      7 reason  8 actor  9 live grants at most  10 fingerprint of amount, kind and expiry
-- replies: granted grant available_ucr debt_ucr | replayed (the same) | mismatch amount_ucr
--          | unknown_account | too_many_grants n | expired_already | overflow
-- invariant: granted rises by the amount, debt is paid first, the rest becomes available.

local part, account, amount, expires = load_part(), ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[6])
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
local done = redis.call('HGET', KEYS[4], ARGV[3])
if done then
  local fingerprint, before, grant, available, debt = string.match(done, '^(%x+)|(%d+)|(g%d+)|(%d+)|(%d+)$')
  if fingerprint ~= ARGV[10] then return { 'mismatch', before } end -- guard: grant_mismatch
  return { 'replayed', grant, available, debt } -- guard: grant_once
end
expire_due(acct, part.now)
if expires > 0 and expires <= part.now then return { 'expired_already' } end -- guard: grant_expiry
if acct.available + acct.held + acct.granted + amount > AMOUNT_MAX then return { 'overflow' } end -- guard: grant_overflow
local live = 0
for _, g in pairs(acct.grants) do -- what has just expired is no longer live, swept or not
  if g.remaining > 0 or g.pinned > 0 then live = live + 1 end
end
local grant = grant_for(acct, ARGV[5], expires)
if grant.remaining == 0 and grant.pinned == 0 and live >= tonumber(ARGV[9]) then -- guard: grants_max
  return { 'too_many_grants', int(live) }
end
local paid = make_available(acct, grant, amount)
acct.granted = acct.granted + amount
local source = (ARGV[5] == 'purchase' or ARGV[5] == 'plan' or ARGV[5] == 'adjustment') and 'world' or 'promo'

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'grant', ARGV[3], '', { { source, -amount }, { 'available', amount - paid }, { 'debt', paid } },
  ',"reason":' .. cjson.encode(ARGV[7]) .. ',"actor":' .. cjson.encode(ARGV[8]))
commit_account(acct)
redis.call('HSET', KEYS[4], ARGV[3], table.concat({ ARGV[10], ARGV[4], grant.id, int(acct.available), int(acct.debt) }, '|'))
event(part, '', account, 'granted', grant.id .. ' ' .. ARGV[4])
return { 'granted', grant.id, int(acct.available), int(acct.debt) }
