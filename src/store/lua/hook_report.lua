#!lua flags=allow-oom
-- hook_report: what became of one try to deliver a message.
-- uses: base, events, hooks
-- KEYS 1 part:meta  2 hook  3 outbox  4 outdue  5 outfly  6 outtry  7 outdead  8 part:hooks
-- ARGV 1 time or ''  2 endpoint  3 message  4 its lease's end  5 taken | again | dead | gone  6 in short words
--      7 delay_ms (again)  8 ms to leave the endpoint alone, or 0  9 ms of failure until it is disabled
--      10 dead letters at most
-- replies: noted tries | disabled tries | stale
-- invariant: only whoever has the message's lease says what became of it.

local part, endpoint, id, what = load_part(), ARGV[2], ARGV[3], ARGV[5]
if redis.call('ZSCORE', KEYS[5], id) ~= ARGV[4] then return { 'stale' } end -- guard: report_lease
local v = redis.call('HMGET', KEYS[2], 'account', 'state', 'failing_since', 'test_id')
local entry = redis.call('XRANGE', KEYS[3], id, id)[1]
if not v[1] or not entry then return { 'stale' } end
local tries = tonumber(redis.call('HGET', KEYS[6], id) or '0') + 1
local since = tonumber(v[3] or int(part.now))

-- point of no return
local is_test = v[4] and entry[2][2] == v[4]
redis.call('HSET', KEYS[2], 'last_at', int(part.now), 'last', ARGV[6])
if is_test then redis.call('HSET', KEYS[2], 'test_result', ARGV[6]) end
if what == 'taken' then
  forget_message(endpoint, id)
  redis.call('HINCRBY', KEYS[2], 'delivered', 1)
  redis.call('HSET', KEYS[2], 'delivered_at', int(part.now))
  redis.call('HDEL', KEYS[2], 'failing_since', 'throttled_until')
else
  redis.call('HINCRBY', KEYS[2], 'failed', 1)
  redis.call('HSET', KEYS[2], 'failing_since', int(since))
  if what == 'again' then
    redis.call('ZREM', KEYS[5], id)
    redis.call('ZADD', KEYS[4], int(part.now + tonumber(ARGV[7])), id)
    redis.call('HSET', KEYS[6], id, int(tries))
  else
    local row = entry[2]
    for _, text in ipairs({ 'tries', int(tries), 'why', ARGV[6], 'died_at', int(part.now) }) do row[#row + 1] = text end
    redis.call('XADD', KEYS[7], 'MAXLEN', '=', ARGV[10], '*', unpack(row)) -- guard: dead_letters_max
    forget_message(endpoint, id)
    redis.call('HINCRBY', KEYS[2], 'dead', 1)
  end
end
if ARGV[8] ~= '0' then redis.call('HSET', KEYS[2], 'throttled_until', int(part.now + tonumber(ARGV[8]))) end
next_look(part, endpoint, false)
local why = nil
if what == 'gone' then why = 'gone (410)' end -- guard: gone_disables
if what ~= 'taken' and part.now - since >= tonumber(ARGV[9]) then why = why or 'failed for too long: ' .. ARGV[6] end -- guard: failing_disables
if why and v[2] == 'enabled' then
  disable_hook(part, endpoint, v[1], why)
  return { 'disabled', int(tries) }
end
return { 'noted', int(tries) }
