#!lua flags=allow-oom
-- freeze: stops an account or a whole partition, and lets it go on.
-- uses: base, events, account, expiry, acts, frozen, opening
-- KEYS 1 part:meta  2 part:frozen  3 part:freezes
-- ARGV 1 time or ''  2 freeze | clear  3 account, or '*' for the partition  4 reason  5 actor
--      6 operation id  7 what differed, a JSON list of texts (freeze only)
-- replies: frozen row | already row | cleared row parked | not_frozen | unknown_account
--          | replayed row parked | mismatch
-- invariant: nothing of an account's money changes; a clear lets what was put off go on.
--
-- Hash part:freezes: operation id -> what|account|parked|row, never forgotten.

local part, what, who = load_part(), ARGV[2], ARGV[3]
local done = redis.call('HGET', KEYS[3], ARGV[6])
if done then
  local before, whom, parked, row = string.match(done, '^(%a+)|([^|]*)|(%d+)|(.*)$')
  if before ~= what or whom ~= who then return { 'mismatch' } end -- guard: freeze_mismatch
  return { 'replayed', row, parked } -- guard: freeze_once
end
local acct = nil
if who ~= PARTITION then acct = load_account(who) end
local row = redis.call('HGET', KEYS[2], who)

if what == 'freeze' then
  if who ~= PARTITION and not acct then return { 'unknown_account' } end
  if row then return { 'already', row } end -- guard: freeze_standing
  touch(PREFIX .. 'part:acts', PREFIX .. 'part:events')
  -- point of no return
  row = freeze(part, who, { actor = ARGV[5], reason = ARGV[4], op = ARGV[6], differed = ARGV[7],
    state = acct and acct.state })
  redis.call('HSET', KEYS[3], ARGV[6], 'freeze|' .. who .. '|0|' .. row)
  return { 'frozen', row }
end

if not row then return { 'not_frozen' } end -- guard: clear_frozen
touch(key('parked', who), PREFIX .. 'part:acts', PREFIX .. 'part:events', PREFIX .. 'part:journal')
local parked = redis.call('SRANDMEMBER', key('parked', who), 100)
local clocks = {}
for i, id in ipairs(parked) do
  clocks[i] = redis.call('HMGET', key('job', id), 'state', 'deadline_at', 'ttl_at')
end
local before = cjson.decode(row).before

-- point of no return
if acct then
  acct.state = before
  -- Rows that were changed by hand stand in the entries booked since; from here on the store's count.
  write_opening(part, acct, ARGV[6], 0)
  redis.call('HSET', key('acct', who), 'state', before)
end
redis.call('HDEL', KEYS[2], who)
if who == PARTITION then redis.call('HDEL', KEYS[1], 'frozen') else count_frozen() end
for i, id in ipairs(parked) do
  local deadline = tonumber(clocks[i][2] or '0')
  if clocks[i][1] == 'scheduled' then redis.call('ZADD', PREFIX .. 'part:due', int(part.now), id) end
  -- What did not add up was put off too; its own clock stands again.
  redis.call('ZADD', PREFIX .. 'part:deadlines', 'XX', 'LT', int(deadline > 0 and deadline or tonumber(clocks[i][3] or '0')), id)
end
redis.call('DEL', key('parked', who)) -- those above a hundred fall due by themselves within a minute
note_act(part, ARGV[5], 'clear', who, ARGV[4], int(#parked) .. ' jobs let go on')
event(part, '', who == PARTITION and '' or who, 'cleared', ARGV[4])
redis.call('HSET', KEYS[3], ARGV[6], 'clear|' .. who .. '|' .. int(#parked) .. '|' .. row)
return { 'cleared', row, int(#parked) }
