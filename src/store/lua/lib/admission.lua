-- admission: what it takes to hold credit for a job and to bring it into a queue.
--
-- A request `r` carries: account, job, queue, class, need (micro-credits), delay (ms), ttl (ms from when it
-- is due), max_active (the default, where the account has no number of its own), open_max (open jobs of
-- this partition), lane_max, house (the house pays: nothing is taken from the account, no cap counts it).

-- Checks in memory and pins the slices. Returns a refusal, or nothing: then r has slices, max_active, due,
-- state, and whether it is active at once. What is pinned is written by commit_admission alone.
local function plan_admission(part, acct, r)
  if is_halted(part, r.queue, 'draining') then return { 'queue_draining', r.queue } end -- guard: queue_draining
  part.open_jobs = part.open_jobs or redis.call('ZCARD', PREFIX .. 'part:deadlines')
  if part.open_jobs >= r.open_max then return { 'queue_full' } end -- guard: queue_room
  local spent = not r.house and spent_now(acct, part.now)
  local capped = spent and over_cap(acct, spent, r.need)
  if capped then return capped end
  expire_due(acct, part.now)
  if not r.house and (acct.debt > 0 or acct.available < r.need) then -- guard: sufficient
    return { 'insufficient', int(r.need), int(acct.available - acct.debt) }
  end
  local waiting = lane_length(r.account, r.queue)
  local room, most = waiting == 0, active_max(acct, r.queue, r.max_active)
  if room and redis.call('SCARD', active_key(r.account, r.queue)) >= most then room = false end -- guard: max_active
  if r.delay == 0 and not room and waiting >= r.lane_max then return { 'lane_full' } end -- guard: lane_max
  r.slices = r.house and pin_house(acct, r.need) or pin_slices(acct, r.need)
  r.counted_in = spent and count_hold(acct, spent, r.need) or ''
  r.due, r.state, r.active = part.now + r.delay, r.delay > 0 and 'scheduled' or 'queued', r.delay == 0 and room
end

-- Writes the hold and the job: its hash `fields` with what admission adds to them, its payload, its place.
local function commit_admission(part, acct, r, fields, payload, op)
  local text = r.ceiling or int(r.need)
  local postings = { { r.house and 'promo' or 'available', -r.need, '-' .. text }, { 'held', r.need, text } }
  commit_expiry(part, acct)
  local queue_is_known = counts_of(part)[r.queue]
  journal(part, acct, 'hold', op, r.job, postings, ',"slices":"' .. r.slices .. '"', r.queue, 1, r.need)
  commit_account(acct)
  local ready, stream, entry = r.queue .. ':' .. r.class, '', ''
  local due, ttl_at = r.delay > 0 and int(r.due) or part.at, int(r.due + r.ttl)
  if r.active then
    stream, entry = ready, redis.call('XADD', key('ready', ready), '*', 'j', r.job)
    redis.call('SADD', active_key(r.account, r.queue), r.job)
  end
  -- What claims and settlements read stands in front, `fields` begin with it too.
  redis.call('HSET', key('job', r.job), 'state', r.state, 'account', r.account, 'queue', r.queue, 'class', r.class,
    'hold_ucr', text, 'slices', r.slices, 'max_active', int(r.max_active), 'stream', stream, 'entry', entry,
    'counted_in', r.counted_in, 'ttl_at', ttl_at, 'due_at', due, unpack(fields))
  put_off(part, 'MSET', nil, key('payload', r.job), payload)
  redis.call('ZADD', key('jobs', r.account), part.at, r.job)
  put_off(part, 'ZADD', PREFIX .. 'part:deadlines', ttl_at, r.job)
  part.open_jobs = part.open_jobs + 1
  if not queue_is_known then redis.call('SADD', PREFIX .. 'part:queues', r.queue) end
  if r.delay > 0 then
    redis.call('ZADD', PREFIX .. 'part:due', due, r.job)
  elseif not r.active then
    enter_lane(part, r.job, r.account, r.queue, r.class)
  end
  event(part, r.job, r.account, 'submitted', r.state, 'new')
end
