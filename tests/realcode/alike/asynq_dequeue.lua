-- The next task of a queue, found by the id in the list, as with asynq: https://github.com/hibiken/asynq/issues/951
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
if not id then return false end
local task = ARGV[2] .. id
redis.call('HSET', task, 'state', 'active')
redis.call('ZADD', KEYS[4], ARGV[1], id)
return redis.call('HGET', task, 'message')
