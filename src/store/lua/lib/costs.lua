-- costs: what providers' work cost us, in USD micros: a ledger of its own beside the journal.
--
-- Stream part:costs, an entry for each submission: j job, n its number, a account, t tool, o how it ended,
-- k micro-credits charged, m ms since 1970, c `<usd micros>|<source>|<provider>|<route>|<model>`.
-- Hash part:costsums, by provider: cost:, waste: (paid for nothing) and submissions:<provider>.
--
-- A submission ends once: by the verdict that takes open_submission away, or as an obligation. The step that
-- ends it books its cost, so that nothing is booked twice or forgotten, whoever dies.

-- What is to be booked; nil where there is nothing. Read before anything is written.
local function read_cost(text)
  if not text or text == '' then return nil end
  local micros, provider = string.match(text, '^(%d+)|%a+|([^|]+)|')
  if not micros or tonumber(micros) > AMOUNT_MAX then error('a cost that cannot be read') end -- guard: cost_readable
  return { text = text, micros = micros, provider = provider }
end

local function book_cost(part, job, outcome, captured, cost)
  if not cost then return end
  local sums = PREFIX .. 'part:costsums'
  redis.call('XADD', PREFIX .. 'part:costs', '*', 'j', job.id, 'n', int(job.submissions), 'a', job.account, 't', job.tool,
    'o', outcome, 'k', captured, 'm', part.at, 'c', cost.text)
  redis.call('HINCRBY', sums, 'cost:' .. cost.provider, cost.micros)
  redis.call('HINCRBY', sums, 'submissions:' .. cost.provider, 1)
  if outcome ~= 'succeeded' then redis.call('HINCRBY', sums, 'waste:' .. cost.provider, cost.micros) end
end
