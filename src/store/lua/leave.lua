#!lua flags=allow-oom
-- leave: a worker gives its lease back when it ends, so that nobody waits for it to lapse.
-- uses: base, events
-- KEYS 1 part:meta  2 part:leases  3 part:dead  4 part:reaping  5 part:workers  6 part:drains
-- ARGV 1 time or ''  2 worker  3 its last words, JSON
-- replies: left | gone
-- invariant: its id is refused from now on, and what it left behind is walked by reap at once.

local part, worker = load_part(), ARGV[2]
if not redis.call('ZSCORE', KEYS[2], worker) then return { 'gone' } end -- guard: leave_once
touch(KEYS[3], KEYS[4], KEYS[5], KEYS[6])

-- point of no return
redis.call('ZADD', KEYS[3], int(part.now), worker)
redis.call('SADD', KEYS[4], worker)
redis.call('ZREM', KEYS[2], worker)
redis.call('HSET', KEYS[5], worker, ARGV[3])
redis.call('HDEL', KEYS[6], worker)
return { 'left' }
