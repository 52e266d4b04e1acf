#!lua flags=allow-oom
-- audit: lets one process at a time audit a partition, and keeps what it found.
-- uses: base, events
-- KEYS 1 part:meta  2 part:audit
-- ARGV 1 time or ''  2 who  3 lead | found  4 lease_ms (lead), or the report as JSON (found)
--      5 '1' = nothing differs  6 sequence read to  7 sequence of the newest wrong opening (found)
-- replies: leads | follows leader | noted
-- invariant: only the leader's findings are kept; sound_seq names what an audit has found right.

local part = load_part()
local v = redis.call('HMGET', KEYS[2], 'leader', 'until_ms')
local free = not v[1] or v[1] == ARGV[2] or tonumber(v[2]) <= part.now or tonumber(v[2]) > part.now + 86400000
if not free then return { 'follows', v[1] } end -- guard: audit_leads
if ARGV[3] == 'found' and v[1] ~= ARGV[2] then return { 'follows', v[1] or '' } end -- guard: audit_found

-- point of no return
if ARGV[3] == 'lead' then
  redis.call('HSET', KEYS[2], 'leader', ARGV[2], 'until_ms', int(part.now + tonumber(ARGV[4])))
  return { 'leads' }
end
redis.call('HSET', KEYS[2], 'at_ms', int(part.now), 'report', ARGV[4])
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'sound_seq', ARGV[6], 'wrong_until', ARGV[7]) end
return { 'noted' }
