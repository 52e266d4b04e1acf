#!lua
-- hook_redeliver: an operator puts dead messages of an endpoint back into its outbox.
-- uses: base, events, acts, hooks
-- KEYS 1 part:meta  2 hook  3 outbox  4 outdue  5 outdead  6 part:hooks  7 part:acts
-- ARGV 1 time or ''  2 endpoint  3 one dead message, or '' = the oldest  4 at most so many (100 or fewer)
--      5 messages of one outbox at most  6 reason  7 actor
-- replies: redelivered n left | full | disabled | unknown | nothing
-- invariant: a dead message goes back under its own id, once; none that waits is dropped for it.

local part, endpoint, one = load_part(), ARGV[2], ARGV[3]
local state = redis.call('HGET', KEYS[2], 'state')
if not state then return { 'unknown' } end -- guard: redeliver_known
if state ~= 'enabled' then return { 'disabled' } end -- guard: redeliver_enabled
local rows = redis.call('XRANGE', KEYS[5], one == '' and '-' or one, one == '' and '+' or one, 'COUNT', ARGV[4])
if #rows == 0 then return { 'nothing' } end -- guard: redeliver_once
local room = math.min(tonumber(redis.call('HGET', KEYS[1], 'hook_room') or ARGV[5]), tonumber(ARGV[5]))
  - redis.call('XLEN', KEYS[3])
if room <= 0 then return { 'full' } end -- guard: redeliver_room

-- point of no return
local n = 0
for _, row in ipairs(rows) do
  if n >= room then break end
  local fields = {}
  for i = 1, #row[2], 2 do
    local name = row[2][i]
    if name ~= 'tries' and name ~= 'why' and name ~= 'died_at' then
      fields[#fields + 1], fields[#fields + 2] = name, row[2][i + 1]
    end
  end
  redis.call('XDEL', KEYS[5], row[1])
  push(part, endpoint, fields)
  n = n + 1
end
note_act(part, ARGV[7], 'webhook_redeliver', endpoint, ARGV[6], int(n))
return { 'redelivered', int(n), int(redis.call('XLEN', KEYS[5])) }
