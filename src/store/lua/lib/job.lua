-- job: a job's hash in memory, and the one way in which a job ends.
--
-- Hash job:<id>, every value short so that the hash stays a listpack. Times are ms since 1970,
-- amounts micro-credits. The payload, the work record (intent, handle, artifact) and the timeline
-- have keys of their own.

-- Our fault, not the user's: a slice whose grant expired meanwhile comes back as grace credit.
local USERS_OWN = { user_input = true, content_policy = true, cancelled = true, [''] = true }

-- What a job is that was never told otherwise. A table of up to sixteen fields is cheap to make: what is seldom
-- there stands here, once for all jobs of a call.
local UNTOLD = { __index = { account = '', queue = '', class = '', hold_text = '0', slices = '', tool = '', stream = '',
  entry = '', counted_in = '', token = '', worker = '', deadline_at = 0, cancel_at = 0, stage = '', submissions = 0,
  open_submission = '', takeovers = 0 } }

-- A job out of its fields: `v` has those that submit writes, `w` from n + 1 on those of a job that a worker had.
local function job_of(id, v, w, n)
  if hooks_wanted and not HOOKED[v[2]] then HOOKED[v[2]] = redis.call('HGET', key('acct', v[2]), 'hooks') or '' end
  local job = setmetatable({ id = id, state = v[1], account = v[2] or nil, queue = v[3] or nil, class = v[4] or nil,
    hold_ucr = tonumber(v[5]) or 0, hold_text = v[5] or nil, slices = v[6] or nil, tool = v[7] or nil,
    max_active = tonumber(v[8]) or 0, stream = v[9] or nil, entry = v[10] or nil, counted_in = v[11] or nil }, UNTOLD)
  if w[n + 1] then job.token = w[n + 1] end
  if w[n + 2] then job.worker = w[n + 2] end
  if w[n + 3] then job.deadline_at = tonumber(w[n + 3]) end
  if w[n + 4] then job.cancel_at = tonumber(w[n + 4]) end
  if w[n + 5] then job.stage = w[n + 5] end
  if w[n + 6] then job.submissions = tonumber(w[n + 6]) end
  if w[n + 7] then job.open_submission = w[n + 7] end
  if w[n + 8] then job.takeovers = tonumber(w[n + 8]) end
  return job
end

-- What most transitions have to know of a job, the fields that submit writes first in front: each look-up in
-- the list walks it from there. nil where there is no such job; what was never written is '' or 0.
local function load_job(id)
  local v = redis.call('HMGET', key('job', id), 'state', 'account', 'queue', 'class', 'hold_ucr', 'slices', 'tool',
    'max_active', 'stream', 'entry', 'counted_in', 'token', 'worker', 'deadline_at', 'cancel_at', 'stage', 'submissions',
    'open_submission', 'takeovers')
  return v[1] and job_of(id, v, v, 11) or nil
end

-- Everything that ending this job will need, read and touched, the money worked out in memory.
-- `o`: state, class (failure class or ''), capture (micro-credits kept), absorbed, reason.
local function plan_end(part, job, o)
  local acct = load_account(job.account, true)
  expire_due(acct, part.now)
  local postings, released, trail = end_hold(acct, job.slices, o.capture, not USERS_OWN[o.class], part.now)
  uncount(acct, job.counted_in, released)
  if o.absorbed > 0 then
    postings[#postings + 1] = { 'absorbed', -o.absorbed }
    postings[2][2] = o.capture + o.absorbed -- the second posting is revenue
  end
  local active = active_key(job.account, job.queue)
  local freed = job.entry ~= '' and 1 or redis.call('SISMEMBER', active, job.id) -- with an entry it is active
  return { job = job, acct = acct, o = o, postings = postings, released = released, released_text = int(released), trail = trail,
    admit = plan_admit(job.account, job.queue, active_max(acct, job.queue, job.max_active), freed, job.id) }
end

-- A submission that may still be running at the provider, and billed to us, outlives its job here.
local function write_obligation(part, job, why)
  local id = job.id .. '-' .. int(job.submissions)
  redis.call('HSET', key('obligation', id), 'job', job.id, 'submission', int(job.submissions), 'account',
    job.account, 'opened_at', int(part.now), 'why', why, 'tool', job.tool, 'cost', job.cost or '', 'work',
    cjson.encode(redis.call('HMGET', key('work', job.id), 'intent', 'handle')))
  redis.call('ZADD', PREFIX .. 'part:obligations', int(part.now), id)
  redis.call('ZADD', PREFIX .. 'part:owed', int(part.now), id)
  event(part, job.id, job.account, 'obligation', id)
end

-- Writes the ending. The hold ends, the stream entry goes, the lane moves up, the books say so.
local function commit_end(part, plan, more_fields)
  local job, o, acct = plan.job, plan.o, plan.acct
  commit_expiry(part, acct)
  journal(part, acct, o.state == 'succeeded' and 'settle' or 'release', o.class, job.id, plan.postings,
    ',"hold_ucr":' .. job.hold_text .. ',"state":"' .. o.state .. '","tool":' .. cjson.encode(job.tool)
    .. ',"taken":"' .. plan.trail.taken .. '","lost":"' .. plan.trail.lost .. '"', job.queue, -1, -job.hold_ucr)
  commit_account(acct)
  local row = more_fields
  if o.absorbed > 0 then row[#row + 1], row[#row + 2] = 'absorbed_ucr', int(o.absorbed) end
  if job.stage ~= '' then row[#row + 1], row[#row + 2] = 'stage', '' end
  if job.submissions > 0 then row[#row + 1], row[#row + 2] = 'open_submission', '' end
  redis.call('HSET', key('job', job.id), 'state', o.state, 'fail_class', o.class, 'captured_ucr', int(o.capture),
    'released_ucr', plan.released_text, 'finished_at', part.at, unpack(row))
  if job.worker ~= '' and o.by ~= 'worker' then
    redis.call('SADD', key('stops', job.worker), job.id)
    redis.call('XADD', PREFIX .. 'part:control', 'MAXLEN', '~', 1000, '*', 'w', job.worker)
  elseif job.cancel_at > 0 then -- only a cancel gives an order to stop a job that has not ended
    redis.call('SREM', key('stops', job.worker), job.id)
  end
  if job.open_submission == '1' and o.state ~= 'succeeded' then write_obligation(part, job, o.state == 'failed' and o.class or o.state) end
  drop_entry(part, job)
  put_off(part, 'ZREM', PREFIX .. 'part:deadlines', job.id)
  if job.entry == '' then -- with an entry it stands in its stream, and nowhere else
    redis.call('ZREM', PREFIX .. 'part:due', job.id)
    redis.call('ZREM', lane_key(job.account, job.queue), job.id)
  end
  redis.call('SREM', active_key(job.account, job.queue), job.id)
  put_off(part, 'ZADD', PREFIX .. 'part:finished', part.at, job.id)
  if o.state == 'failed' or o.state == 'timed_out' then
    put_off(part, 'ZADD', PREFIX .. 'part:deadletters', part.at, job.id)
  else
    put_off(part, 'DEL', nil, key('payload', job.id))
  end
  if job.stage ~= '' then redis.call('HDEL', key('work', job.id), 'intent', 'handle') end
  commit_admit(plan.admit)
  event(part, job.id, job.account, o.state, o.detail or o.class)
end
