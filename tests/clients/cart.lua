#!lua name=cart
-- What the client tests load. Its functions answer every kind of reply.

local function add(keys, args)
    return redis.call('HINCRBY', keys[1], args[1], args[2])
end

local function get(keys, args)
    return redis.call('HGET', keys[1], args[1])
end

local function all(keys)
    redis.setresp(3)
    return redis.call('HGETALL', keys[1])
end

local function total(keys)
    local sum = 0
    for _, count in ipairs(redis.call('HVALS', keys[1])) do
        sum = sum + count
    end
    return { double = sum / 2 }
end

local function rename(keys)
    return redis.call('RENAME', keys[1], keys[2])
end

local function kinds(_, args)
    return { 1, 'two', false, { #args, args[1] } }
end

local function fail(_, args)
    return redis.error_reply('CART ' .. args[1])
end

redis.register_function('cart_add', add)
redis.register_function('cart_rename', rename)
redis.register_function { function_name = 'cart_get', callback = get, flags = { 'no-writes' } }
redis.register_function { function_name = 'cart_all', callback = all, flags = { 'no-writes' } }
redis.register_function { function_name = 'cart_total', callback = total, flags = { 'no-writes' } }
redis.register_function {
    function_name = 'cart_kinds',
    callback = kinds,
    flags = { 'no-writes', 'allow-stale' },
    description = 'one of each',
}
redis.register_function { function_name = 'cart_fail', callback = fail, flags = { 'no-writes' } }
