#!lua flags=allow-oom
-- key_revoke: an API key is taken no more.
-- uses: base, events, acts
-- KEYS 1 part:meta  2 apikey
-- ARGV 1 time or ''  2 id  3 reason  4 actor
-- replies: revoked when | already when | unknown_key
-- invariant: a revoked key has no secret's hash left, so that nothing can match.

local part = load_part()
local now = redis.call('HMGET', KEYS[2], 'kind', 'revoked_at')
if not now[1] then return { 'unknown_key' } end -- guard: key_revoke_known
if now[2] then return { 'already', now[2] } end -- guard: key_revoke_once
touch(PREFIX .. 'part:acts')

-- point of no return
redis.call('HDEL', KEYS[2], 'hash', 'old_hash', 'old_until')
redis.call('HSET', KEYS[2], 'revoked_at', int(part.now))
note_act(part, ARGV[4], 'key revoke', ARGV[2], ARGV[3], '')
return { 'revoked', int(part.now) }
