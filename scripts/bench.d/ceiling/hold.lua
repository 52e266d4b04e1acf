-- The least that holds credit and queues a job. KEYS account, job, stream, journal; ARGV job, amount, payload.
local available = tonumber(redis.call('HGET', KEYS[1], 'available'))
local amount = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 1 or available < amount then return 0 end
redis.call('HINCRBY', KEYS[1], 'available', -amount)
redis.call('HINCRBY', KEYS[1], 'held', amount)
redis.call('HSET', KEYS[2], 'state', 'queued', 'account', KEYS[1], 'hold', ARGV[2], 'takes', 0, 'payload', ARGV[3])
redis.call('XADD', KEYS[3], '*', 'j', ARGV[1])
redis.call('XADD', KEYS[4], '*', 'what', 'hold', 'j', ARGV[1], 'n', ARGV[2])
return 1
