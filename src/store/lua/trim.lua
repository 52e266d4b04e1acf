#!lua flags=allow-oom
-- trim: takes entries away from the front of the journal, once nothing can need them any more.
-- uses: base, events
-- KEYS 1 part:meta  2 part:journal  3 part:trimmed  4 part:rounds
-- ARGV 1 time or ''  2 ms that a complete round is kept from  3 '' = only say what may go, or the
--      sequence that was trimmed before  4 sequence and  5 hash of the last entry to go  6 id of the
--      first entry to stay  7.. a book and the sum of all its trimmed postings
-- replies: nothing | frozen | moved | target trimmed_seq hash to_seq | trimmed
-- invariant: what stays begins right behind a known entry, and in or before a round of openings that
--            an audit has found right.
--
-- Hash part:trimmed: seq and hash of the last entry taken away; until = the last entry of the round
-- that what stays begins with; book:<name> = sums of what went.

local part = load_part()
if part.frozen or part.frozen_n > 0 then return { 'frozen' } end -- guard: trim_frozen
local audited = redis.call('HMGET', KEYS[1], 'sound_seq', 'wrong_until', 'history_seq')
local sound, wrong = tonumber(audited[1] or '0'), tonumber(audited[2] or '0')
-- Where there is a history outside the store, nothing goes that it has not committed.
sound = math.min(sound, tonumber(audited[3]) or math.huge) -- guard: trim_history
local at = redis.call('HMGET', KEYS[3], 'seq', 'hash')
local seq, hash = tonumber(at[1] or '0'), at[2] or ''
local ended_by = part.now
ended_by = ended_by - tonumber(ARGV[2]) -- guard: trim_retention
local old = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', int(ended_by), 'LIMIT', 0, 100)
local to, last, used = 0, 0, nil
for _, member in ipairs(old) do
  local _, first, ended = string.match(member, '^(%d+)|(%d+)|(%d+)$')
  first, ended = tonumber(first), tonumber(ended)
  if ended <= sound and first >= wrong then to, last, used = first, ended, member end -- guard: trim_sound
end
if to <= seq then return { 'nothing' } end
if ARGV[3] == '' then return { 'target', int(seq), hash, int(to) } end
local upto = tonumber(ARGV[4])
if tonumber(ARGV[3]) ~= seq or upto <= seq then return { 'moved' } end -- guard: trim_once
local stays = redis.call('XRANGE', KEYS[2], ARGV[6], ARGV[6])[1]
local body, link = stays and stays[2][2] or '', stays and stays[2][4] or ''
if upto > to or redis.sha1hex(ARGV[5] .. body) ~= link then return { 'moved' } end -- guard: trim_chain

-- point of no return
redis.call('HSET', KEYS[3], 'seq', int(upto), 'hash', ARGV[5], 'until', int(last), 'at_ms', int(part.now), unpack(ARGV, 7))
redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[6])
if upto == to then
  for _, member in ipairs(old) do
    if member ~= used then redis.call('ZREM', KEYS[4], member) else break end
  end
end
return { 'trimmed' }
