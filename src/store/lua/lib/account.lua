-- account: an account's balances and grants in memory, and how they are written back.
--
-- Hash acct:<id>: available, held, debt, granted, captured, expired, refunded, adjusted (micro-credits),
-- seq (account sequence), next_grant, state, max_active (0 = the default), limits (queue=n;queue=n),
-- caps and spent (see caps), hooks (see hooks), alert (threshold|1 while below it), plan, plan_price, plan_until.
-- Hash grants:<id>: <grant> -> kind|remaining|pinned|expires_ms|age, amounts in micro-credits,
-- expires_ms 0 = never. remaining is what can be spent; pinned belongs to open holds.

local TOTALS = { 'available', 'held', 'debt', 'granted', 'captured', 'expired', 'refunded', 'adjusted' }

-- nil where there is no such account.
local function load_account(id)
  local v = redis.call('HMGET', key('acct', id), 'available', 'held', 'debt', 'granted', 'captured',
    'expired', 'refunded', 'adjusted', 'seq', 'next_grant', 'state', 'max_active', 'limits', 'caps', 'spent', 'alert', 'hooks')
  if not v[11] then return nil end
  HOOKED[id] = v[17] or ''
  local n = { tonumber(v[1]), tonumber(v[2]), tonumber(v[3]), tonumber(v[4]), tonumber(v[5]), tonumber(v[6]), tonumber(v[7]),
    tonumber(v[8]) } -- in the order of TOTALS
  local acct = { id = id, grants = {}, changed = {}, was = n, next_grant_was = tonumber(v[10]), available = n[1] or 0, held = n[2] or 0,
    debt = n[3] or 0, granted = n[4] or 0, captured = n[5] or 0, expired = n[6] or 0, refunded = n[7] or 0,
    adjusted = n[8] or 0, seq = tonumber(v[9] or '0'), next_grant = tonumber(v[10] or '1'), state = v[11],
    max_active = tonumber(v[12] or '0'), limits = v[13] or '', caps = v[14] or '', spent = v[15] or '', alert = v[16] or '',
    expired_now = 0, now = 0, lost_now = {}, spent_changed = false }
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
  local total, lost = 0, {}
  for id, grant in pairs(acct.grants) do
    if grant.remaining > 0 and is_due(grant, now) then
      total = total + grant.remaining
      lost[#lost + 1] = id .. '=' .. int(grant.remaining)
      grant.remaining = 0
      acct.changed[id] = true
    end
  end
  acct.available, acct.expired, acct.expired_now = acct.available - total, acct.expired + total, total
  acct.now, acct.lost_now = now, lost
end

-- How many jobs of the account may be active in a queue: its number for that queue, else its own, else
-- `default`.
local function active_max(acct, queue, default)
  local limit = acct.limits ~= '' and string.match(';' .. acct.limits, ';' .. string.gsub(queue, '%-', '%%-') .. '=(%d+)')
  if limit then return tonumber(limit) end
  return acct.max_active > 0 and acct.max_active or default
end

local function commit_expiry(part, acct)
  if acct.expired_now and acct.expired_now > 0 then
    journal(part, acct, 'expire', '', '', { { 'available', -acct.expired_now }, { 'breakage', acct.expired_now } },
      ',"lost":"' .. table.concat(acct.lost_now, ';') .. '"')
  end
end

-- One event when what is available falls below the account's threshold, and no other until it was above.
local function note_low(acct, row)
  if (acct.alert or '') == '' then return end
  local below, low_ucr = string.match(acct.alert, '|1$') ~= nil, tonumber(string.match(acct.alert, '^%d+'))
  if below == (acct.available < low_ucr) then return end -- guard: low_once
  row[#row + 1], row[#row + 2] = 'alert', int(low_ucr) .. (below and '|0' or '|1')
  if not below then event({ at = int(acct.now) }, '', acct.id, 'low_balance', int(acct.available)) end
end

-- Writes what changed; of an account that was not loaded, everything. The account's next expiry stands in
-- the partition's index for the sweep; returns whether there is one.
local function commit_account(acct)
  local row, was, n = { 'seq', int(acct.seq) }, acct.was or {}, 2
  for i, name in ipairs(TOTALS) do
    local now_is = acct[name]
    if was[i] ~= now_is then row[n + 1], row[n + 2], n = name, int(now_is), n + 2 end
  end
  if acct.next_grant_was ~= acct.next_grant then row[n + 1], row[n + 2] = 'next_grant', int(acct.next_grant) end
  if acct.spent_changed then row[#row + 1], row[#row + 2] = 'spent', acct.spent end
  note_low(acct, row)
  redis.call('HSET', key('acct', acct.id), unpack(row))
  local set, gone = {}, {}
  for id in pairs(acct.changed) do
    local g = acct.grants[id]
    if g.remaining == 0 and g.pinned == 0 then
      gone[#gone + 1] = id
      acct.grants[id] = nil
    else
      set[#set + 1] = id
      set[#set + 1] = g.row or grant_row(g)
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
