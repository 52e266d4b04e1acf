-- base: names of keys, the clock, numbers, the journal. Part of every script.
-- KEYS[1] is always the partition's meta hash; every other key carries the same hash tag.
-- ARGV[1] is always '' or, in tests, the time in ms to use instead of the server's clock.

local PREFIX = string.match(KEYS[1], '^(ml:{[^}]*}:)')
local GROUP = 'workers'
local GRACE_MS = 86400000
local AMOUNT_MAX = 9007199254740991

local function key(noun, id) return PREFIX .. noun .. ':' .. id end

-- Whole numbers only: tostring() would print 1e+14 from 10^14 on, and %.0f costs many times as much.
local function int(n) return n == 0 and '0' or string.format('%d', n) end

-- For lib/hooks.lua: what fills outboxes, `<id>:<topics>;...` by account, whether anybody hears of running jobs.
local hook, HOOKED, hooks_wanted = nil, {}, false

-- A slot on its way to another node refuses a command when one of several keys is not there: asked once,
-- before anything is read, for a key that never exists, and so for every key of the partition.
local function check_slot() redis.call('EXISTS', KEYS[1], PREFIX .. 'part:never') end

local function load_part()
  check_slot()
  local v = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'hash', 'last_ms', 'tick_ms', 'reap_after_ms', 'frozen',
    'frozen_n', 'halts', 'open', 'hooks')
  local part = {
    epoch = v[1] or '1', seq = tonumber(v[2] or '0'), hash = v[3] or '',
    tick_ms = tonumber(v[5] or '0'), reap_after_ms = tonumber(v[6] or '0'),
    frozen = v[7] or nil, frozen_n = tonumber(v[8] or '0'),
    halts = v[9] or '', open = v[10] or ' ',
  }
  hooks_wanted = (v[11] or '0') ~= '0'
  local now = tonumber(ARGV[1])
  if not now then
    local t = redis.call('TIME') -- read once: the clock goes on inside a script
    now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  end
  -- A failover to a server with a slower clock must not bring lapsed things back to life.
  part.now = now
  if now < tonumber(v[4] or '0') then part.now = tonumber(v[4]) end -- guard: clock_never_back
  part.at = int(part.now)
  part.ahead_ms = part.now - now -- lib/clock.lua says for how long
  return part
end

-- A migrating slot answers with an error while nothing is written yet.
local function touch(...) redis.call('EXISTS', ...) end

-- A grant as it stands in the store: kind|remaining|pinned|expires_ms|age.
local function grant_row(g)
  return g.kind .. '|' .. int(g.remaining) .. '|' .. int(g.pinned) .. '|' .. (g.expires_text or int(g.expires)) .. '|'
    .. (g.age_text or int(g.age))
end

-- Open jobs and what is held for them, by queue, {jobs, micro-credits}: ` <queue>=<jobs>:<ucr> ` in part:meta.
local function counts_of(part)
  if part.counts then return part.counts end
  part.counts = {}
  for queue, jobs, ucr in string.gmatch(part.open, '(%S+)=(%-?%d+):(%-?%d+)') do
    part.counts[queue] = { tonumber(jobs), tonumber(ucr) }
  end
  return part.counts
end

-- Where the journal stands now, and what its entries have counted.
local function write_part(part)
  if part.counts then
    part.open = ' '
    for queue, c in pairs(part.counts) do part.open = part.open .. queue .. '=' .. int(c[1]) .. ':' .. int(c[2]) .. ' ' end
  end
  redis.call('HSET', KEYS[1], 'seq', int(part.seq), 'hash', part.hash, 'last_ms', part.at, 'open', part.open)
end

-- Appends one entry and moves the partition's sequence with it. It is the first write of every
-- script that books: where it fails, nothing has happened. `postings` is a list of {name, delta, its text
-- where it is known}; deltas of 0 are left out; `extra` is JSON text that starts with a comma, or ''. The rows of changed
-- grants stand in the entry as they are afterwards, so that a store can be rebuilt from its journal.
-- An entry that moves a hold counts it: `queue`, by how many jobs, by how much.
local function journal(part, acct, kind, op, job, postings, extra, queue, jobs, ucr)
  local seq = int(part.seq + 1)
  acct.seq = acct.seq + 1
  acct.seq_text = int(acct.seq)
  local post, rows = '', {}
  for _, p in ipairs(postings) do
    if p[2] ~= 0 then post = post .. (post == '' and '["' or ',["') .. p[1] .. '",' .. (p[3] or int(p[2])) .. ']' end
  end
  for id in pairs(acct.changed) do
    local grant = acct.grants[id]
    grant.row = grant_row(grant) -- commit_account writes the same
    rows[#rows + 1] = '"' .. id .. '":"' .. grant.row .. '"'
  end
  if rows[2] then table.sort(rows) end
  if part.frozen or acct.state == 'frozen' then extra = extra .. ',"frozen":true' end
  local body = '{"seq":' .. seq .. ',"at_ms":' .. part.at .. ',"kind":"' .. kind .. '","op":' .. (op == '' and '""' or cjson.encode(op))
    .. ',"account":"' .. acct.id .. '","account_seq":' .. acct.seq_text .. ',"job":"' .. job .. '","post":[' .. post
    .. '],"grants":{' .. (rows[2] and table.concat(rows, ',') or rows[1] or '') .. '}' .. extra .. '}'
  local hash = redis.sha1hex(part.hash .. body)
  redis.call('XADD', PREFIX .. 'part:journal', part.epoch .. '-' .. seq, 'b', body, 'h', hash)
  part.seq, part.hash = part.seq + 1, hash
  if queue then
    local counts = counts_of(part)
    local c = counts[queue] or { 0, 0 }
    counts[queue] = { c[1] + jobs, c[2] + ucr }
  end
  if not part.in_batch then write_part(part) end -- lib/batch.lua does it once, behind the last item
end

local ENDINGS = { succeeded = true, failed = true, timed_out = true, cancelled = true }
