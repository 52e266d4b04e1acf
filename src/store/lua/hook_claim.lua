#!lua flags=allow-oom
-- hook_claim: hands out messages that are due, under a lease, few at a time for each endpoint.
-- uses: base, events, hooks
-- KEYS 1 part:meta  2 part:hooks
-- ARGV 1 time or ''  2 lease_ms  3 under way at one endpoint at most  4 messages at most
--      5 messages of one outbox at most (as the settings have it)
-- replies: claimed {message...}, each: endpoint, message, lease's end, tries that failed, url, secret, old secret
--          or '', {its fields}, {message, flags, measured_ms, billable_ms of its job}, artifact or ''
-- invariant: a message is under one lease at a time; what a dead sender had is due again when its lease ends.

local part, room = load_part(), tonumber(ARGV[4])
local until_ms, out = part.now + tonumber(ARGV[2]), {}
local is_new = redis.call('HGET', KEYS[1], 'hook_room') ~= ARGV[5]

-- point of no return
mend_hooks(part, 20)
if is_new then redis.call('HSET', KEYS[1], 'hook_room', ARGV[5]) end

local function hand_out(endpoint, id, v)
  redis.call('ZREM', key('outdue', endpoint), id)
  local entry = redis.call('XRANGE', key('outbox', endpoint), id, id)[1]
  if not entry then return end
  redis.call('ZADD', key('outfly', endpoint), int(until_ms), id)
  local of = {}
  for i = 1, #entry[2], 2 do of[entry[2][i]] = entry[2][i + 1] end
  local more, artifact = {}, false
  if of.j and (of.e == 'failed' or of.e == 'succeeded') then
    for i, text in ipairs(redis.call('HMGET', key('job', of.j), 'message', 'flags', 'measured_ms', 'billable_ms')) do more[i] = text or '' end
    artifact = of.e == 'succeeded' and redis.call('HGET', key('work', of.j), 'artifact')
  end
  local old = v[5] or ''
  if old ~= '' and tonumber(v[6]) <= part.now then old = '' end -- guard: old_secret_ends
  out[#out + 1] = { endpoint, id, int(until_ms), redis.call('HGET', key('outtry', endpoint), id) or '0', v[3], v[4], old,
    entry[2], more, artifact or '' }
end

for _, endpoint in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(part.now), 'LIMIT', 0, 50)) do
  if #out >= room then break end
  local v = redis.call('HMGET', key('hook', endpoint), 'state', 'throttled_until', 'url', 'secret', 'old_secret', 'old_until')
  if v[1] ~= 'enabled' then -- guard: claim_enabled
    redis.call('ZREM', KEYS[2], endpoint)
  elseif tonumber(v[2] or '0') > part.now then -- guard: claim_throttled
    redis.call('ZADD', KEYS[2], v[2], endpoint)
  else
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('outfly', endpoint), '-inf', int(part.now), 'LIMIT', 0, 100)) do
      redis.call('ZREM', key('outfly', endpoint), id)
      redis.call('ZADD', key('outdue', endpoint), int(part.now), id)
    end
    local free = room - #out
    free = math.min(tonumber(ARGV[3]) - redis.call('ZCARD', key('outfly', endpoint)), free) -- guard: claim_at_a_time
    for _, id in ipairs(free > 0 and redis.call('ZRANGEBYSCORE', key('outdue', endpoint), '-inf', int(part.now), 'LIMIT', 0, free) or {}) do
      hand_out(endpoint, id, v)
    end
    next_look(part, endpoint, redis.call('ZCARD', key('outfly', endpoint)) >= tonumber(ARGV[3]))
  end
end
return { 'claimed', out }
