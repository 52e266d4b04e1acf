#!lua flags=allow-oom
-- settle_obligation: puts an obligation off until the next look, or closes it and books what it cost.
-- uses: base, events, costs
-- KEYS 1 part:meta  2 obligation  3 part:obligations  4 part:owed
-- ARGV 1 time or ''  2 its id  3 its lease's end  4 again | close  5 delay_ms (again)
--      6 the cost as part:costs has it, or '' (close)  7 how it ended at the provider, a word (close)
-- replies: noted | closed | stale
-- invariant: only whoever has the lease says anything, and closing books once: the obligation goes in the
--            same step. The provider's side alone is closed; no credit moves.

local part, id = load_part(), ARGV[2]
if redis.call('ZSCORE', KEYS[4], id) ~= ARGV[3] then return { 'stale' } end -- guard: obligation_lease
local v = redis.call('HMGET', KEYS[2], 'job', 'submission', 'account', 'tool', 'why', 'cost')
local known = v[6] and v[6] ~= '' and v[6] -- it had ended, and only its job was over
local cost = read_cost(known or ARGV[6])
touch(KEYS[2], KEYS[3], PREFIX .. 'part:costs', PREFIX .. 'part:costsums')
local keeps_timeline = redis.call('EXISTS', key('job', v[1] or '')) == 1

-- point of no return
if ARGV[4] == 'again' then
  redis.call('ZADD', KEYS[4], int(part.now + tonumber(ARGV[5])), id)
  return { 'noted' }
end
book_cost(part, { id = v[1] or '', submissions = tonumber(v[2]) or 0, account = v[3] or '', tool = v[4] or '' }, v[5] or '', '0', cost)
redis.call('ZREM', KEYS[4], id)
redis.call('ZREM', KEYS[3], id)
redis.call('DEL', KEYS[2])
event(part, keeps_timeline and v[1] or '', v[3] or '', 'obligation_closed', id .. ' ' .. ARGV[7])
return { 'closed' }
