-- Takes ARGV[1] pieces from the stock KEYS[1] and notes the sale in KEYS[2]. Answers what is left and what it cost, or
-- nil when there is not enough.
local left = tonumber(redis.call('GET', KEYS[1]) or '0') - ARGV[1]
if left < 0 then
    return nil
end
local cost = ARGV[1] * 2.45
redis.call('SET', KEYS[1], left, 'EX', 60)
redis.call('RPUSH', KEYS[2], cjson.encode({ left, cost, ARGV[2] }))
redis.call('HSET', KEYS[2] .. ':last', 'left', left, 'cost', cost, 'buyer', ARGV[2])
redis.call('INCRBYFLOAT', KEYS[2] .. ':sum', cost)
return { left, tostring(cost) }
