-- ready: what a claim reads: the ready streams, and the jobs whose entries it was given.

-- The last id of each stream, and which of them are there: asking for more of one that is not is an error.
local function look_at(streams, first)
  local cursors, exists = {}, {}
  for i = first, #streams do
    local stream, last = streams[i], '0-0'
    exists[stream] = redis.call('EXISTS', stream) == 1
    local info = exists[stream] and redis.call('XINFO', 'STREAM', stream) or {}
    for n = 1, #info, 2 do
      if info[n] == 'last-generated-id' then last = info[n + 1] end
    end
    cursors[#cursors + 1] = last
  end
  return cursors, exists
end

-- New entries of a stream, which are pending under this worker from now on.
local function read_new(stream, worker, count)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count, 'STREAMS', stream, '>')
  if reply and reply.err then
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count, 'STREAMS', stream, '>')
  end
  return reply and reply[1] and reply[1][2] or {}
end

-- load_job for who hands a job out, with what else that takes. What is not there costs most to look for: a job
-- that nobody had yet is not asked for what a worker leaves behind.
local function load_ready(id)
  local v = redis.call('HMGET', key('job', id), 'state', 'account', 'queue', 'class', 'hold_ucr', 'slices', 'tool',
    'max_active', 'stream', 'entry', 'counted_in', 'takes', 'ttl_at', 'deadline_ms', 'rule', 'asked_ms', 'asked_outputs',
    'due_at')
  if not v[1] then return nil end
  local w = v[12] and redis.call('HMGET', key('job', id), 'token', 'worker', 'deadline_at', 'cancel_at', 'stage',
    'submissions', 'open_submission', 'takeovers', 'tries', 'route') or {}
  return job_of(id, v, w, 0), { takes = tonumber(v[12]) or 0, ttl_at = tonumber(v[13]), deadline_ms = tonumber(v[14]),
    rule = v[15], asked_ms = v[16], asked_outputs = v[17], due_at = tonumber(v[18]), tries = w[9] or '0', route = w[10] or '0' }
end

-- Puts the payloads of all jobs in place of their keys, which stand `at` that place of each row.
local function read_payloads(rows, at)
  local names = {}
  for i, row in ipairs(rows) do names[i] = row[at] end
  local payloads = names[1] and redis.call('MGET', unpack(names)) or {}
  for i, payload in ipairs(payloads) do rows[i][at] = payload or '' end
end
