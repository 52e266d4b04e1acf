#!lua flags=allow-oom
-- claim_obligation: hands out obligations that are due for a look, under a lease.
-- uses: base, events
-- KEYS 1 part:meta  2 part:obligations  3 part:owed
-- ARGV 1 time or ''  2 lease_ms  3 obligations at most
-- replies: claimed {obligation...}, each: id, lease's end, age_ms, looks before, job, submission, why, work
-- invariant: an obligation is under one lease at a time; what a dead process had is due again when its lease ends.
--
-- part:owed = open obligations by when they are looked at next.

local part, out = load_part(), {}
local until_ms = int(part.now + tonumber(ARGV[2]))
local unlisted = {}
local missing = redis.call('ZCARD', KEYS[2]) - redis.call('ZCARD', KEYS[3])
for _, id in ipairs(missing > 0 and redis.call('ZRANGE', KEYS[2], 0, 99) or {}) do
  if not redis.call('ZSCORE', KEYS[3], id) then unlisted[#unlisted + 1] = id end -- guard: unlisted_obligations
end

-- point of no return
for _, id in ipairs(unlisted) do redis.call('ZADD', KEYS[3], int(part.now), id) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', int(part.now), 'LIMIT', 0, tonumber(ARGV[3]))) do
  local v = redis.call('HMGET', key('obligation', id), 'opened_at', 'looks', 'job', 'submission', 'why', 'work')
  if v[1] then
    redis.call('ZADD', KEYS[3], until_ms, id)
    redis.call('HINCRBY', key('obligation', id), 'looks', 1)
    out[#out + 1] = { id, until_ms, int(part.now - tonumber(v[1])), v[2] or '0', v[3], v[4], v[5], v[6] }
  else -- guard: obligation_without_words
    redis.call('ZREM', KEYS[3], id)
    redis.call('ZREM', KEYS[2], id)
  end
end
return { 'claimed', out }
