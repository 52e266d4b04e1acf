#!lua flags=allow-oom
-- heartbeat: renews a worker's lease and tells it what to stop. Never re-adds a lapsed worker.
-- uses: base, events
-- KEYS 1 part:meta  2 part:leases  3 part:dead  4 stops (of the worker)  5 part:workers
--      6 part:drains  7.. the streams it serves
-- ARGV 1 time or ''  2 worker  3 lease_ms  4 what the worker says of itself, JSON
--      5 words of its process that were fenced since the last one  6.. jobs it has stopped since
-- replies: lost | renewed {jobs to stop} pending schema order
--          (order: why the worker is to leave, JSON, or '')
-- invariant: a lease is only ever prolonged by the worker that has it.

local part, worker, lease_ms = load_part(), ARGV[2], tonumber(ARGV[3])
local lease = tonumber(redis.call('ZSCORE', KEYS[2], worker) or '0')
if lease == 0 then return { 'lost' } end -- guard: heartbeat_no_lease
local away = part.now - part.tick_ms > lease_ms / 2 or part.now < part.reap_after_ms
if lease < part.now and not away then return { 'lost' } end -- guard: heartbeat_lapsed
local pending = 0
for i = 7, #KEYS do
  local rows = redis.pcall('XPENDING', KEYS[i], GROUP, '-', '+', 1000, worker)
  if not rows.err then pending = pending + #rows end
end
touch(KEYS[4], KEYS[5], KEYS[6])

-- point of no return
redis.call('ZADD', KEYS[2], 'XX', int(part.now + lease_ms), worker)
redis.call('HSET', KEYS[5], worker, ARGV[4])
if ARGV[5] ~= '0' then redis.call('HINCRBY', KEYS[1], 'fenced', ARGV[5]) end
for i = 6, #ARGV do redis.call('SREM', KEYS[4], ARGV[i]) end
local stops = redis.call('SRANDMEMBER', KEYS[4], 100)
return { 'renewed', stops, int(pending), redis.call('HGET', KEYS[1], 'schema') or '',
  redis.call('HGET', KEYS[6], worker) or '' }
