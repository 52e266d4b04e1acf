-- job: a job's hash in memory, and the one way in which a job ends.
--
-- Hash job:<id>, every value short so that the hash stays a listpack. Times are ms since 1970,
-- amounts micro-credits. The payload, the work record (intent, handle, artifact) and the timeline
-- have keys of their own.

local JOB_FIELDS = { 'state', 'account', 'tool', 'queue', 'class', 'hold_ucr', 'slices', 'token', 'worker', 'stream',
  'entry', 'stage', 'tries', 'takeovers', 'submissions', 'route', 'deadline_at', 'ttl_at', 'deadline_ms',
  'cancel_at', 'takes', 'max_active', 'captured_ucr', 'absorbed_ucr', 'fail_class', 'due_at', 'open_submission',
  'started_at', 'counted_in' }
local JOB_NUMBERS = { 'hold_ucr', 'tries', 'takeovers', 'submissions', 'route', 'deadline_at', 'ttl_at',
  'deadline_ms', 'cancel_at', 'takes', 'max_active', 'captured_ucr', 'absorbed_ucr', 'due_at', 'started_at' }

-- Our fault, not the user's: a slice whose grant expired meanwhile comes back as grace credit.
local USERS_OWN = { user_input = true, content_policy = true, cancelled = true, [''] = true }

local function load_job(id)
  local v = redis.call('HMGET', key('job', id), unpack(JOB_FIELDS))
  if not v[1] then return nil end
  local job = { id = id }
  for i, name in ipairs(JOB_FIELDS) do job[name] = v[i] or '' end
  for _, name in ipairs(JOB_NUMBERS) do job[name] = tonumber(job[name]) or 0 end
  return job
end

-- Everything that ending this job will need, read and touched, the money worked out in memory.
-- `o`: state, class (failure class or ''), capture (micro-credits kept), absorbed, reason.
local function plan_end(part, job, o)
  local acct = load_account(job.account)
  expire_due(acct, part.now)
  local postings, released, trail = end_hold(acct, job.slices, o.capture, not USERS_OWN[o.class], part.now)
  uncount(acct, job.counted_in, released)
  if o.absorbed > 0 then
    postings[#postings + 1] = { 'absorbed', -o.absorbed }
    postings[2][2] = o.capture + o.absorbed -- the second posting is revenue
  end
  touch(key('payload', job.id), key('work', job.id), key('timeline', job.id), key('ready', job.stream),
    active_key(job.account, job.queue), lane_key(job.account, job.queue))
  local freed = redis.call('SISMEMBER', active_key(job.account, job.queue), job.id)
  return { job = job, acct = acct, o = o, postings = postings, released = released, trail = trail,
    admit = plan_admit(job.account, job.queue, active_max(acct, job.queue, job.max_active), freed, job.id) }
end

-- A submission that may still be running at the provider, and billed to us, outlives its job here.
local function write_obligation(part, job, why)
  local id = job.id .. '-' .. int(job.submissions)
  redis.call('HSET', key('obligation', id), 'job', job.id, 'submission', int(job.submissions), 'account',
    job.account, 'opened_at', int(part.now), 'why', why, 'work',
    cjson.encode(redis.call('HMGET', key('work', job.id), 'intent', 'handle')))
  redis.call('ZADD', PREFIX .. 'part:obligations', int(part.now), id)
  event(part, job.id, job.account, 'obligation', id)
end

-- Writes the ending. The hold ends, the stream entry goes, the lane moves up, the books say so.
local function commit_end(part, plan, more_fields)
  local job, o, acct = plan.job, plan.o, plan.acct
  commit_expiry(part, acct)
  journal(part, acct, o.state == 'succeeded' and 'settle' or 'release', o.class, job.id, plan.postings,
    ',"hold_ucr":' .. int(job.hold_ucr) .. ',"state":"' .. o.state .. '","tool":' .. cjson.encode(job.tool)
    .. ',"taken":"' .. plan.trail.taken .. '","lost":"' .. plan.trail.lost .. '"')
  commit_account(acct)
  redis.call('HSET', key('job', job.id), 'state', o.state, 'fail_class', o.class, 'captured_ucr', int(o.capture),
    'released_ucr', int(plan.released), 'absorbed_ucr', int(o.absorbed), 'finished_at', int(part.now),
    'stage', '', 'open_submission', '', unpack(more_fields))
  if job.worker ~= '' and o.by ~= 'worker' then
    redis.call('SADD', key('stops', job.worker), job.id)
    redis.call('XADD', PREFIX .. 'part:control', 'MAXLEN', '~', 1000, '*', 'w', job.worker)
  elseif job.worker ~= '' then
    redis.call('SREM', key('stops', job.worker), job.id)
  end
  if job.open_submission == '1' and o.state ~= 'succeeded' then write_obligation(part, job, o.state == 'failed' and o.class or o.state) end
  drop_entry(job)
  redis.call('ZREM', PREFIX .. 'part:deadlines', job.id)
  redis.call('ZREM', PREFIX .. 'part:due', job.id)
  redis.call('ZREM', lane_key(job.account, job.queue), job.id)
  redis.call('SREM', active_key(job.account, job.queue), job.id)
  redis.call('ZADD', PREFIX .. 'part:finished', int(part.now), job.id)
  if o.state == 'failed' or o.state == 'timed_out' then
    redis.call('ZADD', PREFIX .. 'part:deadletters', int(part.now), job.id)
  else
    redis.call('DEL', key('payload', job.id))
  end
  redis.call('HDEL', key('work', job.id), 'intent', 'handle')
  commit_admit(plan.admit)
  event(part, job.id, job.account, o.state, o.detail or o.class)
end
