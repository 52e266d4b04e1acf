#!lua flags=allow-oom
-- reap: declares lapsed workers dead and gives their jobs to others.
-- uses: base, events, account, expiry, caps, hold, queue, job, hooks
-- KEYS 1 part:meta  2 part:leases  3 part:dead  4 part:queues  5 part:reaping  6 part:gone
-- ARGV 1 time or ''  2 lease_ms  3 takeovers at most  4 entries at most
--      5 '' = all lapsed workers, or one worker that hands back what it does not run  6.. what it runs
-- replies: away | reaped {dead workers} {jobs taken back} orphans more
-- invariant: a job is taken from a worker only after that worker is dead, or at its own word.

local part, lease_ms, batch = load_part(), tonumber(ARGV[2]), tonumber(ARGV[4])
local own = ARGV[5] ~= ''
local workers, lapsed, keeps = { ARGV[5] }, {}, {}
if own then
  for i = 6, #ARGV do keeps[ARGV[i]] = true end
else
  -- Nobody swept for a while: the store was away, not the workers.
  if part.now - part.tick_ms > lease_ms / 2 or part.now < part.reap_after_ms then return { 'away' } end -- guard: reap_away
  lapsed = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. int(part.now), 'LIMIT', 0, 10) -- guard: reap_lapsed
end

-- point of no return
for _, worker in ipairs(lapsed) do
  redis.call('ZADD', KEYS[3], int(part.now), worker)
  redis.call('SADD', KEYS[5], worker)
  redis.call('ZREM', KEYS[2], worker)
end
if #lapsed > 0 then redis.call('HINCRBY', KEYS[1], 'leases_lost', #lapsed) end
if not own then workers = redis.call('SRANDMEMBER', KEYS[5], 10) end
local orphans, taken = 0, {}

local function is_full() return #taken + orphans >= batch end

local function take_back(worker, stream, id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local job = entry and load_job(entry[2][2])
  local mine = job and job.entry == id and key('ready', job.stream) == stream
  if mine and job.state == 'running' and job.worker == worker then -- guard: reap_own_entry
    if own and keeps[job.id] then return end -- guard: hand_back_running
    local takeovers = job.takeovers + 1
    if own then takeovers = job.takeovers end -- guard: hand_back_free
    if not own and takeovers > tonumber(ARGV[3]) then -- guard: takeovers_max
      commit_end(part, plan_end(part, job, { state = 'failed', class = 'lost', capture = 0, absorbed = 0, by = 'reap',
        detail = 'lost' }), { 'token', '', 'takeovers', int(takeovers) })
    else
      drop_entry(part, job)
      redis.call('HSET', key('job', job.id), 'token', '', 'worker', '', 'takeovers', int(takeovers))
      enqueue(job.id, job.queue, (own or job.stage ~= '') and 'resume' or job.class)
      event(part, job.id, job.account, 'taken_back', worker)
    end
    taken[#taken + 1] = job.id
  elseif mine and job.state == 'queued' then -- read, but never turned into a running job
    drop_entry(part, job)
    enqueue(job.id, job.queue, job.stage ~= '' and 'resume' or job.class)
    taken[#taken + 1] = job.id
  else
    redis.call('XACK', stream, GROUP, id)
    redis.call('XDEL', stream, id)
    orphans = orphans + 1
  end
end

-- Reads on behind what the worker keeps, so that its own jobs never hide one it does not know of.
-- Returns whether it came to the end.
local function walk(worker, stream)
  local from = '-'
  while not is_full() do
    local rows = redis.pcall('XPENDING', stream, GROUP, from, '+', batch, worker)
    if rows.err or #rows == 0 then return true end
    for _, row in ipairs(rows) do
      if is_full() then return false end
      take_back(worker, stream, row[1])
      from = '(' .. row[1]
    end
  end
  return false
end

for _, worker in ipairs(workers) do
  local done = true
  for _, queue in ipairs(redis.call('SMEMBERS', KEYS[4])) do
    for _, class in ipairs({ 'resume', 'high', 'normal', 'low' }) do
      done = walk(worker, key('ready', queue .. ':' .. class)) and done
    end
  end
  if not own and done then -- guard: reap_to_the_end
    redis.call('SREM', KEYS[5], worker)
    redis.call('ZADD', KEYS[6], int(part.now), worker)
  end
end
return { 'reaped', lapsed, taken, int(orphans), (is_full() or #lapsed >= 10) and '1' or '' }
