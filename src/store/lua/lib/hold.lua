-- hold: credit on its way in and out of grants: granted, pinned by a hold, captured, given back.
--
-- Everything happens in memory, on an account that load_account has read; the caller writes it with
-- commit_account.

local BURN_RANK = { grace = 1, daily = 2, promo = 3, signup = 4, plan = 5, adjustment = 6, purchase = 7 }

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
  load_totals(acct)
  for _, grant in pairs(acct.grants) do
    if grant.kind == kind and grant.expires == expires then return grant end
  end
  local id = 'g' .. int(acct.next_grant)
  local grant = { id = id, kind = kind, remaining = 0, pinned = 0, expires = expires, age = acct.next_grant }
  acct.next_grant = acct.next_grant + 1
  acct.grants[id] = grant
  return grant
end

-- Credit that the house gives for one hold alone: pinned at once, never available. Its expiry lies in the
-- past, so that nothing of it can ever be given to the account.
local function pin_house(acct, amount)
  if amount == 0 then return '' end
  local grant = grant_for(acct, 'house', 1)
  grant.pinned = grant.pinned + amount
  acct.granted, acct.held, acct.changed[grant.id] = acct.granted + amount, acct.held + amount, true
  return grant.id .. '=' .. int(amount)
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
-- after its own expiry and never a second time. What the house gave goes back to it. Returns the postings,
-- what is released, and a trail for the books: grants captured from and grants whose slice is lost
-- (id=amount;...), and for a refund the captured grants with all that is needed to find them again
-- (id|kind|expires_ms|amount;...).
local function end_hold(acct, slices_text, capture, our_fault, now)
  local slices, held, left = {}, 0, capture
  local taken_from, lost, memo = '', nil, ''
  for id, amount in string.gmatch(slices_text, '(g%d+)=(%d+)') do
    local grant, pinned = acct.grants[id], tonumber(amount)
    local taken = math.min(pinned, left)
    grant.pinned, held, left = grant.pinned - pinned, held + pinned, left - taken
    acct.changed[id] = true
    if taken > 0 then
      local comma, text = taken_from == '' and '' or ';', int(taken)
      taken_from = taken_from .. comma .. id .. '=' .. text
      memo = memo .. comma .. id .. '|' .. grant.kind .. '|' .. (grant.expires_text or int(grant.expires)) .. '|' .. text
    end
    if pinned > taken then slices[#slices + 1] = { grant = grant, give_back = pinned - taken } end
  end
  local to_available, to_debt, to_breakage, to_house = 0, 0, 0, 0
  for i = #slices, 1, -1 do
    local grant, amount = slices[i].grant, slices[i].give_back
    if grant.kind == 'house' then -- guard: house_credit_goes_back
      to_house, amount = to_house + amount, 0
    elseif amount > 0 and is_due(grant, now) then
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
      lost = (lost and lost .. ';' or '') .. slices[i].grant.id .. '=' .. int(amount)
    end
  end
  acct.held, acct.captured = acct.held - held, acct.captured + capture
  if to_breakage + to_house > 0 then load_totals(acct) end
  if not acct.lean then acct.expired, acct.granted = acct.expired + to_breakage, acct.granted - to_house end
  local postings = { { 'held', -held }, { 'revenue', capture } }
  if to_available > 0 then postings[3] = { 'available', to_available } end
  if to_debt > 0 then postings[#postings + 1] = { 'debt', to_debt } end
  if to_breakage > 0 then postings[#postings + 1] = { 'breakage', to_breakage } end
  if to_house > 0 then postings[#postings + 1] = { 'promo', to_house } end
  return postings, held - capture, { taken = taken_from, lost = lost or '', memo = memo }
end
