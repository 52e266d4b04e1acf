#!lua
-- quote: keeps a quote until it expires.
-- uses: base, events
-- KEYS 1 part:meta  2 acct  3 quote
-- ARGV 1 time or ''  2 the quote as JSON  3 time to live, ms
-- replies: stored expires_at_ms | unknown_account
-- invariant: a quote holds nothing.

local part = load_part()
if redis.call('EXISTS', KEYS[2]) == 0 then return { 'unknown_account' } end
local expires_at = int(part.now + tonumber(ARGV[3]))

-- point of no return
redis.call('HSET', KEYS[3], 'quote', ARGV[2], 'expires_at', expires_at)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return { 'stored', expires_at }
