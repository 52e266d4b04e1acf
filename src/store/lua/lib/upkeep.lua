-- upkeep: what the sweep takes away or repairs, one thing at a time.

-- Up to which end jobs may be forgotten. Where there is a history outside the store, a job stays until its
-- end is committed there, a day longer at most.
local function forget_until(part, retention_ms)
  local before = part.now - retention_ms
  local seq = tonumber(redis.call('HGET', KEYS[1], 'history_seq') or '')
  if seq and seq < part.seq then -- guard: forget_history
    local row = redis.call('XRANGE', PREFIX .. 'part:journal', part.epoch .. '-' .. int(seq + 1), '+', 'COUNT', 1)[1]
    local at = row and tonumber(string.match(row[2][2], '"at_ms":(%d+)'))
    if at then before = math.max(math.min(before, at - 1), before - GRACE_MS) end -- guard: forget_bounded
  end
  return before
end

-- A finished job and everything that hangs on it.
local function forget_job(id)
  local v = redis.call('HMGET', key('job', id), 'account', 'idem')
  if v[1] then
    redis.call('ZREM', key('jobs', v[1]), id)
    if v[2] then redis.call('DEL', key('idem', v[1] .. ':' .. v[2])) end
  end
  redis.call('DEL', key('job', id), key('payload', id), key('work', id), key('timeline', id))
  redis.call('ZREM', PREFIX .. 'part:finished', id)
  redis.call('ZREM', PREFIX .. 'part:deadletters', id)
end

-- The consumers of a dead worker, only where nothing is pending under them: deleting one with pending
-- entries would lose these.
local function forget_worker(worker)
  local pending = 0
  for _, queue in ipairs(redis.call('SMEMBERS', PREFIX .. 'part:queues')) do
    for _, class in ipairs({ 'resume', 'high', 'normal', 'low' }) do
      local stream = key('ready', queue .. ':' .. class)
      local rows = redis.pcall('XPENDING', stream, GROUP, '-', '+', 1, worker)
      if not rows.err and #rows == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, worker) end -- guard: consumer_empty
      if not rows.err then pending = pending + #rows end
    end
  end
  redis.call('ZREM', PREFIX .. 'part:gone', worker)
  if pending > 0 then redis.call('SADD', PREFIX .. 'part:reaping', worker) end
  redis.call('HDEL', PREFIX .. 'part:workers', worker)
  redis.call('HDEL', PREFIX .. 'part:drains', worker)
  redis.call('DEL', key('stops', worker))
end

-- A lane that has room but did not move. Returns how many jobs it let in.
local function repair_lane(part, lane)
  local account, queue = string.match(lane, '^(.*):([^:]*)$')
  local head = redis.call('ZRANGE', key('lane', lane), 0, 0)[1]
  local limit = head and tonumber(redis.call('HGET', key('job', head), 'max_active') or '1') or 1
  local plan = plan_admit(account, queue, limit_now(account, queue, limit), 0, '')
  redis.call('ZADD', PREFIX .. 'part:lanes', 'XX', int(part.now), lane)
  if not head then redis.call('ZREM', PREFIX .. 'part:lanes', lane) end
  commit_admit(plan)
  return #plan.jobs
end
