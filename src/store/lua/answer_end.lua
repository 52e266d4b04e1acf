#!lua flags=allow-oom
-- answer_end: keeps the answer of an HTTP request with an idempotency key, or forgets that it began.
-- uses: base
-- KEYS 1 part:meta  2 answer
-- ARGV 1 time or ''  2 token of the attempt  3 status, or '' to forget it  4 body  5 location or ''
--      6 how long it is kept, ms
-- replies: kept | forgotten | not_ours
-- invariant: only the attempt that began says what came of it.

load_part()
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then return { 'not_ours' } end -- guard: answer_end_own

-- point of no return
if ARGV[3] == '' then
  redis.call('DEL', KEYS[2])
  return { 'forgotten' }
end
redis.call('HSET', KEYS[2], 'status', ARGV[3], 'body', ARGV[4], 'location', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return { 'kept' }
