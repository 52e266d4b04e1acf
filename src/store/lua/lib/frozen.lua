-- frozen: what stands still, because figures differ or an operator says so.
--
-- Hash part:frozen: an account, or '*' for the whole partition -> JSON: at_ms, actor, reason, op,
-- before (the account's state until then), differed (what an audit found, a list of texts).
-- part:meta has `frozen` (the reason, while the whole partition is) and `frozen_n` (how many accounts
-- are), which load_part reads anyway: where nothing is frozen, looking costs nothing.
-- Set parked:<account>: jobs that a claim or the sweep put off, for the clear that lets them go on.

local PARK_MS = 60000
local PARTITION = '*'

local function is_frozen(part, account)
  return part.frozen_n > 0 and redis.call('HEXISTS', PREFIX .. 'part:frozen', account) == 1
end

-- Why an account cannot spend now: the whole partition's reason stands above its own. nil = it can.
local function frozen_reason(part, account)
  if part.frozen then return part.frozen end
  local row = redis.call('HGET', PREFIX .. 'part:frozen', account)
  return row and cjson.decode(row).reason or nil
end

-- Puts off a job whose account is frozen. It keeps its hold, its place among the active ones and its
-- clocks; it is looked at again in a minute, or as soon as a clear says so.
local function park(part, job)
  redis.call('SADD', key('parked', job.account), job.id)
  redis.call('ZADD', PREFIX .. 'part:due', int(part.now + PARK_MS), job.id)
end

local function count_frozen()
  local n = redis.call('HLEN', PREFIX .. 'part:frozen') - redis.call('HEXISTS', PREFIX .. 'part:frozen', PARTITION)
  redis.call('HSET', KEYS[1], 'frozen_n', int(n))
end

-- Freezes an account or PARTITION; the caller has made sure that it is not frozen yet. `o`: actor,
-- reason, op, differed (JSON, a list of texts), state (the account's, nil where it has none).
-- Returns the row that stands in part:frozen.
local function freeze(part, who, o)
  local row = '{"at_ms":' .. int(part.now) .. ',"actor":' .. cjson.encode(o.actor) .. ',"reason":' .. cjson.encode(o.reason)
    .. ',"op":' .. cjson.encode(o.op) .. ',"before":"' .. (o.state or '') .. '","differed":' .. o.differed .. '}'
  redis.call('HSET', PREFIX .. 'part:frozen', who, row)
  if who == PARTITION then
    redis.call('HSET', KEYS[1], 'frozen', o.reason)
  else
    count_frozen()
    if o.state then redis.call('HSET', key('acct', who), 'state', 'frozen') end
  end
  local n = #cjson.decode(o.differed)
  note_act(part, o.actor, 'freeze', who, o.reason, n > 0 and int(n) .. ' found to differ' or '')
  event(part, '', who == PARTITION and '' or who, 'frozen', o.reason)
  return row
end
