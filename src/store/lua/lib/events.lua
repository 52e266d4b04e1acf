-- events: what happened, for those who follow and for the job's own timeline; and writes that wait for others.
--
-- Stream part:events: an entry of one event has j = job, a = account, e = what, d = detail, t = when (ms); an
-- entry of several has t, and p = a line `what job account detail` for each. String timeline:<job>: a line of
-- when, what and detail for each event.
--
-- A script with many items writes with one command what its items add to one key: a command costs more than
-- what is done in it. `part.later` holds such commands until write_later; nothing reads those keys before.

local EVENTS_MAX, EVENTS_OF_ENTRY, TIMELINE_MAX_BYTES = 10000, 8, 8192
-- Events that a job has once: its timeline has room for them however long the story was.
local ONCE = { submitted = true, succeeded = true, failed = true, timed_out = true, cancelled = true }

-- From here on writes wait. `alone`: there is one item, and only what every item has several of waits.
local function begin_later(part, alone) part.later, part.told, part.alone = {}, {}, alone end

-- Adds a word or two to a command that takes any number of them; where nothing waits, it is done now. `name` is
-- the key it is about, nil where the words are keys themselves.
local function put_off(part, command, name, one, two)
  local later = part.later
  if not later or part.alone and command ~= 'MSET' then
    if command == 'XACK' then return redis.call(command, name, GROUP, one) end
    if not name then return two and redis.call(command, one, two) or redis.call(command, one) end
    return two and redis.call(command, name, one, two) or redis.call(command, name, one)
  end
  local row = later[command .. (name or '')]
  if not row then
    row = { command, name }
    if command == 'XACK' then row[3] = GROUP end
    later[command .. (name or '')], later[#later + 1] = row, row
  end
  local n = #row
  row[n + 1], row[n + 2] = one, two
end

local function write_later(part)
  for _, row in ipairs(part.later) do redis.call(unpack(row)) end
  local told = part.told
  for i = 1, #told, EVENTS_OF_ENTRY do
    redis.call('XADD', PREFIX .. 'part:events', 'MAXLEN', '~', EVENTS_MAX, '*', 't', part.at, 'p',
      table.concat(told, '\n', i, math.min(i + EVENTS_OF_ENTRY - 1, #told)))
  end
  part.later = nil
end

-- One line in the partition's bounded event stream and one in the job's own timeline. `story`: 'new' where this is its
-- first line, 'early' where it cannot be long yet.
local function event(part, job, account, what, detail, story)
  if part.later and not string.find(detail, '\n', 1, true) then
    part.told[#part.told + 1] = what .. ' ' .. job .. ' ' .. account .. ' ' .. detail
  else
    redis.call('XADD', PREFIX .. 'part:events', 'MAXLEN', '~', EVENTS_MAX, '*',
      'j', job, 'a', account, 'e', what, 'd', detail, 't', part.at)
  end
  if job == '' then return end -- about an account alone
  local timeline, line = key('timeline', job), part.at .. ' ' .. what .. ' ' .. detail .. '\n'
  if story == 'new' then
    put_off(part, 'MSET', nil, timeline, line)
  elseif story or ONCE[what] or redis.call('STRLEN', timeline) < TIMELINE_MAX_BYTES then
    redis.call('APPEND', timeline, line)
  end
  if hook then hook(part, job, account, what, detail) end
end
