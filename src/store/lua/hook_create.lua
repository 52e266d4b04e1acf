#!lua
-- hook_create: an account gets an endpoint, where it is told of its jobs.
-- uses: base, events, acts, hooks
-- KEYS 1 part:meta  2 acct  3 hooks (of the account)  4 hook (the new one)  5 part:acts
-- ARGV 1 time or ''  2 account  3 endpoint  4 url  5 topics, letters  6 secret  7 description  8 reason  9 actor
--      10 endpoints of one account at most
-- replies: created | replayed | mismatch | unknown_account | too_many n
-- invariant: no endpoint exists that its account's list does not name.

local part, account, endpoint = load_part(), ARGV[2], ARGV[3]
local seen = redis.call('HMGET', KEYS[4], 'account', 'url')
if seen[1] then -- guard: hook_once
  return { seen[1] == account and seen[2] == ARGV[4] and 'replayed' or 'mismatch' }
end
if redis.call('EXISTS', KEYS[2]) == 0 then return { 'unknown_account' } end -- guard: hook_account
local n = redis.call('SCARD', KEYS[3])
if n >= tonumber(ARGV[10]) then return { 'too_many', int(n) } end -- guard: hooks_max

-- point of no return
redis.call('HSET', KEYS[4], 'account', account, 'url', ARGV[4], 'topics', ARGV[5], 'secret', ARGV[6], 'description', ARGV[7],
  'state', 'enabled', 'created_at', int(part.now), 'changed_at', int(part.now))
redis.call('SADD', KEYS[3], endpoint)
index_hooks(account)
note_act(part, ARGV[9], 'webhook_create', endpoint, ARGV[8], account)
return { 'created' }
