#!lua flags=allow-oom
-- forget_acts: takes operators' acts out of the log when they are old enough.
-- uses: base, events
-- KEYS 1 part:meta  2 part:acts
-- ARGV 1 time or ''  2 ms that an act is kept  3 acts at most
-- replies: forgotten n more
-- invariant: an act is kept for its whole time.

local part, batch, old = load_part(), tonumber(ARGV[3]), {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', batch)) do
  if tonumber(entry[2][2]) > part.now - tonumber(ARGV[2]) then break end -- guard: acts_kept
  old[#old + 1] = entry[1]
end

-- point of no return
if #old > 0 then redis.call('XDEL', KEYS[2], unpack(old)) end
return { 'forgotten', int(#old), #old >= batch and '1' or '' }
