#!lua flags=allow-oom
-- drain_worker: orders a worker to hand its jobs over and to end; it hears of it at once.
-- uses: base, events, acts
-- KEYS 1 part:meta  2 part:leases  3 part:drains  4 part:control  5 part:acts
-- ARGV 1 time or ''  2 worker  3 reason  4 actor
-- replies: ordered | already | gone
-- invariant: only a worker that has a lease is ordered; the order lasts as long as the worker.

local part, worker = load_part(), ARGV[2]
if not redis.call('ZSCORE', KEYS[2], worker) then return { 'gone' } end -- guard: drain_living
if redis.call('HEXISTS', KEYS[3], worker) == 1 then return { 'already' } end -- guard: drain_once
touch(KEYS[4], KEYS[5])

-- point of no return
redis.call('HSET', KEYS[3], worker, cjson.encode({ by = ARGV[4], why = ARGV[3], t = int(part.now) }))
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'w', worker)
note_act(part, ARGV[4], 'drain', worker, ARGV[3], '')
return { 'ordered' }
