-- What is due goes to the queues that the jobs themselves name, as with Sidekiq's reliable scheduler:
-- https://github.com/dragonflydb/dragonfly/issues/2442
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 100)
for _, job in ipairs(due) do
    local queue = cjson.decode(job).queue
    redis.call('ZREM', KEYS[1], job)
    redis.call('SADD', ARGV[2] .. 'queues', queue)
    redis.call('LPUSH', ARGV[2] .. 'queue:' .. queue, job)
end
return #due
