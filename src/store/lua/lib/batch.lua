-- batch: several items in one call, each of them as if it had come alone.
--
-- Behind the arguments that all items share stand `size` arguments for each of them. An item is checked and
-- then written before the next one is looked at, and has an answer of its own. What all of them share is the
-- time, what was read of part:meta, the write of where the journal stands, which is made once, and commands that
-- take many words (lib/events.lua).

-- Calls act(position of the item's first argument) for each item; returns their answers. An item that
-- raises an error does not keep the others from theirs: its answer is `error` and why.
local function each_item(part, first, size, act)
  local answers = {}
  local before = part.seq
  part.in_batch = true
  begin_later(part, first + size > #ARGV)
  for at = first, #ARGV, size do
    local sound, answer = pcall(act, at)
    if not sound then
      answer = { 'error', type(answer) == 'table' and answer.err or tostring(answer) }
    end
    answers[#answers + 1] = answer
  end
  if part.seq > before then write_part(part) end
  write_later(part)
  return answers
end
