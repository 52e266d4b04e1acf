-- credit: credit that comes in from outside and that corrections take out again. In memory, as in hold;
-- the caller writes it with commit_account.

-- Gives new credit to the grant of this kind and expiry, made if there is none. Returns the grant and
-- what went to debt; or nil and the refusal, with nothing changed.
local function add_credit(acct, kind, expires, amount, live_max)
  local total = acct.available + acct.held + acct.granted + acct.refunded + math.abs(acct.adjusted) + amount
  if total > AMOUNT_MAX then return nil, { 'overflow' } end -- guard: grant_overflow
  local live, known = 0, false
  for _, g in pairs(acct.grants) do -- what has just expired is no longer live, swept or not
    if g.remaining > 0 or g.pinned > 0 then
      live, known = live + 1, known or (g.kind == kind and g.expires == expires)
    end
  end
  if not known and live >= tonumber(live_max) then return nil, { 'too_many_grants', int(live) } end -- guard: grants_max
  local grant = grant_for(acct, kind, expires)
  return grant, make_available(acct, grant, amount)
end

-- Takes credit that no hold has pinned, from the grant `first` where there is one, then in burn order.
-- What is not there becomes debt. Returns what was taken from grants, the debt made, and from which
-- grants (id=amount;...).
local function take_unpinned(acct, amount, first)
  local live, taken, left = {}, {}, amount
  for _, grant in pairs(acct.grants) do
    if grant.remaining > 0 then live[#live + 1] = grant end
  end
  table.sort(live, function(a, b)
    if (a.id == first) ~= (b.id == first) then return a.id == first end
    return burns_before(a, b)
  end)
  for _, grant in ipairs(live) do
    local part_of = math.min(grant.remaining, left)
    if part_of > 0 then
      grant.remaining, left = grant.remaining - part_of, left - part_of
      acct.changed[grant.id] = true
      taken[#taken + 1] = grant.id .. '=' .. int(part_of)
    end
  end
  acct.available, acct.debt = acct.available - (amount - left), acct.debt + left
  return amount - left, left, table.concat(taken, ';')
end
