#!lua flags=no-writes,allow-oom
-- look_accounts: reads accounts with their grants, each in one piece.
-- uses: base, events
-- KEYS 1 part:meta  2.. an account and its grants, in turn
-- ARGV 1 time or ''
-- replies: accounts now_ms {{account's fields and values} {its grants and rows}} ...
-- invariant: nothing is written. (A script, since MULTI is refused when memory is full.)

local part, rows = load_part(), {}
for i = 2, #KEYS, 2 do
  rows[#rows + 1] = { redis.call('HGETALL', KEYS[i]), redis.call('HGETALL', KEYS[i + 1]) }
end
-- point of no return: never reached
return { 'accounts', int(part.now), rows }
