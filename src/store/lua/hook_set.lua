#!lua flags=allow-oom
-- hook_set: an operator enables, disables or removes an endpoint, gives it a new secret, or tests it.
-- uses: base, events, acts, hooks
-- KEYS 1 part:meta  2 hook  3 outbox  4 outdue  5 outfly  6 outtry  7 outdead  8 part:hooks  9 part:acts
-- ARGV 1 time or ''  2 endpoint  3 enable | disable | remove | rotate | test  4 reason  5 actor
--      6 rotate: the new secret; test: the message's id  7 rotate: ms that the old secret goes on signing
-- replies: done account | already account | unknown | disabled
-- invariant: while an old secret's time lasts every message is signed with both.

local part, endpoint, act, reason, actor = load_part(), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local v = redis.call('HMGET', KEYS[2], 'account', 'state', 'secret', 'test_id')
local account = v[1]
if not account then return { 'unknown' } end -- guard: hook_known
local before = { enable = v[2] == 'enabled', disable = v[2] == 'disabled', rotate = v[3] == ARGV[6], test = v[4] == ARGV[6] }
if before[act] then return { 'already', account } end -- guard: hook_set_once
if act == 'test' and v[2] ~= 'enabled' then return { 'disabled' } end -- guard: hook_test_enabled

-- point of no return
if act == 'enable' then
  redis.call('HSET', KEYS[2], 'state', 'enabled', 'why', '', 'changed_at', int(part.now))
  redis.call('HDEL', KEYS[2], 'failing_since', 'throttled_until')
  index_hooks(account)
  next_look(part, endpoint, false)
elseif act == 'disable' then
  disable_hook(part, endpoint, account, 'by ' .. actor .. ': ' .. reason)
elseif act == 'remove' then
  redis.call('SREM', key('hooks', account), endpoint)
  redis.call('ZREM', KEYS[8], endpoint)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
  index_hooks(account)
elseif act == 'rotate' then
  redis.call('HSET', KEYS[2], 'secret', ARGV[6], 'old_secret', v[3], 'old_until', int(part.now + tonumber(ARGV[7])))
else
  redis.call('HSET', KEYS[2], 'test_id', ARGV[6], 'test_result', '')
  push(part, endpoint, { 'm', ARGV[6], 'e', 'test', 't', int(part.now), 'a', account })
end
note_act(part, actor, 'webhook_' .. act, endpoint, reason, account)
return { 'done', account }
