-- The first job that is due, as with Sidekiq's simple scheduler, which declares all its keys.
local job = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if job then redis.call('ZREM', KEYS[1], job) end
return job
