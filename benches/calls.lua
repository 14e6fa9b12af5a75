#!lua name=bench
local function fib(n)
    if n < 2 then return n end
    return fib(n - 1) + fib(n - 2)
end

-- The server gives a library its globals when it has been loaded: what they are needed for is built by the first call.
local words, text, order

local function prepare()
    if text then return end
    words = {}
    for number = 1, 1000 do
        words[number] = 'word' .. number % 97
    end
    text = table.concat(words, ' ')
    order = {id = 4711, customer = {name = 'Ada', tags = {'new', 'paid'}}, lines = {}}
    for number = 1, 20 do
        order.lines[number] = {article = 'article' .. number, count = number, price = number * 1.25}
    end
end

redis.register_function('bench_empty', function() end)

redis.register_function('bench_arguments', function(keys, args) return args[20] end)

redis.register_function('bench_get', function(keys) return redis.call('GET', keys[1]) end)

redis.register_function('bench_set', function(keys) return redis.call('SET', keys[1], 'value') end)

redis.register_function('bench_incrby', function(keys)
    for _ = 1, 50 do redis.call('INCRBY', keys[1], 1) end
end)

redis.register_function('bench_hgetall', function(keys) return redis.call('HGETALL', keys[1]) end)

redis.register_function('bench_fib', function() return fib(25) end)

redis.register_function('bench_sieve', function()
    local composite, count = {}, 0
    for number = 2, 10000 do
        if not composite[number] then
            count = count + 1
            for multiple = number * number, 10000, number do composite[multiple] = true end
        end
    end
    return count
end)

redis.register_function('bench_words', function()
    prepare()
    local counts, different = {}, 0
    for word in string.gmatch(text, '%w+') do
        if not counts[word] then different = different + 1 end
        counts[word] = (counts[word] or 0) + 1
    end
    return different
end)

redis.register_function('bench_building', function()
    prepare()
    local parts = {}
    for number = 1, 1000 do
        parts[#parts + 1] = string.format('%d:%s', number, words[number])
    end
    return #table.concat(parts, ',')
end)

redis.register_function('bench_numbers', function()
    local length, list = 0, {}
    for number = 1, 100 do
        length = length + #(number .. ':' .. number / 8) + #tostring(number / 3) + #string.format('%.14g', number / 7)
        list[number * 2 - 1], list[number * 2] = number, number * 1.1
    end
    return length + #table.concat(list, ',')
end)

redis.register_function('bench_json', function()
    prepare()
    return #cjson.encode(cjson.decode(cjson.encode(order)))
end)

redis.register_function('bench_msgpack', function()
    prepare()
    return #cmsgpack.pack(cmsgpack.unpack(cmsgpack.pack(order)))
end)

redis.register_function('bench_error', function()
    for _ = 1, 100 do pcall(error, 'x') end
end)

redis.register_function('bench_error_table', function()
    for _ = 1, 100 do pcall(error, {err = 'x'}) end
end)

redis.register_function('bench_error_below', function()
    local function fail(depth)
        if depth == 0 then error('x') end
        fail(depth - 1)
        return depth
    end
    for _ = 1, 100 do pcall(fail, 3) end
end)

redis.register_function('bench_error_vm', function()
    local function fail(t) return t.x.y end
    for _ = 1, 100 do pcall(fail, {}) end
end)

redis.register_function('bench_error_json', function()
    for _ = 1, 100 do pcall(cjson.decode, '{bad') end
end)

redis.register_function('bench_error_call', function(keys)
    for _ = 1, 100 do pcall(redis.call, 'INCR', keys[1]) end
end)

redis.register_function('bench_error_reply', function(keys)
    for _ = 1, 100 do redis.pcall('INCR', keys[1]) end
end)

redis.register_function('bench_error_argument', function()
    for _ = 1, 100 do pcall(string.rep) end
end)

redis.register_function('bench_no_error', function()
    for _ = 1, 100 do pcall(type, 'x') end
end)
