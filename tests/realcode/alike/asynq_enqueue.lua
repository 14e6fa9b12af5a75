-- A task and its place in a queue, as with asynq, which declares the task's key here.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'message', ARGV[1], 'state', 'pending')
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1
