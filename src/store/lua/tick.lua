#!lua flags=allow-oom
-- tick: everything that falls due by itself, in bounded batches.
-- uses: base, events, account, expiry, caps, hold, queue, job, upkeep, acts, frozen, clock, hooks
-- KEYS 1 part:meta  2 part:due  3 part:deadlines  4 part:finished  5 part:deadletters  6 part:expiries
--      7 part:dead  8 part:lanes  9 part:queues  10 part:gone  11 part:leases
-- ARGV 1 time or ''  2 sweep_ms  3 lease_ms  4 retention_ms  5 dead_letter_ms  6 batch  7 schema
--      8 partitions  9 '1' = again at once, because the last batch was full
-- replies: recent | ticked due ended expired forgotten admitted more set_back_ms
-- invariant: every job that is past its deadline ends refunded, whoever died.

local part, batch = load_part(), tonumber(ARGV[6])
local was_set = set_clock_back(part)
local now, lease_ms = part.now, tonumber(ARGV[3])
if ARGV[9] == '' and now - part.tick_ms < tonumber(ARGV[2]) / 2 then return { 'recent' } end
local function due_members(zset, before) return redis.call('ZRANGEBYSCORE', zset, '-inf', int(before), 'LIMIT', 0, batch) end

-- point of no return
-- After an outage workers get one whole lease to speak up before anybody is taken for dead.
if part.tick_ms == 0 or now - part.tick_ms > lease_ms / 2 then -- guard: tick_away
  redis.call('HSET', KEYS[1], 'reap_after_ms', int(now + lease_ms))
end
redis.call('HSET', KEYS[1], 'tick_ms', int(now), 'last_ms', int(now), 'schema', ARGV[7], 'partitions', ARGV[8])

local more = mend_clocks(part, KEYS[11], lease_ms, batch)

-- 1. Deadlines before anything is made ready: what is over is not handed out again.
local over = {}
over = due_members(KEYS[3], now) -- guard: tick_deadline
for _, id in ipairs(over) do
  local job = load_job(id)
  if job and not ENDINGS[job.state] then
    local cancelled = job.cancel_at > 0 and (job.deadline_at == 0 or now < job.deadline_at)
    local sound, plan = pcall(plan_end, part, job, { state = cancelled and 'cancelled' or 'timed_out',
      class = cancelled and '' or 'timeout', capture = 0, absorbed = 0, by = 'tick' })
    if sound then
      commit_end(part, plan, { 'token', '' })
    else -- nothing was written: one job that does not add up must not keep the others open
      redis.call('ZADD', KEYS[3], int(now + GRACE_MS / 24), id)
      event(part, id, job.account, 'unsound', '')
      redis.call('SADD', key('parked', job.account), id)
      if not redis.call('HGET', PREFIX .. 'part:frozen', job.account) then -- guard: unsound_freezes
        local reason = 'job ' .. id .. ' does not add up'
        freeze(part, job.account, { actor = 'sweep', reason = reason, op = '',
          differed = cjson.encode({ reason .. ': ' .. tostring(plan) }),
          state = redis.call('HGET', key('acct', job.account), 'state') or nil })
      end
    end
  else
    redis.call('ZREM', KEYS[3], id)
  end
end

-- 2. Delayed, deferred and retried jobs whose time has come.
local due = due_members(KEYS[2], now)
for _, id in ipairs(due) do
  local job = load_job(id)
  redis.call('ZREM', KEYS[2], id)
  if job and job.state == 'scheduled' and is_frozen(part, job.account) then -- guard: due_frozen
    park(part, job)
  elseif job and job.state == 'scheduled' then -- guard: due_scheduled
    if redis.call('SISMEMBER', active_key(job.account, job.queue), id) == 1 then
      enqueue(id, job.queue, job.stage ~= '' and 'resume' or job.class)
    else
      local front = redis.call('HGET', key('job', id), 'lane')
      enter_lane(part, id, job.account, job.queue, front or job.class)
      commit_admit(plan_admit(job.account, job.queue, limit_now(job.account, job.queue, job.max_active), 0, ''))
    end
    event(part, id, job.account, 'due', '')
  end
end

-- 3. Grants whose unpinned rest has expired.
local expiring = due_members(KEYS[6], now)
for _, account in ipairs(expiring) do
  local acct = load_account(account)
  if acct then
    expire_due(acct, now)
    commit_expiry(part, acct)
  end
  if not acct or not commit_account(acct) then redis.call('ZREM', KEYS[6], account) end
end

-- 4. Finished jobs that nobody has to keep any more. A dead letter is kept on its own clock.
local forgotten = 0
for _, id in ipairs(due_members(KEYS[4], forget_until(part, tonumber(ARGV[4])))) do
  if redis.call('ZSCORE', KEYS[5], id) then
    redis.call('ZREM', KEYS[4], id)
  else
    forget_job(id)
    forgotten = forgotten + 1
  end
end
for _, id in ipairs(due_members(KEYS[5], forget_until(part, tonumber(ARGV[5])))) do
  forget_job(id)
  forgotten = forgotten + 1
end

-- 5. Dead workers: their consumers soon, their names, which stay refused, after a day.
for _, worker in ipairs(due_members(KEYS[10], now - lease_ms)) do forget_worker(worker) end
for _, worker in ipairs(due_members(KEYS[7], now - GRACE_MS)) do redis.call('ZREM', KEYS[7], worker) end

-- 6. Lanes: a repair, so it looks at the ones longest unseen.
local admitted = 0
for _, lane in ipairs(redis.call('ZRANGE', KEYS[8], 0, 9)) do admitted = admitted + repair_lane(part, lane) end

more = more or #over >= batch or #due >= batch or #expiring >= batch or forgotten >= batch
return { 'ticked', int(#due), int(#over), int(#expiring), int(forgotten), int(admitted), more and '1' or '', was_set and int(part.ahead_ms) or '0' }
