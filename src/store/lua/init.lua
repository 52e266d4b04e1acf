#!lua flags=allow-oom
-- init: makes an empty store a store, once. Later calls return what stands there.
-- uses: base, events
-- KEYS 1 store meta
-- ARGV 1 time or ''  2 schema  3 partitions  4 tags, separated by spaces
-- replies: {schema, partitions, tags}
-- invariant: partitions and tags never change after the first call.

if redis.call('EXISTS', KEYS[1]) == 0 then
  -- point of no return
  redis.call('HSET', KEYS[1], 'schema', ARGV[2], 'partitions', ARGV[3], 'tags', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'schema', 'partitions', 'tags')
