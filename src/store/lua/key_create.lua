#!lua
-- key_create: keeps a new API key, or a token for one account, by the hash of its secret.
-- uses: base, events, acts
-- KEYS 1 part:meta  2 apikey  3 part:apikeys
-- ARGV 1 time or ''  2 id  3 secret's hash  4 name  5 scopes  6 account or ''  7 time to live, ms; 0 = for ever
--      8 reason  9 actor  10 key | token
-- replies: created expires_at (0 = never) | exists
-- invariant: no secret is written, only its hash; a token ends by itself and stands in no list.

local part, ttl = load_part(), tonumber(ARGV[7])
local before = redis.call('HMGET', KEYS[2], 'hash', 'expires_at')
if before[1] == ARGV[3] then return { 'created', before[2] } end -- guard: key_create_again
if before[1] then return { 'exists' } end -- guard: key_id_once
touch(KEYS[3], PREFIX .. 'part:acts')
local expires_at = ttl > 0 and int(part.now + ttl) or '0'

-- point of no return
redis.call('HSET', KEYS[2], 'hash', ARGV[3], 'name', ARGV[4], 'scopes', ARGV[5], 'account', ARGV[6], 'kind', ARGV[10],
  'created_at', int(part.now), 'created_by', ARGV[9], 'expires_at', expires_at)
if ARGV[10] == 'token' then
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
else
  redis.call('ZADD', KEYS[3], int(part.now), ARGV[2])
  note_act(part, ARGV[9], 'key create', ARGV[2], ARGV[8], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
end
return { 'created', expires_at }
