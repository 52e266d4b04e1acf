-- operation: an operation id does its work once; the same again gets the first answer.
--
-- Hash ops:<account>: <operation id> -> fingerprint|amount_ucr|value|value...; `clawed <payment>` (an id
-- has no spaces) -> what was clawed back of a payment, micro-credits. Nothing in it expires.

-- nil where the id is new; else the whole reply: the first answer, or what stands in the books.
local function done_before(ops, id, fingerprint)
  local done = redis.call('HGET', ops, id)
  if not done then return nil end
  local print, amount, rest = string.match(done, '^(%x+)|(%d+)|(.*)$')
  if print ~= fingerprint then return { 'mismatch', amount } end -- guard: operation_mismatch
  local reply = { 'replayed' }
  for value in string.gmatch(rest, '[^|]+') do reply[#reply + 1] = value end
  return reply
end

-- Keeps the answer: `values` as they follow the first word of the reply.
local function keep_answer(ops, id, fingerprint, amount, values)
  redis.call('HSET', ops, id, fingerprint .. '|' .. int(amount) .. '|' .. table.concat(values, '|'))
end
