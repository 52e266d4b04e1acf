-- queue: how a job gets into a ready stream, and how an account's lane moves up.
--
-- Streams ready:<queue>:<class> carry one field, j = job id. A job is active (in the set
-- active:<account>:<queue>) while it is ready, running or deferred; the others of its account wait in
-- the sorted set lane:<account>:<queue>, scored by class and sequence.

local CLASS_RANK = { front = 0, high = 1, normal = 2, low = 3 }
local STARTS_MAX = 100
local RANK_STEP = 1125899906842624 -- 2^50: sequences stay below it, scores stay exact in a double

-- How many lanes of the partition have somebody in them, or had until lately; read once. Where it is 0 none has.
local lanes = nil
local function lane_length(account, queue)
  lanes = lanes or redis.call('ZCARD', PREFIX .. 'part:lanes')
  return lanes > 0 and redis.call('ZCARD', key('lane', account .. ':' .. queue)) or 0
end

local function lane_key(account, queue) return key('lane', account .. ':' .. queue) end
local function active_key(account, queue) return key('active', account .. ':' .. queue) end

-- Whether operators have halted a queue: `what` is paused (nothing new is handed out) or draining
-- (nothing new is taken). The words stand in part:meta, ` <queue>:<what> `, so that a house in which
-- nothing is halted pays nothing for asking; who and why stand in part:halts.
local function is_halted(part, queue, what)
  return part.halts ~= '' and string.find(part.halts, ' ' .. queue .. ':' .. what .. ' ', 1, true) ~= nil
end

-- How long the jobs of one claim had waited since they were due, ms, by queue: one entry for all.
local function note_starts(part, waits)
  local row = { 't', int(part.now) }
  for queue, list in pairs(waits) do
    row[#row + 1] = queue
    row[#row + 1] = table.concat(list, ',')
  end
  if #row > 2 then redis.call('XADD', PREFIX .. 'part:starts', 'MAXLEN', '~', STARTS_MAX, '*', unpack(row)) end
end

-- Puts a job into a ready stream. `class` may be 'resume' for a job that a worker can pick up midway.
local function enqueue(job, queue, class)
  local entry = redis.call('XADD', key('ready', queue .. ':' .. class), '*', 'j', job)
  redis.call('HSET', key('job', job), 'state', 'queued', 'stream', queue .. ':' .. class, 'entry', entry)
end

local function enter_lane(part, job, account, queue, class)
  local order = redis.call('HINCRBY', KEYS[1], 'lane_seq', 1)
  redis.call('ZADD', lane_key(account, queue), int(CLASS_RANK[class] * RANK_STEP + order), job)
  redis.call('ZADD', PREFIX .. 'part:lanes', 'NX', int(part.now), account .. ':' .. queue)
  lanes = 1 -- guard: lane_of_this_call
  redis.call('HSET', key('job', job), 'state', 'queued', 'stream', '', 'entry', '')
end

-- active_max for scripts that have not loaded the account. What a job copied at its submission is only
-- the default of the settings then: an account's own number counts from the moment it is set.
local function limit_now(account, queue, default)
  local v = redis.call('HMGET', key('acct', account), 'max_active', 'limits')
  return active_max({ max_active = tonumber(v[1] or '0'), limits = v[2] or '' }, queue, default)
end

local NOBODY = { jobs = {} }

-- Which jobs of a lane become active when `freed` members leave the set: never `leaving`, the job
-- that ends. Only reads, and touches every key that commit_admit will write.
local function plan_admit(account, queue, max_active, freed, leaving)
  if lane_length(account, queue) == 0 then return NOBODY end
  local plan = { account = account, queue = queue, jobs = {} }
  local active = redis.call('SCARD', active_key(account, queue)) - freed
  local room = math.min(max_active - active, 100)
  if room <= 0 then return plan end
  for _, job in ipairs(redis.call('ZRANGE', lane_key(account, queue), 0, room - 1)) do
    if job ~= leaving then -- guard: ended_stays_ended
      plan.jobs[#plan.jobs + 1] = { id = job, class = redis.call('HGET', key('job', job), 'class') }
    end
  end
  return plan
end

local function commit_admit(plan)
  for _, job in ipairs(plan.jobs) do
    redis.call('ZREM', lane_key(plan.account, plan.queue), job.id)
    if job.class then -- a member without a job is only taken out
      redis.call('SADD', active_key(plan.account, plan.queue), job.id)
      enqueue(job.id, plan.queue, job.class)
    end
  end
  if #plan.jobs > 0 and redis.call('EXISTS', lane_key(plan.account, plan.queue)) == 0 then
    redis.call('ZREM', PREFIX .. 'part:lanes', plan.account .. ':' .. plan.queue)
  end
end

-- The lanes of an account that move when its limits rise, over all queues there are.
local function plan_all_lanes(acct, default)
  local plans = {}
  for _, queue in ipairs(redis.call('SMEMBERS', PREFIX .. 'part:queues')) do
    touch(active_key(acct.id, queue), key('ready', queue .. ':normal'))
    plans[#plans + 1] = plan_admit(acct.id, queue, active_max(acct, queue, default), 0, '')
  end
  return plans
end

local function commit_all_lanes(plans)
  local admitted = 0
  for _, plan in ipairs(plans) do
    commit_admit(plan)
    admitted = admitted + #plan.jobs
  end
  return admitted
end

-- Takes a job's entry out of its stream, whoever has it pending.
local function drop_entry(part, job)
  if job.entry ~= '' then
    local stream = key('ready', job.stream)
    put_off(part, 'XACK', stream, job.entry)
    put_off(part, 'XDEL', stream, job.entry)
  end
end
