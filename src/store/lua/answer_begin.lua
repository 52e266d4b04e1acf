#!lua flags=allow-oom
-- answer_begin: an HTTP request with an idempotency key begins, or is the same as one before.
-- uses: base
-- KEYS 1 part:meta  2 answer
-- ARGV 1 time or ''  2 request's hash  3 token of this attempt  4 how long the attempt may take, ms
-- replies: begun | done status body location | under_way | another
-- invariant: of the attempts of one key at most one goes on, until it says what came of it or its time is up.

load_part()
local before = redis.call('HMGET', KEYS[2], 'request', 'token', 'status', 'body', 'location')
if before[1] and before[1] ~= ARGV[2] then return { 'another' } end -- guard: answer_of_one_request
if before[3] then return { 'done', before[3], before[4], before[5] } end -- guard: answer_once
if before[1] and before[2] ~= ARGV[3] then return { 'under_way' } end -- guard: answer_one_at_a_time

-- point of no return
redis.call('HSET', KEYS[2], 'request', ARGV[2], 'token', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return { 'begun' }
