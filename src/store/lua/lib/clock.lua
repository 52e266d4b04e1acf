-- clock: a server's clock that had been ahead and came back.
--
-- A partition's time never goes back, so that a slower server brings nothing lapsed back to life. But
-- it must not stand still for long either: then no lease lapses and no deadline comes. So for minutes
-- it stands still; for more than CLOCK_BACK_MAX_MS the sweep, and nobody else, sets it back.
--
-- part:meta: clock_set_at, clock_set_ms (when, by how much, for whoever asks), clock_rank while open
-- jobs are still to be looked at.

local CLOCK_BACK_MAX_MS = 600000

-- Sets the partition's time to the server's. Returns whether it did.
local function set_clock_back(part)
  if part.ahead_ms <= CLOCK_BACK_MAX_MS then return false end -- guard: clock_back_bound
  part.now, part.tick_ms, part.reap_after_ms = part.now - part.ahead_ms, 0, 0
  part.at = int(part.now)
  redis.call('HSET', KEYS[1], 'last_ms', int(part.now), 'tick_ms', '0', 'clock_set_at', int(part.now), 'clock_set_ms',
    int(part.ahead_ms), 'clock_rank', '0')
  event(part, '', '', 'clock_back', int(part.ahead_ms))
  return true
end

-- Times that were written while the clock was ahead become what they would have been. A job that was
-- claimed or submitted later than now is one of those, by as much as that; its members move to lower
-- scores only, so that a rank is a cursor that skips none.
local function mend_clocks(part, leases, lease_ms, batch)
  local rank = tonumber(redis.call('HGET', KEYS[1], 'clock_rank'))
  if not rank then return false end
  local most = int(part.now + lease_ms)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. most, '+inf', 'LIMIT', 0, batch)) do
    redis.call('ZADD', leases, most, worker)
  end
  local ids = redis.call('ZRANGE', PREFIX .. 'part:deadlines', rank, rank + batch - 1, 'WITHSCORES')
  for i = 1, #ids, 2 do
    local job = load_job(ids[i])
    local times = job and redis.call('HMGET', key('job', job.id), 'created_at', 'started_at', 'due_at', 'ttl_at') or {}
    local created, started = tonumber(times[1]) or 0, tonumber(times[2]) or 0
    local ahead = job and math.max(started, created) - part.now or 0
    if ahead > 0 then
      local function back(at) return int(at > part.now and math.max(at - ahead, part.now) or at) end
      redis.call('ZADD', PREFIX .. 'part:deadlines', back(tonumber(ids[i + 1])), job.id)
      redis.call('ZADD', PREFIX .. 'part:due', 'XX', back(tonumber(times[3]) or 0), job.id)
      redis.call('HSET', key('job', job.id), 'deadline_at', back(job.deadline_at), 'ttl_at', back(tonumber(times[4]) or 0),
        'due_at', back(tonumber(times[3]) or 0), 'started_at', back(started), 'created_at', back(created))
    end
  end
  if #ids < 2 * batch then
    redis.call('HDEL', KEYS[1], 'clock_rank')
  else
    redis.call('HSET', KEYS[1], 'clock_rank', int(rank + batch))
  end
  return #ids >= 2 * batch
end
