#!lua flags=allow-oom
-- round: writes the next batch of a round of openings, from which the books can begin one day.
-- uses: base, events, account, expiry, opening
-- KEYS 1 part:meta  2 part:accounts  3 part:rounds
-- ARGV 1 time or ''  2 ms from one round to the next  3 accounts at most
-- replies: idle | frozen | written n more
-- invariant: a round that is complete has an opening of every account that was there when it began.
--
-- part:meta: round (its number), round_at (when the last one began), and while one is under way
-- round_rank (accounts done) and round_first (the sequence before its first entry). Accounts are only
-- ever added to the index, at its end, so that a rank is a cursor. Sorted set part:rounds: complete
-- ones by when they ended, `round|sequence before its first entry|sequence of its last`.

local part = load_part()
if part.frozen or part.frozen_n > 0 then return { 'frozen' } end -- guard: round_frozen
local v = redis.call('HMGET', KEYS[1], 'round', 'round_at', 'round_rank', 'round_first')
local round, began, rank, first = tonumber(v[1] or '0'), tonumber(v[2] or '0'), tonumber(v[3]), tonumber(v[4])
if not rank then
  if began > 0 and part.now - began < tonumber(ARGV[2]) then return { 'idle' } end -- guard: round_due
  if began == 0 or redis.call('ZCARD', KEYS[2]) == 0 then
    -- point of no return: a new store has nothing to open yet, its clock starts
    redis.call('HSET', KEYS[1], 'round_at', int(part.now))
    return { 'idle' }
  end
  round, rank, first, began = round + 1, 0, part.seq, part.now
end
local batch = tonumber(ARGV[3])
local ids = redis.call('ZRANGE', KEYS[2], rank, rank + batch - 1)
local accounts = {}
for _, id in ipairs(ids) do accounts[#accounts + 1] = load_account(id) end -- a missing one is the audit's
touch(KEYS[3], PREFIX .. 'part:journal')

-- point of no return
for _, acct in ipairs(accounts) do write_opening(part, acct, '', round) end
redis.call('HSET', KEYS[1], 'round', int(round), 'round_at', int(began))
if #ids < batch then
  redis.call('ZADD', KEYS[3], int(part.now), int(round) .. '|' .. int(first) .. '|' .. int(part.seq))
  redis.call('HDEL', KEYS[1], 'round_rank', 'round_first')
  event(part, '', '', 'round', int(round))
else
  redis.call('HSET', KEYS[1], 'round_rank', int(rank + #ids), 'round_first', int(first))
end
return { 'written', int(#accounts), #ids < batch and '' or '1' }
