#!lua flags=allow-oom
-- account_state: closes an account, or opens a closed one again.
-- uses: base, events, account, expiry, acts
-- KEYS 1 part:meta  2 acct  3 grants
-- ARGV 1 time or ''  2 account  3 closed | open  4 reason  5 actor
-- replies: set | unchanged | unknown_account | account_frozen | has_open_jobs held_ucr
-- invariant: no credit moves; what a closed account has stays its own, and expires as it would have.

local part, account, state = load_part(), ARGV[2], ARGV[3]
local acct = load_account(account)
if not acct then return { 'unknown_account' } end
if acct.state == state then return { 'unchanged' } end -- guard: state_once
if acct.state == 'frozen' then return { 'account_frozen' } end -- guard: state_frozen
if state == 'closed' and acct.held > 0 then return { 'has_open_jobs', int(acct.held) } end -- guard: close_held
touch(PREFIX .. 'part:acts')
expire_due(acct, part.now)

-- point of no return
commit_expiry(part, acct)
journal(part, acct, 'set', '', '', {}, ',"set":{"state":"' .. state .. '"},"reason":' .. cjson.encode(ARGV[4])
  .. ',"actor":' .. cjson.encode(ARGV[5]))
commit_account(acct)
redis.call('HSET', KEYS[2], 'state', state)
note_act(part, ARGV[5], state == 'closed' and 'close' or 'reopen', account, ARGV[4], '')
event(part, '', account, state == 'closed' and 'closed' or 'reopened', '')
return { 'set' }
