#!lua flags=no-writes,allow-oom
-- look_index: reads a page of an index of jobs, with some fields of each job's hash.
-- uses: base, events
-- KEYS 1 part:meta  2 a sorted set of jobs by a time
-- ARGV 1 time or ''  2 up | down: from the lowest or from the highest score  3 from  4 to (scores, both
--      included, in ms)  5 score and  6 job of the last one seen ('' = from the start)  7 jobs at most
--      8.. fields
-- replies: page {{job score field...}...} more (the last one looked at is where the next page begins)
-- invariant: nothing is written. Members that came or went meanwhile move no other from its place: the
--            next page begins by value, not by rank.

local up, index = ARGV[2] == 'up', KEYS[2]
local limit = math.min(tonumber(ARGV[7]), 100)
local from, to = ARGV[3], ARGV[4]
local low, high = redis.call('ZCOUNT', index, '-inf', '(' .. from), redis.call('ZCOUNT', index, '-inf', to) - 1

-- Ranks lie in order of score, then of name: the first behind what was seen is found by halving.
local function rank_behind(score, id)
  local a, b = low, high + 1
  while a < b do
    local middle = math.floor((a + b) / 2)
    local row = redis.call('ZRANGE', index, middle, middle, 'WITHSCORES')
    local at = tonumber(row[2])
    local before = at < score or at == score and (row[1] < id or up and row[1] == id)
    if before then a = middle + 1 else b = middle end
  end
  return a
end
if ARGV[5] ~= '' then
  local rank = rank_behind(tonumber(ARGV[5]), ARGV[6])
  if up then low = rank else high = rank - 1 end
end
local more = high - low + 1 > limit
if more and up then high = low + limit - 1 end
if more and not up then low = high - limit + 1 end
local fields, rows = { unpack(ARGV, 8) }, {}
local found = high >= low and redis.call('ZRANGE', index, low, high, 'WITHSCORES') or {}
for i = 1, #found, 2 do
  local at = up and i or #found - i
  local row = { found[at], int(tonumber(found[at + 1])) }
  for n, value in ipairs(redis.call('HMGET', key('job', row[1]), unpack(fields))) do row[2 + n] = value or '' end
  rows[#rows + 1] = row
end
-- point of no return: never reached
return { 'page', rows, more and '1' or '' }
