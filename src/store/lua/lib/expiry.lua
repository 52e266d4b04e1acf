-- expiry: credit whose time is over leaves the balance, found by whichever script comes by and booked by those
-- that write.

local function is_due(grant, now) return grant.expires > 0 and grant.expires <= now end

-- Takes what has expired out of the balance. Pinned slices stay: they belong to a hold.
-- Nothing is written; the caller books `expired_now` with commit_expiry.
local function expire_due(acct, now)
  local total, lost = 0, nil
  for id, grant in pairs(acct.grants) do
    if grant.remaining > 0 and is_due(grant, now) then
      load_totals(acct)
      total, lost = total + grant.remaining, lost or {}
      lost[#lost + 1] = id .. '=' .. int(grant.remaining)
      grant.remaining = 0
      acct.changed[id] = true
    end
  end
  acct.now = now
  if not lost then return end
  acct.available, acct.expired, acct.expired_now, acct.lost_now = acct.available - total, acct.expired + total, total, lost
end

local function commit_expiry(part, acct)
  if acct.expired_now and acct.expired_now > 0 then
    journal(part, acct, 'expire', '', '', { { 'available', -acct.expired_now }, { 'breakage', acct.expired_now } },
      ',"lost":"' .. table.concat(acct.lost_now, ';') .. '"')
  end
end
