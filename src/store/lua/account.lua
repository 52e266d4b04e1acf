#!lua
-- account: opens an account.
-- uses: base, events, account, expiry
-- KEYS 1 part:meta  2 acct  3 grants
-- ARGV 1 time or ''  2 account  3 max_active (0 = the default of the settings)
--      4 threshold of its low balance, micro-credits (0 = no event)
-- replies: created | exists
-- invariant: an account starts with every balance at zero and one journal entry.

local part, id = load_part(), ARGV[2]
if load_account(id) then return { 'exists' } end -- guard: account_once
local acct = { id = id, grants = {}, changed = {}, seq = 0, next_grant = 1 }
for _, name in ipairs(TOTALS) do acct[name] = 0 end
touch(PREFIX .. 'part:accounts')

-- point of no return
journal(part, acct, 'open', '', '', {}, '')
commit_account(acct)
redis.call('HSET', KEYS[2], 'state', 'open', 'max_active', ARGV[3], 'created_at', int(part.now))
-- Nothing has fallen yet: the first event comes after the account was above the threshold once.
if ARGV[4] ~= '0' then redis.call('HSET', KEYS[2], 'alert', ARGV[4] .. '|1') end
redis.call('ZADD', PREFIX .. 'part:accounts', int(part.now), id)
return { 'created' }
