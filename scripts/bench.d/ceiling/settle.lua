-- The least that ends a job. KEYS account, job, stream, journal; ARGV job, entry, takes, captured, result.
local found = redis.call('HMGET', KEYS[2], 'state', 'takes', 'hold')
if found[1] ~= 'running' or found[2] ~= ARGV[3] then return 0 end
local hold, captured = tonumber(found[3]), tonumber(ARGV[4])
redis.call('HINCRBY', KEYS[1], 'held', -hold)
redis.call('HINCRBY', KEYS[1], 'available', hold - captured)
redis.call('HINCRBY', KEYS[1], 'captured', captured)
redis.call('HSET', KEYS[2], 'state', 'succeeded', 'captured', ARGV[4], 'result', ARGV[5])
redis.call('HDEL', KEYS[2], 'payload')
redis.call('XADD', KEYS[4], '*', 'what', 'settle', 'j', ARGV[1], 'n', ARGV[4])
redis.call('XACK', KEYS[3], 'workers', ARGV[2])
redis.call('XDEL', KEYS[3], ARGV[2])
return 1
