#!lua flags=no-writes,allow-oom
-- look_queues: what waits and runs in each queue of a partition, at one moment and a bounded price.
-- uses: base, events
-- KEYS 1 part:meta  2 part:queues  3 part:halts  4 part:starts  5 part:due
-- ARGV 1 time or ''  2 entries of part:starts at most  3 due jobs at most
-- replies: queues now_ms open {queue:what, JSON, ...} {{queue ready running oldest_due_at|'' due} ...}
--          {{id {t now_ms queue waits ...}} ...}
-- invariant: nothing is written. (`due` are those that the sweep is about to make ready.)

local part, due, oldest = load_part(), {}, {}

local function seen(queue, id, count)
  local v = redis.call('HMGET', key('job', id), 'queue', 'due_at')
  queue = queue or v[1]
  if not queue then return end
  if count then due[queue] = (due[queue] or 0) + 1 end
  if v[2] then oldest[queue] = math.min(oldest[queue] or math.huge, tonumber(v[2])) end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', int(part.now), 'LIMIT', 0, tonumber(ARGV[3]))) do
  seen(nil, id, true)
end

-- Ready and running entries of a stream. What is ready comes after the last one handed out.
local function stream_counts(queue, class)
  local stream = key('ready', queue .. ':' .. class)
  local length, pending, last = redis.call('XLEN', stream), 0, '0-0'
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  local group = groups[1] or {}
  for n = 1, #group, 2 do
    if group[n] == 'pending' then pending = group[n + 1] end
    if group[n] == 'last-delivered-id' then last = group[n + 1] end
  end
  if length > pending then
    local first = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
    if first then seen(queue, first[2][2], false) end
  end
  return math.max(length - pending, 0), pending
end

local rows = {}
for _, queue in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local ready, running = 0, 0
  for _, class in ipairs({ 'resume', 'high', 'normal', 'low' }) do
    local r, p = stream_counts(queue, class)
    ready, running = ready + r, running + p
  end
  rows[#rows + 1] = { queue, int(ready), int(running), oldest[queue] and int(oldest[queue]) or '', int(due[queue] or 0) }
end
-- point of no return: never reached
return { 'queues', int(part.now), part.open, redis.call('HGETALL', KEYS[3]), rows,
  redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', tonumber(ARGV[2])) }
