#!lua flags=allow-oom
-- trim_costs: takes booked costs away that are old enough, and notes up to where they are committed elsewhere.
-- uses: base, events
-- KEYS 1 part:meta  2 part:costs
-- ARGV 1 time or ''  2 ms that a cost is kept  3 costs at most  4 '' or the last entry that is committed
--      outside the store ('0-0' = none yet, but there is such a history)
-- replies: trimmed n more
-- invariant: a cost is kept for its whole time, and where there is a history until that has it.

local part, batch, old = load_part(), tonumber(ARGV[3]), {}
local function ms_of(id) return tonumber(string.match(id, '^%d+')) end
local mark = redis.call('HGET', KEYS[1], 'costs_seen')
local noted = ARGV[4] ~= ''
if noted and mark and ms_of(ARGV[4]) <= ms_of(mark) then noted = false end -- guard: costs_seen_forward
if noted then mark = ARGV[4] end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', batch)) do
  local at
  for i = 1, #entry[2], 2 do if entry[2][i] == 'm' then at = tonumber(entry[2][i + 1]) end end
  if at > part.now - tonumber(ARGV[2]) then break end -- guard: costs_kept
  if mark and ms_of(entry[1]) >= ms_of(mark) then break end -- guard: costs_committed
  old[#old + 1] = entry[1]
end

-- point of no return
if noted then redis.call('HSET', KEYS[1], 'costs_seen', mark) end
if #old > 0 then redis.call('XDEL', KEYS[2], unpack(old)) end
return { 'trimmed', int(#old), #old >= batch and '1' or '' }
