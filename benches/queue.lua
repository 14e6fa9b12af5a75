-- A job comes to a queue, is taken, and is done. KEYS: the counter of jobs, the beginning of a job's key, the waiting, the
-- active, the priorities, the done, the events. ARGV: the options, the name and the data of the job.
local options = cmsgpack.unpack(ARGV[1])
local id = tostring(redis.call('INCR', KEYS[1]))
local job = KEYS[2] .. id

redis.call('HSET', job, 'name', ARGV[2], 'data', ARGV[3], 'attempts', options.attempts, 'priority', options.priority)
redis.call('ZADD', KEYS[5], options.priority, id)
redis.call('LPUSH', KEYS[3], id)

local taken = redis.call('RPOPLPUSH', KEYS[3], KEYS[4])
redis.call('ZREM', KEYS[5], taken)
local fields = redis.call('HMGET', job, 'name', 'data', 'attempts')
redis.call('HINCRBY', job, 'tried', 1)

if redis.call('LREM', KEYS[4], -1, taken) == 0 then return redis.error_reply('ERR the job is not active') end
redis.call('HSET', job, 'result', cjson.encode({name = fields[1], length = #fields[2], attempts = tonumber(fields[3])}))
redis.call('ZADD', KEYS[6], id, taken)
redis.call('PUBLISH', KEYS[7], 'done ' .. taken)

-- Of the jobs that are done, the last ten stay.
local old = redis.call('ZRANGE', KEYS[6], 0, -11)
for _, other in ipairs(old) do
    redis.call('DEL', KEYS[2] .. other)
    redis.call('ZREM', KEYS[6], other)
end
return {taken, fields[1]}
