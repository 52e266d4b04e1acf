#!lua flags=allow-oom
-- account_set: what an account may do: active jobs, caps, the threshold of its low balance.
-- uses: base, events, account, expiry, acts, hold, queue
-- KEYS 1 part:meta  2 acct  3 grants
-- ARGV 1 time or ''  2 account  3 max_active | queue | caps | alert  4 value: a number (0 = default or off);
--      for queue `name=number`; for caps `day|month` in micro-credits, a part may be '-' = as it is
--      5 reason  6 actor  7 max_active of the settings
-- replies: set value-now admitted | unchanged value-now | unknown_account | bad_value
-- invariant: no balance moves; a limit that rises lets waiting jobs in at once, one that falls stops none.

local part, account, what, value = load_part(), ARGV[2], ARGV[3], ARGV[4]
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
expire_due(acct, part.now)
local field, before = what, ''
if what == 'max_active' then
  before, acct.max_active = int(acct.max_active), tonumber(value)
elseif what == 'queue' then
  local queue, number = string.match(value, '^([%l%d%-]+)=(%d+)$')
  if not queue then return { 'bad_value' } end -- guard: queue_name
  local kept = {}
  for name, limit in string.gmatch(acct.limits, '([%l%d%-]+)=(%d+)') do
    if name ~= queue then kept[#kept + 1] = name .. '=' .. limit end
  end
  if number ~= '0' then kept[#kept + 1] = value end
  table.sort(kept)
  field, before, value = 'limits', acct.limits, table.concat(kept, ';')
  acct.limits = value
elseif what == 'caps' then
  local day, month = string.match(value, '^([%d%-]+)|([%d%-]+)$')
  local day_now, month_now = string.match(acct.caps, '^(%d+)|(%d+)$')
  day, month = day == '-' and (day_now or '0') or day, month == '-' and (month_now or '0') or month
  before, value = acct.caps, (day == '0' and month == '0') and '' or day .. '|' .. month
  acct.caps = value
else
  before = string.match(acct.alert, '^%d+') or '0'
end
if before == value then return { 'unchanged', value } end -- guard: set_once
local lanes = plan_all_lanes(acct, tonumber(ARGV[7]))
touch(PREFIX .. 'part:acts')

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'set', '', '', {}, ',"set":' .. cjson.encode({ [field] = value }) .. ',"reason":'
  .. cjson.encode(ARGV[5]) .. ',"actor":' .. cjson.encode(ARGV[6]))
-- Whoever is below the new threshold already has not just fallen below it.
if what == 'alert' then acct.alert = value == '0' and '' or value .. (acct.available < tonumber(value) and '|1' or '|0') end
commit_account(acct)
redis.call('HSET', KEYS[2], field, what == 'alert' and acct.alert or value)
local admitted = commit_all_lanes(lanes)
note_act(part, ARGV[6], 'set', account, ARGV[5], field .. ' ' .. value)
event(part, '', account, 'set', field .. ' ' .. value)
return { 'set', value, int(admitted) }
