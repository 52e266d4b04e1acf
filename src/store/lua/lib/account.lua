-- account: an account's balances and grants in memory, and how they are written back.
--
-- Hash acct:<id>: available, held, debt, granted, captured, expired, refunded, adjusted (micro-credits),
-- seq (account sequence), next_grant, state, max_active (0 = the default), limits (queue=n;queue=n),
-- caps and spent (see caps), hooks (see hooks), alert (threshold|1 while below it), plan, plan_price, plan_until.
-- Hash grants:<id>: <grant> -> kind|remaining|pinned|expires_ms|age, amounts in micro-credits,
-- expires_ms 0 = never. remaining is what can be spent; pinned belongs to open holds.

local TOTALS = { 'available', 'held', 'debt', 'granted', 'captured', 'expired', 'refunded', 'adjusted' }

-- What most accounts have not; a table of up to sixteen fields is cheap to make.
local ORDINARY = { __index = { max_active = 0, limits = '', caps = '', alert = '', expired_now = 0, now = 0 } }

-- Totals that only grants, corrections and expiry change.
local function load_totals(acct)
  if not acct.lean then return end
  local v, was = redis.call('HMGET', key('acct', acct.id), 'granted', 'expired', 'refunded', 'adjusted', 'next_grant'), acct.was
  was.granted, was.expired, was.refunded, was.adjusted = tonumber(v[1]), tonumber(v[2]), tonumber(v[3]), tonumber(v[4])
  acct.granted, acct.expired, acct.refunded, acct.adjusted = was.granted or 0, was.expired or 0, was.refunded or 0, was.adjusted or 0
  acct.next_grant_was, acct.lean = tonumber(v[5]), nil
  acct.next_grant = acct.next_grant_was or 1
end

-- nil where there is no such account. `lean`: the totals of load_totals are read where expire_due or end_hold
-- come to need them.
local function load_account(id, lean)
  local v = redis.call('HMGET', key('acct', id), 'state', 'seq', 'available', 'held', 'debt', 'captured', 'spent',
    'max_active', 'limits', 'caps', 'alert', 'hooks')
  if not v[1] then return nil end
  HOOKED[id] = v[12] or ''
  local was = { available = tonumber(v[3]), held = tonumber(v[4]), debt = tonumber(v[5]), captured = tonumber(v[6]) }
  local grants = {}
  local acct = setmetatable({ id = id, state = v[1], seq = tonumber(v[2] or '0'), was = was, available = was.available or 0,
    held = was.held or 0, debt = was.debt or 0, captured = was.captured or 0, spent = v[7] or '', grants = grants,
    changed = {}, lean = true }, ORDINARY)
  if v[8] and v[8] ~= '0' then acct.max_active = tonumber(v[8]) end
  if v[9] then acct.limits = v[9] end
  if v[10] then acct.caps = v[10] end
  if v[11] then acct.alert = v[11] end
  if not lean then load_totals(acct) end
  local rows = redis.call('HGETALL', key('grants', id))
  for i = 1, #rows, 2 do
    local kind, remaining, pinned, expires, age = string.match(rows[i + 1], '^(%a+)|(%d+)|(%d+)|(%d+)|(%d+)$')
    grants[rows[i]] = { id = rows[i], kind = kind, remaining = tonumber(remaining), pinned = tonumber(pinned),
      expires = tonumber(expires), age = tonumber(age), expires_text = expires, age_text = age }
  end
  return acct
end

-- How many jobs of the account may be active in a queue: its number for that queue, else its own, else
-- `default`.
local function active_max(acct, queue, default)
  local limit = acct.limits ~= '' and string.match(';' .. acct.limits, ';' .. string.gsub(queue, '%-', '%%-') .. '=(%d+)')
  if limit then return tonumber(limit) end
  return acct.max_active > 0 and acct.max_active or default
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
  local row, was, n = { 'seq', acct.seq_text or int(acct.seq) }, acct.was or {}, 2
  for _, name in ipairs(TOTALS) do
    local now_is = acct[name]
    if was[name] ~= now_is then row[n + 1], row[n + 2], n = name, int(now_is), n + 2 end
  end
  if acct.next_grant_was ~= acct.next_grant then row[n + 1], row[n + 2] = 'next_grant', int(acct.next_grant) end
  if acct.spent_changed then row[#row + 1], row[#row + 2] = 'spent', acct.spent end
  note_low(acct, row)
  redis.call('HSET', key('acct', acct.id), unpack(row))
  local set, gone = { 'HSET', key('grants', acct.id) }, nil
  for id in pairs(acct.changed) do
    local g = acct.grants[id]
    if g.remaining == 0 and g.pinned == 0 then
      gone = gone or { 'HDEL', set[2] }
      gone[#gone + 1] = id
      acct.grants[id] = nil
    else
      set[#set + 1] = id
      set[#set + 1] = g.row or grant_row(g)
    end
  end
  if set[3] then redis.call(unpack(set)) end
  if gone then redis.call(unpack(gone)) end
  local next_ms = math.huge
  for _, g in pairs(acct.grants) do
    if g.expires > 0 and g.remaining > 0 and g.expires < next_ms then next_ms = g.expires end
  end
  if next_ms < math.huge then redis.call('ZADD', PREFIX .. 'part:expiries', int(next_ms), acct.id) end
  return next_ms < math.huge
end
