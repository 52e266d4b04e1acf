#!lua flags=allow-oom
-- key_rotate: gives an API key a new secret; the old one is taken for a while longer.
-- uses: base, events, acts
-- KEYS 1 part:meta  2 apikey
-- ARGV 1 time or ''  2 id  3 new secret's hash  4 overlap, ms  5 reason  6 actor
-- replies: rotated old_until | unknown_key | revoked
-- invariant: at most two secrets are taken, and the older one ends by the clock.

local part = load_part()
local now = redis.call('HMGET', KEYS[2], 'hash', 'revoked_at', 'old_until', 'kind')
if now[4] ~= 'key' then return { 'unknown_key' } end -- guard: key_rotate_known
if now[2] then return { 'revoked' } end -- guard: key_rotate_revoked
if now[1] == ARGV[3] then return { 'rotated', now[3] } end -- guard: key_rotate_again
touch(PREFIX .. 'part:acts')
local old_until = int(part.now + tonumber(ARGV[4]))

-- point of no return
redis.call('HSET', KEYS[2], 'hash', ARGV[3], 'old_hash', now[1], 'old_until', old_until, 'rotated_at', int(part.now))
note_act(part, ARGV[6], 'key rotate', ARGV[2], ARGV[5], 'old secret until ' .. old_until)
return { 'rotated', old_until }
