-- base: names of keys, the clock, numbers, the journal, events. Part of every script.
--
-- KEYS[1] is always the partition's meta hash; every other key carries the same hash tag.
-- ARGV[1] is always '' or, in tests, the time in ms to use instead of the server's clock.

local PREFIX = string.match(KEYS[1], '^(ml:{[^}]*}:)')
local GROUP = 'workers'
local GRACE_MS = 86400000
local EVENTS_MAX = 10000
local TIMELINE_MAX_BYTES = 8192
local AMOUNT_MAX = 9007199254740991

local function key(noun, id) return PREFIX .. noun .. ':' .. id end

-- Whole numbers only: tostring() would print 1e+14 from 10^14 on, and %.0f costs many times as much.
local function int(n) return string.format('%d', n) end

-- A slot on its way to another node refuses a command when one of several keys is not there: asked once,
-- before anything is read, for a key that never exists, and so for every key of the partition.
local function check_slot() redis.call('EXISTS', KEYS[1], PREFIX .. 'part:never') end

local function load_part()
  check_slot()
  local v = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'hash', 'last_ms', 'tick_ms', 'reap_after_ms', 'frozen',
    'frozen_n', 'halts', 'open')
  local part = {
    epoch = v[1] or '1', seq = tonumber(v[2] or '0'), hash = v[3] or '',
    tick_ms = tonumber(v[5] or '0'), reap_after_ms = tonumber(v[6] or '0'),
    frozen = v[7] or nil, frozen_n = tonumber(v[8] or '0'),
    halts = v[9] or '', open = v[10] or ' ',
  }
  local now = tonumber(ARGV[1])
  if not now then
    local t = redis.call('TIME') -- read once: the clock goes on inside a script
    now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  end
  -- A failover to a server with a slower clock must not bring lapsed things back to life.
  part.now = now
  if now < tonumber(v[4] or '0') then part.now = tonumber(v[4]) end -- guard: clock_never_back
  part.ahead_ms = part.now - now -- lib/clock.lua says for how long
  return part
end

-- A migrating slot answers with an error while nothing is written yet.
local function touch(...) redis.call('EXISTS', ...) end

-- A grant as it stands in the store: kind|remaining|pinned|expires_ms|age.
local function grant_row(g)
  return g.kind .. '|' .. int(g.remaining) .. '|' .. int(g.pinned) .. '|' .. int(g.expires) .. '|' .. int(g.age)
end

-- Where the journal stands now. Belongs to the entry that moved it.
local function write_part(part)
  redis.call('HSET', KEYS[1], 'seq', int(part.seq), 'hash', part.hash, 'last_ms', int(part.now), 'open', part.open)
end

-- Appends one entry and moves the partition's sequence with it. It is the first write of every
-- script that books: where it fails, nothing has happened. `postings` is a list of {name, delta};
-- deltas of 0 are left out; `extra` is JSON text that starts with a comma, or ''. The rows of changed
-- grants stand in the entry as they are afterwards, so that a store can be rebuilt from its journal.
local function journal(part, acct, kind, op, job, postings, extra)
  local seq = part.seq + 1
  acct.seq = acct.seq + 1
  local post = {}
  for _, p in ipairs(postings) do
    if p[2] ~= 0 then post[#post + 1] = '["' .. p[1] .. '",' .. int(p[2]) .. ']' end
  end
  local rows = {}
  for id in pairs(acct.changed) do rows[#rows + 1] = '"' .. id .. '":"' .. grant_row(acct.grants[id]) .. '"' end
  table.sort(rows)
  if part.frozen or acct.state == 'frozen' then extra = extra .. ',"frozen":true' end
  local body = '{"seq":' .. int(seq) .. ',"at_ms":' .. int(part.now) .. ',"kind":"' .. kind
    .. '","op":' .. cjson.encode(op) .. ',"account":"' .. acct.id .. '","account_seq":' .. int(acct.seq)
    .. ',"job":"' .. job .. '","post":[' .. table.concat(post, ',') .. '],"grants":{' .. table.concat(rows, ',') .. '}' .. extra .. '}'
  local hash = redis.sha1hex(part.hash .. body)
  redis.call('XADD', PREFIX .. 'part:journal', part.epoch .. '-' .. int(seq), 'b', body, 'h', hash)
  part.seq, part.hash = seq, hash
  if not part.in_batch then write_part(part) end -- lib/batch.lua does it once, behind the last item
end

local ENDINGS = { succeeded = true, failed = true, timed_out = true, cancelled = true }
-- Events that a job has once: its timeline has room for them however long the story was.
local ONCE = { submitted = true, succeeded = true, failed = true, timed_out = true, cancelled = true }

-- One line in the partition's bounded event stream and one in the job's own timeline.
local function event(part, job, account, what, detail)
  redis.call('XADD', PREFIX .. 'part:events', 'MAXLEN', '~', EVENTS_MAX, '*',
    'j', job, 'a', account, 'e', what, 'd', detail, 't', int(part.now))
  if job == '' then return end -- about an account alone
  local timeline = key('timeline', job)
  if ONCE[what] or redis.call('STRLEN', timeline) < TIMELINE_MAX_BYTES then
    redis.call('APPEND', timeline, int(part.now) .. ' ' .. what .. ' ' .. detail .. '\n')
  end
end
