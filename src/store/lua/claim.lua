#!lua flags=allow-oom
-- claim: hands a worker as many ready jobs as it has free slots, each with a new token.
-- uses: base, events, account, expiry, caps, hold, queue, job, ready, acts, frozen, hooks
-- KEYS 1 part:meta  2 part:leases  3 part:dead  4.. four streams a queue: resume, high, normal, low
-- ARGV 1 time or ''  2 worker  3 lease_ms  4 nonce  5 '1' = serve low before high this time
--      6.. a queue and its free slots, in the order of KEYS
-- replies: lost | claimed {job...} {last id of each stream} ended more reason
--          (ended counts what was dropped or put off; reason is why the whole partition is frozen, or '')
-- A paused queue hands out only its first stream: what had begun goes on, wherever.
-- invariant: a job that is handed out is running under this worker and no other token is valid.
--
-- This is the one script that learns its keys by its first write (reading from the group). An entry
-- that it could not turn into a running job stays pending, and reap puts it back.

local part, worker, lease_ms = load_part(), ARGV[2], tonumber(ARGV[3])
local lease = tonumber(redis.call('ZSCORE', KEYS[2], worker) or '0')
if redis.call('ZSCORE', KEYS[3], worker) then return { 'lost' } end -- guard: claim_dead_worker
local away = part.now - part.tick_ms > lease_ms / 2 or part.now < part.reap_after_ms
if lease > 0 and lease < part.now and not away then return { 'lost' } end -- guard: claim_lapsed_worker

-- Read before the streams are: a job that arrives afterwards wakes the worker.
local cursors, exists = look_at(KEYS, 4)

-- point of no return
redis.call('ZADD', KEYS[2], int(part.now + lease_ms), worker)
local ended, waits = 0, {}
begin_later(part)
local function read(stream, count)
  -- Looking must not make a stream, nor a consumer that stays; a job that ended here may have let one in.
  if not exists[stream] and (ended == 0 or redis.call('EXISTS', stream) == 0) then return {} end
  return read_new(stream, worker, count)
end

local function drop(stream, entry)
  put_off(part, 'XACK', stream, entry)
  put_off(part, 'XDEL', stream, entry)
  ended = ended + 1
end

local function start(stream, entry, id)
  local job, more = load_ready(id)
  if not job or job.state ~= 'queued' or job.entry ~= entry then return drop(stream, entry) end -- guard: stale_entry
  local state = nil
  if job.cancel_at > 0 then state = 'cancelled' end -- guard: claim_cancelled
  if part.now >= (job.deadline_at > 0 and job.deadline_at or more.ttl_at) then state = 'timed_out' end -- guard: claim_deadline
  if state then
    commit_end(part, plan_end(part, job, { state = state, class = state == 'timed_out' and 'timeout' or '',
      capture = 0, absorbed = 0, by = 'claim' }), { 'token', '' })
    ended = ended + 1
    return nil
  end
  if is_frozen(part, job.account) then -- guard: claim_frozen
    drop_entry(part, job)
    redis.call('HSET', key('job', id), 'state', 'scheduled', 'stream', '', 'entry', '', 'due_at', int(part.now + PARK_MS))
    park(part, job)
    event(part, id, job.account, 'deferred', 'frozen')
    ended = ended + 1
    return nil
  end
  local takes = int(more.takes + 1)
  local token = takes .. '-' .. ARGV[4]
  local deadline = job.deadline_at > 0 and job.deadline_at or part.now + more.deadline_ms
  local deadline_text = int(deadline)
  if job.deadline_at == 0 then put_off(part, 'ZADD', PREFIX .. 'part:deadlines', deadline_text, id) end
  redis.call('HSET', key('job', id), 'state', 'running', 'token', token, 'takes', takes, 'worker', worker,
    'started_at', part.at, 'deadline_at', deadline_text)
  if job.takeovers == 0 and job.stream ~= job.queue .. ':resume' then
    waits[job.queue] = waits[job.queue] or {}
    table.insert(waits[job.queue], int(math.max(part.now - more.due_at, 0)))
  end
  event(part, id, job.account, 'running', worker, more.takes == 0 and 'early')
  local work = { false, false, false }
  if job.stage ~= '' then work = redis.call('HMGET', key('work', id), 'intent', 'handle', 'artifact') end
  return { id, token, job.account, job.tool, job.queue, job.stage, more.tries, int(job.takeovers),
    int(job.submissions), more.route, int(deadline - part.now), job.hold_text, more.rule, more.asked_ms, more.asked_outputs,
    key('payload', id), work[1] or '', work[2] or '', work[3] or '' }
end

local jobs = {}
local function is_full() return #jobs >= 100 or ended >= 100 end
local queues = (#KEYS - 3) / 4
if part.frozen then queues = 0 end -- guard: claim_frozen_partition
for q = 0, queues - 1 do
  local free = tonumber(ARGV[6 + q * 2 + 1])
  local order = { 0, 1, 2, 3 }
  if ARGV[5] == '1' then order = { 0, 3, 2, 1 } end -- guard: low_never_starves
  if is_halted(part, ARGV[6 + q * 2], 'paused') then order = { 0 } end -- guard: claim_paused
  for _, class in ipairs(order) do
    local stream = KEYS[4 + q * 4 + class]
    while free > 0 do
      local entries = read(stream, math.min(free, 100))
      for _, entry in ipairs(entries) do
        local job = start(stream, entry[1], entry[2][2])
        if job then
          jobs[#jobs + 1] = job
          free = free - 1
        end
      end
      if #entries == 0 or is_full() then break end
    end
  end
end
note_starts(part, waits)
write_later(part)
read_payloads(jobs, 16)
return { 'claimed', jobs, cursors, int(ended), is_full() and '1' or '', part.frozen or '' }
