#!lua flags=allow-oom
-- queue: pauses a queue, drains it, or lets it go on, in one partition.
-- uses: base, events, queue, acts
-- KEYS 1 part:meta  2 part:halts  3 part:control  4 part:acts
-- ARGV 1 time or ''  2 queue  3 pause | drain | resume  4 reason  5 actor
-- replies: changed | already
-- invariant: part:meta's `halts` names exactly what part:halts has; a queue that goes on wakes workers.

local part, queue, act, reason, actor = load_part(), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local word = ({ pause = 'paused', drain = 'draining' })[act]
if word then
  local before = redis.call('HGET', KEYS[2], queue .. ':' .. word)
  local was = before and cjson.decode(before)
  if was and was.why == reason and was.by == actor then return { 'already' } end -- guard: queue_once
elseif not is_halted(part, queue, 'paused') and not is_halted(part, queue, 'draining') then
  return { 'already' } -- guard: queue_goes_on
end
touch(KEYS[2], KEYS[3], KEYS[4])

-- point of no return
if word then
  redis.call('HSET', KEYS[2], queue .. ':' .. word, cjson.encode({ by = actor, why = reason, t = int(part.now) }))
else
  redis.call('HDEL', KEYS[2], queue .. ':paused', queue .. ':draining')
end
local halts = redis.call('HKEYS', KEYS[2])
redis.call('HSET', KEYS[1], 'halts', #halts > 0 and ' ' .. table.concat(halts, ' ') .. ' ' or '')
if not word then redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'q', queue) end -- guard: queue_wakes
note_act(part, actor, act, queue, reason, '')
return { 'changed' }
