-- caps: what an account may spend in a day and in a month of UTC: holds and captures count.
--
-- Account field `caps` is day|month in micro-credits, 0 = no cap. Field `spent` is
-- day_until|day_spent|month_until|month_spent: a period is named by its end in ms. A job remembers as
-- `counted_in` (day_until|month_until) the periods that its hold was counted in. Scripts that count a
-- hold use `calendar` as well; giving back needs no calendar.

local function read_spent(acct)
  local day_until, day, month_until, month = string.match(acct.spent, '^(%d+)|(%d+)|(%d+)|(%d+)$')
  return { day_until = day_until or '0', day = tonumber(day or '0'), month_until = month_until or '0',
    month = tonumber(month or '0') } -- periods are names, as they stand in the store
end

-- What counts now. A period that is over counts nothing any more, and neither does one that has not
-- come yet: it was begun by a clock that has been set right since.
local function spent_now(acct, now)
  local spent = read_spent(acct)
  local day_until, month_until = tonumber(spent.day_until), tonumber(spent.month_until)
  if now >= day_until or day_until > now + DAY_MS then -- guard: day_over
    spent.day_until, spent.day = int(day_end(now)), 0
  end
  if now >= month_until or month_until > now + 31 * DAY_MS then -- guard: month_over
    spent.month_until, spent.month = int(month_end(now)), 0
  end
  return spent
end

local function set_spent(acct, spent)
  acct.spent = spent.day_until .. '|' .. int(spent.day) .. '|' .. spent.month_until .. '|' .. int(spent.month)
  acct.spent_changed = true
end

-- The refusal where a hold of `need` would pass a cap, or nil. The month comes first: where both are
-- passed, waiting for tomorrow would not help.
local function over_cap(acct, spent, need)
  if acct.caps == '' then return nil end
  local day, month = string.match(acct.caps, '^(%d+)|(%d+)$')
  day, month = tonumber(day), tonumber(month)
  if month > 0 and spent.month + need > month then -- guard: cap_month
    return { 'cap_exceeded', 'month', spent.month_until, int(need), int(math.max(month - spent.month, 0)) }
  end
  if day > 0 and spent.day + need > day then -- guard: cap_day
    return { 'cap_exceeded', 'day', spent.day_until, int(need), int(math.max(day - spent.day, 0)) }
  end
  return nil
end

-- Counts a hold in the periods of `spent`; returns what its job has to remember.
local function count_hold(acct, spent, amount)
  spent.day, spent.month = spent.day + amount, spent.month + amount
  set_spent(acct, spent)
  return spent.day_until .. '|' .. spent.month_until
end

-- Credit that a hold or a capture gave back leaves exactly the periods that it was counted in.
local function uncount(acct, counted_in, amount)
  if counted_in == '' or amount == 0 then return end
  local day_until, month_until = string.match(counted_in, '^(%d+)|(%d+)$')
  local spent = read_spent(acct)
  if day_until == spent.day_until then spent.day = math.max(spent.day - amount, 0) end -- guard: uncount_day
  if month_until == spent.month_until then spent.month = math.max(spent.month - amount, 0) end -- guard: uncount_month
  set_spent(acct, spent)
end
