-- Tasks whose lease has ended are pending again, as with asynq: https://github.com/hibiken/asynq/issues/951
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for _, id in ipairs(ended) do
    redis.call('ZREM', KEYS[1], id)
    redis.call('LREM', KEYS[2], 1, id)
    redis.call('LPUSH', KEYS[3], id)
    redis.call('HSET', ARGV[2] .. id, 'state', 'pending')
end
return #ended
