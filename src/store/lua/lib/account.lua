-- account: an account's balances and grants in memory, and how they are written back.
--
-- Hash acct:<id>: available, held, debt, granted, captured, expired, refunded, adjusted (micro-credits),
-- seq (account sequence), next_grant, state, max_active.
-- Hash grants:<id>: <grant> -> kind|remaining|pinned|expires_ms|age, amounts in micro-credits,
-- expires_ms 0 = never. remaining is what can be spent; pinned belongs to open holds.

local BURN_RANK = { grace = 1, daily = 2, promo = 3, signup = 4, plan = 5, adjustment = 6, purchase = 7 }
local TOTALS = { 'available', 'held', 'debt', 'granted', 'captured', 'expired', 'refunded', 'adjusted' }

-- nil where there is no such account.
local function load_account(id)
  local v = redis.call('HMGET', key('acct', id), 'available', 'held', 'debt', 'granted', 'captured',
    'expired', 'refunded', 'adjusted', 'seq', 'next_grant', 'state', 'max_active')
  if not v[11] then return nil end
  local acct = { id = id, grants = {}, changed = {} }
  for i, name in ipairs(TOTALS) do acct[name] = tonumber(v[i] or '0') end
  acct.seq, acct.next_grant = tonumber(v[9] or '0'), tonumber(v[10] or '1')
  acct.state, acct.max_active = v[11], tonumber(v[12] or '0')
  local rows = redis.call('HGETALL', key('grants', id))
  for i = 1, #rows, 2 do
    local kind, remaining, pinned, expires, age = string.match(rows[i + 1], '^(%a+)|(%d+)|(%d+)|(%d+)|(%d+)$')
    acct.grants[rows[i]] = { id = rows[i], kind = kind, remaining = tonumber(remaining),
      pinned = tonumber(pinned), expires = tonumber(expires), age = tonumber(age) }
  end
  return acct
end

local function is_due(grant, now) return grant.expires > 0 and grant.expires <= now end

-- Takes what has expired out of the balance. Pinned slices stay: they belong to a hold.
-- Nothing is written; the caller books `expired_now` with commit_expiry.
local function expire_due(acct, now)
  local total = 0
  for id, grant in pairs(acct.grants) do
    if is_due(grant, now) and grant.remaining > 0 then
      total = total + grant.remaining
      grant.remaining = 0
      acct.changed[id] = true
    end
  end
  acct.available, acct.expired, acct.expired_now = acct.available - total, acct.expired + total, total
end

local function burns_before(a, b)
  local ea, eb = a.expires > 0 and a.expires or math.huge, b.expires > 0 and b.expires or math.huge
  if ea ~= eb then return ea < eb end
  if BURN_RANK[a.kind] ~= BURN_RANK[b.kind] then return BURN_RANK[a.kind] < BURN_RANK[b.kind] end
  return a.age < b.age
end

-- Pins `amount` from the grants in burn order; the caller has checked that it is there.
local function pin_slices(acct, amount)
  local live = {}
  for _, grant in pairs(acct.grants) do
    if grant.remaining > 0 then live[#live + 1] = grant end
  end
  table.sort(live, burns_before)
  local slices, need = {}, amount
  for _, grant in ipairs(live) do
    local part_of = math.min(grant.remaining, need)
    if part_of > 0 then
      grant.remaining, grant.pinned, need = grant.remaining - part_of, grant.pinned + part_of, need - part_of
      acct.changed[grant.id] = true
      slices[#slices + 1] = grant.id .. '=' .. int(part_of)
    end
  end
  acct.available, acct.held = acct.available - amount, acct.held + amount
  return table.concat(slices, ';')
end

-- A grant of this kind and expiry, made if there is none: equal ones merge.
local function grant_for(acct, kind, expires)
  for _, grant in pairs(acct.grants) do
    if grant.kind == kind and grant.expires == expires then return grant end
  end
  local id = 'g' .. int(acct.next_grant)
  local grant = { id = id, kind = kind, remaining = 0, pinned = 0, expires = expires, age = acct.next_grant }
  acct.next_grant = acct.next_grant + 1
  acct.grants[id] = grant
  return grant
end

-- Credit that becomes available pays debt first. Returns what went to debt.
local function make_available(acct, grant, amount)
  local pay = math.min(acct.debt, amount)
  acct.debt = acct.debt - pay
  grant.remaining = grant.remaining + amount - pay
  acct.available = acct.available + amount - pay
  acct.changed[grant.id] = true
  return pay
end

-- Ends a hold: captures from the front of its slices, gives the tail back in reverse.
-- `our_fault`: a slice whose grant expired meanwhile comes back as grace credit, at most a day
-- after its own expiry and never a second time. Returns the postings.
local function end_hold(acct, slices_text, capture, our_fault, now)
  local slices, held = {}, 0
  for id, amount in string.gmatch(slices_text, '(g%d+)=(%d+)') do
    slices[#slices + 1] = { grant = acct.grants[id], amount = tonumber(amount) }
    held = held + tonumber(amount)
  end
  local left = capture
  for _, slice in ipairs(slices) do
    local taken = math.min(slice.amount, left)
    left = left - taken
    slice.give_back = slice.amount - taken
    slice.grant.pinned = slice.grant.pinned - slice.amount
    acct.changed[slice.grant.id] = true
  end
  local to_available, to_debt, to_breakage = 0, 0, 0
  for i = #slices, 1, -1 do
    local grant, amount = slices[i].grant, slices[i].give_back
    if amount > 0 and is_due(grant, now) then
      local until_ms = grant.expires + GRACE_MS
      if our_fault and grant.kind ~= 'grace' and until_ms > now then -- guard: grace_once
        grant = grant_for(acct, 'grace', until_ms)
      else
        grant = nil
      end
    end
    if amount > 0 and grant then
      local paid = make_available(acct, grant, amount)
      to_debt, to_available = to_debt + paid, to_available + amount - paid
    elseif amount > 0 then
      to_breakage = to_breakage + amount
    end
  end
  acct.held, acct.captured, acct.expired = acct.held - held, acct.captured + capture, acct.expired + to_breakage
  return { { 'held', -held }, { 'revenue', capture }, { 'available', to_available }, { 'debt', to_debt },
    { 'breakage', to_breakage } }, held - capture
end

local function commit_expiry(part, acct)
  if acct.expired_now and acct.expired_now > 0 then
    journal(part, acct, 'expire', '', '', { { 'available', -acct.expired_now }, { 'breakage', acct.expired_now } }, '')
  end
end

-- Writes what changed. The account's next expiry stands in the partition's index for the sweep;
-- returns whether there is one.
local function commit_account(acct)
  local row = { 'seq', int(acct.seq), 'next_grant', int(acct.next_grant) }
  for _, name in ipairs(TOTALS) do
    row[#row + 1] = name
    row[#row + 1] = int(acct[name])
  end
  redis.call('HSET', key('acct', acct.id), unpack(row))
  local set, gone = {}, {}
  for id in pairs(acct.changed) do
    local g = acct.grants[id]
    if g.remaining == 0 and g.pinned == 0 then
      gone[#gone + 1] = id
      acct.grants[id] = nil
    else
      set[#set + 1] = id
      set[#set + 1] = grant_row(g)
    end
  end
  if #set > 0 then redis.call('HSET', key('grants', acct.id), unpack(set)) end
  if #gone > 0 then redis.call('HDEL', key('grants', acct.id), unpack(gone)) end
  local next_ms = math.huge
  for _, g in pairs(acct.grants) do
    if g.expires > 0 and g.remaining > 0 then next_ms = math.min(next_ms, g.expires) end
  end
  if next_ms < math.huge then redis.call('ZADD', PREFIX .. 'part:expiries', int(next_ms), acct.id) end
  return next_ms < math.huge
end
