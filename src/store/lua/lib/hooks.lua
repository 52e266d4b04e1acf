-- hooks: what happened to a job, put into the outboxes of its account's endpoints by the script that does it.
--
-- acct:<id> `hooks`: its enabled endpoints and their topics, `<id>:<letters>;...`. part:meta `hooks`: how many
-- accounts (set part:hooked) want to hear of running jobs; `hook_room`: messages of one outbox at most.
-- Set hooks:<account>: all its endpoints. Sorted set part:hooks: those with something to do, by when (ms).
-- Hash hook:<endpoint>: account, url, topics, secret, old_secret and old_until, state, why, when what was last.
-- Stream outbox:<endpoint>: a message an entry. It stands in outdue:<endpoint> by when it is due, or in
-- outfly:<endpoint> by the end of the lease of whoever sends it. Hash outtry:<endpoint>: tries that failed.
-- Stream outdead:<endpoint>: messages that were given up, the latest of them.

-- A text, not a table: every call of a script would make a table anew, also for accounts without endpoints.
local TOPICS = ' submitted=q running=r intent=p handle=p artifact=p retry=p deferred=p taken_back=p succeeded=s failed=f timed_out=t cancelled=c '

local function forget_message(endpoint, id)
  redis.call('XDEL', key('outbox', endpoint), id)
  redis.call('ZREM', key('outdue', endpoint), id)
  redis.call('ZREM', key('outfly', endpoint), id)
  redis.call('HDEL', key('outtry', endpoint), id)
end

-- The oldest messages of a full outbox make room, those under way last: they are as good as sent.
local function make_room(endpoint, room)
  local outbox = key('outbox', endpoint)
  local surplus = 0
  surplus = math.min(redis.call('XLEN', outbox) - room + 1, 10) -- guard: outbox_room
  for _ = 1, surplus do
    local rows, oldest = redis.call('XRANGE', outbox, '-', '+', 'COUNT', 20), nil
    for i = #rows, 1, -1 do
      if i == 1 and not oldest or not redis.call('ZSCORE', key('outfly', endpoint), rows[i][1]) then oldest = rows[i][1] end
    end
    forget_message(endpoint, oldest)
    redis.call('HINCRBY', key('hook', endpoint), 'dropped', 1)
  end
end

-- A message comes in, due at once.
local function push(part, endpoint, fields)
  make_room(endpoint, tonumber(redis.call('HGET', KEYS[1], 'hook_room') or '1000'))
  local id = redis.call('XADD', key('outbox', endpoint), '*', unpack(fields))
  redis.call('ZADD', key('outdue', endpoint), int(part.now), id)
  redis.call('ZADD', PREFIX .. 'part:hooks', 'LT', int(part.now), endpoint)
end

hook = function(part, job, account, what, detail)
  local list = HOOKED[account] or ''
  local topic = list ~= '' and string.match(TOPICS, ' ' .. what .. '=(%l) ')
  if not topic or not string.find(list, ':%l*' .. topic) then return end -- guard: hook_topic
  local v = redis.call('HMGET', key('job', job), 'state', 'tool', 'queue', 'hold_ucr', 'captured_ucr', 'released_ucr',
    'fail_class')
  local fields = { 'j', job, 'n', int(redis.call('HINCRBY', key('job', job), 'hook_seq', 1)), 'e', what, 't', int(part.now),
    'a', account, 'd', string.sub(detail, 1, 200) }
  for i, name in ipairs({ 's', 'tool', 'queue', 'hold', 'captured', 'released', 'class' }) do
    if v[i] then fields[#fields + 1], fields[#fields + 2] = name, v[i] end
  end
  for endpoint, topics in string.gmatch(list, '(w[%x%-]+):(%l*);') do
    if string.find(topics, topic, 1, true) then push(part, endpoint, fields) end
  end
end

-- When somebody has to look at an endpoint again: its first message that is due, unless it has as many under
-- way as it may (`full`), or the first lease to lapse.
local function next_look(part, endpoint, full)
  local due = not full and redis.call('ZRANGE', key('outdue', endpoint), 0, 0, 'WITHSCORES')[2]
  local lapse = redis.call('ZRANGE', key('outfly', endpoint), 0, 0, 'WITHSCORES')[2]
  local at = math.min(tonumber(due or math.huge), tonumber(lapse or math.huge))
  if at == math.huge then return redis.call('ZREM', PREFIX .. 'part:hooks', endpoint) end
  redis.call('ZADD', PREFIX .. 'part:hooks', int(math.max(at, part.now)), endpoint)
end

-- Writes what an account's jobs have to know of its endpoints.
local function index_hooks(account)
  local ids, list, wanted = redis.call('SMEMBERS', key('hooks', account)), '', false
  table.sort(ids)
  for _, id in ipairs(ids) do
    local v = redis.call('HMGET', key('hook', id), 'state', 'topics')
    if v[1] == 'enabled' then -- guard: hook_enabled
      list = list .. id .. ':' .. v[2] .. ';'
      wanted = wanted or string.find(v[2], '[rp]') ~= nil
    end
  end
  if list ~= '' then redis.call('HSET', key('acct', account), 'hooks', list) else redis.call('HDEL', key('acct', account), 'hooks') end
  redis.call(wanted and 'SADD' or 'SREM', PREFIX .. 'part:hooked', account)
  redis.call('HSET', KEYS[1], 'hooks', redis.call('SCARD', PREFIX .. 'part:hooked'))
end

-- From here on nothing new comes in and nothing goes out; what waits stays.
local function disable_hook(part, endpoint, account, why)
  redis.call('HSET', key('hook', endpoint), 'state', 'disabled', 'why', why, 'changed_at', int(part.now))
  redis.call('ZREM', PREFIX .. 'part:hooks', endpoint)
  index_hooks(account)
  event(part, '', account, 'webhook_disabled', endpoint .. ' ' .. why)
end

-- The partition's clock had been ahead and was set back (lib/clock.lua): what was put off meanwhile is due by as
-- much earlier. A batch at a call; ranks and scores only fall, so that a rank skips none.
local function mend_hooks(part, batch)
  local v = redis.call('HMGET', KEYS[1], 'clock_set_at', 'clock_set_ms', 'hooks_mended', 'hooks_rank')
  if not v[1] or v[1] == v[3] then return end -- guard: hooks_clock_back
  local rank, ahead = tonumber(v[4] or '0'), tonumber(v[2])
  local ids = redis.call('ZRANGE', PREFIX .. 'part:hooks', rank, rank + batch - 1)
  for _, endpoint in ipairs(ids) do
    if redis.call('HGET', key('hook', endpoint), 'mended') ~= v[1] then -- met again where others fell below it
      for _, noun in ipairs({ 'outdue', 'outfly' }) do
        local rows = redis.call('ZRANGEBYSCORE', key(noun, endpoint), '(' .. int(part.now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
        for i = 1, #rows, 2 do
          redis.call('ZADD', key(noun, endpoint), int(math.max(part.now, tonumber(rows[i + 1]) - ahead)), rows[i])
        end
      end
      redis.call('HSET', key('hook', endpoint), 'mended', v[1])
      redis.call('HDEL', key('hook', endpoint), 'throttled_until', 'failing_since')
      next_look(part, endpoint, false)
    end
  end
  redis.call('HSET', KEYS[1], 'hooks_rank', int(#ids < batch and 0 or rank + batch))
  if #ids < batch then redis.call('HSET', KEYS[1], 'hooks_mended', v[1]) end
end
