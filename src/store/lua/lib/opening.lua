-- opening: an account's whole state as one entry of its journal, from which its books can begin.

-- Writes the entry: balances and totals as they stand, what open holds keep as one sum, every grant
-- with its row. Nothing moves, so there are no postings. `round` 0 = not part of a round.
local function write_opening(part, acct, op, round)
  for id in pairs(acct.grants) do acct.changed[id] = true end
  local sums = {}
  for _, name in ipairs(TOTALS) do sums[#sums + 1] = '"' .. name .. '":' .. int(acct[name]) end
  journal(part, acct, 'opening', op, '', {}, ',"opening":{"round":' .. int(round) .. ',' .. table.concat(sums, ',') .. '}')
  redis.call('HSET', key('acct', acct.id), 'seq', int(acct.seq))
end
