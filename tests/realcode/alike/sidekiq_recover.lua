-- A job that a dead worker has left goes back to the queue that it names, as with Sidekiq's recovery of orphans:
-- https://github.com/sidekiq/sidekiq/issues/6601
local job = redis.call('LINDEX', KEYS[1], -1)
if not job then return false end
local queue = cjson.decode(job).queue
redis.call('RPOPLPUSH', KEYS[1], ARGV[1] .. 'queue:' .. queue)
return redis.call('HINCRBY', KEYS[2], queue, 1)
