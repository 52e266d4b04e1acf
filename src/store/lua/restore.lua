#!lua flags=allow-oom
-- restore: brings a frozen partition back to what its history says, step by step.
-- uses: base, events, account, expiry, calendar, caps, hold, queue, acts, frozen, opening
-- KEYS 1 part:meta  2 part:restoring  3 part:journal  4 part:trimmed  5 part:accounts
-- ARGV 1 time or ''  2 step  3 restoration id  4.. by step:
--      begin: epoch, sequence, hash, reason, actor, then a book and the sum of its postings, in turn
--      account: account, how many of what follows are its fields, fields and texts, grants and rows
--      operations: account, operation ids and answers in turn; an empty answer forgets the id
--      jobs: job, keep | close, state, class, captured_ucr, released_ucr, refunded_ucr, in turn
--      lost: job, account, slices, hold_ucr, tool, held_at_ms, '1' where the house pays
--      forget: accounts that history does not know
--      finish: reason, actor
-- replies: begun epoch | done | again | finished epoch | not_frozen | busy workers | not_restoring
-- invariant: until it is finished no other script can book: the epoch is no number, and the journal, which
--            refuses it, is the first write of each. What was done once is not done again.

local RUNNING = 'restoring'
local part, step, id = load_part(), ARGV[2], ARGV[3]
local under = redis.call('HMGET', KEYS[2], 'id', 'epoch')
if redis.call('HGET', KEYS[1], 'restored') == id then return { 'finished', part.epoch } end -- guard: restore_once
if step == 'begin' then
  if under[1] == id then return { 'begun', under[2] } end -- guard: restore_begun
  if not part.frozen then return { 'not_frozen' } end -- guard: restore_frozen
  local live = redis.call('ZCOUNT', PREFIX .. 'part:leases', '(' .. int(part.now), '+inf')
  if live > 0 then return { 'busy', int(live) } end -- guard: restore_busy
  touch(KEYS[2], KEYS[3], KEYS[4], PREFIX .. 'part:rounds', PREFIX .. 'part:acts')
  -- point of no return
  redis.call('HSET', KEYS[2], 'id', id, 'epoch', ARGV[4])
  redis.call('HSET', KEYS[1], 'epoch', RUNNING, 'seq', ARGV[5], 'hash', ARGV[6], 'open', ' ', 'last_ms', int(part.now))
  redis.call('HDEL', KEYS[1], 'round_rank', 'round_first')
  redis.call('DEL', KEYS[3], KEYS[4], PREFIX .. 'part:rounds')
  redis.call('HSET', KEYS[4], 'seq', ARGV[5], 'hash', ARGV[6], 'until', ARGV[5], 'at_ms', int(part.now), unpack(ARGV, 9))
  note_act(part, ARGV[8], 'restore', '*', ARGV[7], 'from entry ' .. ARGV[5])
  return { 'begun', ARGV[4] }
end
if under[1] ~= id then return { 'not_restoring' } end -- guard: restore_under_way
part.epoch = under[2]
-- Whether this was done before this call; from here on it was.
local function before(what) return redis.call('HSETNX', KEYS[2], what, '1') == 0 end

if step == 'account' then
  local account, fields, rows = ARGV[4], {}, {}
  if redis.call('HEXISTS', KEYS[2], 'a:' .. account) == 1 then return { 'again' } end -- guard: restore_account_once
  local last = 5 + tonumber(ARGV[5])
  for i = 6, last do fields[#fields + 1] = ARGV[i] end
  for i = last + 1, #ARGV do rows[#rows + 1] = ARGV[i] end
  touch(key('acct', account), key('grants', account))
  -- point of no return
  redis.call('DEL', key('acct', account), key('grants', account))
  redis.call('HSET', key('acct', account), unpack(fields))
  if #rows > 0 then redis.call('HSET', key('grants', account), unpack(rows)) end
  local acct = load_account(account)
  write_opening(part, acct, id, 0)
  before('a:' .. account)
  acct.changed, acct.now = {}, part.now
  commit_account(acct)
  redis.call('ZADD', KEYS[5], redis.call('HGET', key('acct', account), 'created_at') or '0', account)
elseif step == 'operations' then
  for i = 5, #ARGV, 2 do
    if ARGV[i + 1] == '' then redis.call('HDEL', key('ops', ARGV[4]), ARGV[i])
    else redis.call('HSET', key('ops', ARGV[4]), ARGV[i], ARGV[i + 1]) end
  end
elseif step == 'jobs' then
  for i = 4, #ARGV, 7 do
    local job = redis.call('EXISTS', key('job', ARGV[i])) == 1
    if job and before('j:' .. ARGV[i]) then job = false end -- guard: restore_job_once
    local row = job and redis.call('HMGET', key('job', ARGV[i]), 'queue', 'hold_ucr', 'account', 'stream', 'entry')
    if row and ARGV[i + 1] == 'keep' then
      local counted = counts_of(part)[row[1]] or { 0, 0 }
      counts_of(part)[row[1]] = { counted[1] + 1, counted[2] + tonumber(row[2]) }
    elseif row then
      drop_entry(part, { stream = row[4] or '', entry = row[5] or '' })
      redis.call('ZREM', PREFIX .. 'part:deadlines', ARGV[i])
      redis.call('ZREM', PREFIX .. 'part:due', ARGV[i])
      redis.call('ZREM', lane_key(row[3], row[1]), ARGV[i])
      redis.call('SREM', active_key(row[3], row[1]), ARGV[i])
      redis.call('HSET', key('job', ARGV[i]), 'state', ARGV[i + 2], 'fail_class', ARGV[i + 3], 'captured_ucr', ARGV[i + 4],
        'released_ucr', ARGV[i + 5], 'refunded_ucr', ARGV[i + 6], 'token', '', 'stream', '', 'entry', '', 'open_submission', '',
        'finished_at', int(part.now))
      redis.call('ZADD', PREFIX .. 'part:finished', int(part.now), ARGV[i])
      event(part, ARGV[i], row[3], ARGV[i + 2], 'restored')
    end
  end
  write_part(part)
elseif step == 'lost' then
  local held_at = tonumber(ARGV[9])
  if redis.call('HEXISTS', KEYS[2], 'l:' .. ARGV[4]) == 1 then return { 'again' } end -- guard: restore_lost_once
  local acct = load_account(ARGV[5])
  expire_due(acct, part.now)
  local postings, released, trail = end_hold(acct, ARGV[6], 0, true, part.now)
  uncount(acct, ARGV[10] == '1' and '' or int(day_end(held_at)) .. '|' .. int(month_end(held_at)), released)
  -- point of no return
  commit_expiry(part, acct)
  journal(part, acct, 'release', 'lost', ARGV[4], postings, ',"hold_ucr":' .. ARGV[7] .. ',"state":"failed","tool":'
    .. cjson.encode(ARGV[8]) .. ',"reason":"store_lost","taken":"","lost":"' .. trail.lost .. '"')
  before('l:' .. ARGV[4])
  commit_account(acct)
  event(part, ARGV[4], acct.id, 'failed', 'store_lost')
elseif step == 'forget' then
  for i = 4, #ARGV do
    redis.call('DEL', key('acct', ARGV[i]), key('grants', ARGV[i]), key('ops', ARGV[i]))
    redis.call('ZREM', KEYS[5], ARGV[i])
    redis.call('ZREM', PREFIX .. 'part:expiries', ARGV[i])
  end
else
  redis.call('HSET', KEYS[4], 'until', int(part.seq))
  redis.call('HSET', KEYS[1], 'epoch', part.epoch, 'restored', id)
  redis.call('DEL', KEYS[2])
  note_act(part, ARGV[5], 'restored', '*', ARGV[4], 'up to entry ' .. int(part.seq))
  event(part, '', '', 'restored', part.epoch)
  return { 'finished', part.epoch }
end
return { 'done' }
