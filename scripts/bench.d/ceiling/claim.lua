-- The least that hands jobs out. KEYS stream; ARGV worker, how many.
local read = redis.call('XREADGROUP', 'GROUP', 'workers', ARGV[1], 'COUNT', ARGV[2], 'STREAMS', KEYS[1], '>')
local jobs = {}
for _, entry in ipairs(read and read[1][2] or {}) do
  local job = 'job:' .. entry[2][2]
  local found = redis.call('HMGET', job, 'state', 'takes', 'payload')
  local takes = tonumber(found[2]) + 1
  redis.call('HSET', job, 'state', 'running', 'takes', takes, 'worker', ARGV[1])
  jobs[#jobs + 1] = { entry[1], entry[2][2], takes, found[3] }
end
return jobs
