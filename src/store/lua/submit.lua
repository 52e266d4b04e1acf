#!lua
-- submit: holds the ceilings of jobs and queues them: each job both or neither, whatever the others get.
-- uses: base, events, account, expiry, calendar, caps, hold, queue, acts, frozen, admission, batch, hooks
-- KEYS 1 part:meta
-- ARGV 1 time or ''  2 queue_ttl_ms  3 max_active (default)  4 open jobs at most (this partition)
--      5 lane at most  6.. seventeen of each job: account, job, fingerprint, ceiling_ucr, tool, queue, class,
--      price version, rule, asked_ms, asked outputs, deadline_ms, delay_ms, payload, idempotency key or '',
--      quote or '', max_ucr or ''
-- replies: an answer of each job: held job hold_ucr state | replayed job hold_ucr state | key_mismatch job
--          | unknown_account | frozen what reason | account_closed state | quote_expired | above_max ceiling_ucr
--          | queue_draining queue | queue_full | cap_exceeded day-or-month until_ms need_ucr left_ucr | lane_full
--          | insufficient need_ucr available_ucr | error why
-- invariant: held rises by the ceiling exactly when the job comes to stand in a queue.

local part = load_part()
local ttl, max_active, open_max, lane_max = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- What came before: jobs by their idempotency keys, and whether any of these jobs is there already. Both are
-- asked once for all; what this call makes is added.
local idem_keys, idems, jobs, is_made = {}, {}, {}, {}
for at = 6, #ARGV, 17 do
  jobs[#jobs + 1] = key('job', ARGV[at + 1])
  if ARGV[at + 14] ~= '' then idem_keys[#idem_keys + 1] = key('idem', ARGV[at] .. ':' .. ARGV[at + 14]) end
end
local held = idem_keys[1] and redis.call('MGET', unpack(idem_keys)) or {}
for i, idem_key in ipairs(idem_keys) do idems[idem_key] = held[i] or nil end
local any_made = redis.call('EXISTS', unpack(jobs)) > 0

local function submit(at)
  local account, id, fingerprint, ceiling, tool, queue, class, version, rule, asked_ms, outputs, deadline_ms, delay,
    payload, idem, quote, max = unpack(ARGV, at, at + 16)
  local need, idem_key = tonumber(ceiling), key('idem', account .. ':' .. idem)
  local seen = idem ~= '' and idems[idem_key] or id
  local before = {}
  if seen ~= id or any_made or is_made[id] then
    before = redis.call('HMGET', key('job', seen), 'fingerprint', 'hold_ucr', 'state', 'quote')
  end
  if before[3] then -- guard: idempotency
    local same = before[1] == fingerprint or (quote ~= '' and before[4] == quote)
    if not same then return { 'key_mismatch', seen } end -- guard: idempotency_fingerprint
    return { 'replayed', seen, before[2], before[3] }
  end
  local acct = load_account(account, true)
  if not acct then return { 'unknown_account' } end
  if part.frozen or acct.state == 'frozen' then -- guard: submit_frozen
    return { 'frozen', part.frozen and '*' or account, frozen_reason(part, account) or '' }
  end
  if acct.state ~= 'open' then return { 'account_closed', acct.state } end -- guard: account_open
  local quoted_until = quote ~= '' and tonumber(redis.call('HGET', key('quote', quote), 'expires_at') or '0') or math.huge
  if quoted_until <= part.now then return { 'quote_expired' } end -- guard: quote_alive
  if max ~= '' and need > tonumber(max) then return { 'above_max', ceiling } end -- guard: max_credits
  local r = { account = account, job = id, queue = queue, class = class, need = need, ceiling = ceiling, delay = tonumber(delay),
    ttl = ttl, max_active = max_active, open_max = open_max, lane_max = lane_max }
  local refusal = plan_admission(part, acct, r)
  if refusal then return refusal end

  -- point of no return
  local fields = { 'tool', tool, 'deadline_ms', deadline_ms, 'rule', rule, 'asked_ms', asked_ms, 'asked_outputs', outputs,
    'created_at', part.at, 'fingerprint', fingerprint, 'price_version', version }
  if quote ~= '' then fields[#fields + 1], fields[#fields + 2] = 'quote', quote end
  if idem ~= '' then fields[#fields + 1], fields[#fields + 2] = 'idem', idem end
  is_made[id] = true -- guard: submitted_in_this_call
  idems[idem_key] = id -- guard: key_of_this_call
  commit_admission(part, acct, r, fields, payload, idem)
  if idem ~= '' then put_off(part, 'MSET', nil, idem_key, id) end
  return { 'held', id, ceiling, r.state }
end

return each_item(part, 6, 17, submit)
