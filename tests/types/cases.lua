#!lua name=cases
--!strict

-- What the types let through, and what they do not: `make types` fails when a line below that ends with `wrong` is not
-- complained about, and when another one is.

local calls: number = 0

redis.register_function("short", function(keys, args)
    calls += 1
    return redis.call("SET", keys[1], args[1], "PX", 100)
end)

redis.register_function({
    function_name = "long",
    callback = function(keys: { string }, args: { string }): any
        return redis.call("GET", keys[1]) or redis.status_reply(args[1])
    end,
    description = "All that can be said of a function",
    flags = { "no-writes", "allow-stale" },
})

redis.register_function("ill", redis.sha1hex) -- wrong
redis.register_function({ function_name = "ill" }) -- wrong
redis.register_function(function() end) -- wrong

local function commands(keys: { string }, args: { string })
    local length: number = redis.call("STRLEN", keys[1])
    redis.call("SET", keys[1], true) -- wrong
    redis.call("SET", keys[1], { 1 }) -- wrong
    redis.cal("GET", keys[1]) -- wrong
    redis.setresp("three") -- wrong
    redis.log(redis.LOG_WARN, "text") -- wrong
    redis.log(redis.LOG_WARNING, "length", length, nil)
    redis.set_repl(redis.REPL_ALL)
    server.call("SET", keys[1], redis.SERVER_NAME or "redis")
    server.call("SET", keys[1], true) -- wrong
    local version: number = server.VALKEY_VERSION_NUM -- wrong
    local reply: any = redis.pcall("GET", keys[1])
    local problem: string? = type(reply) == "table" and reply.err or nil
    if problem then
        return redis.error_reply(problem)
    end
    return redis.error_reply() -- wrong
end

local function values(_keys: { string }, args: { string }): RedisError | string
    local first = tonumber(args[1])
    if not first then
        return redis.error_reply("ERR no number")
    end
    local product: number = first * 2
    local text: string = first -- wrong
    local decoded = cjson.decode(args[2])
    if decoded.name == cjson.null then
        decoded.name = "none"
    end
    local own: Cjson = cjson.new()
    own.encode_number_precision(10)
    return own.encode({ name = decoded.name, product = product, text = text })
end

local function libraries(_keys: { string }, args: { string })
    local bits: number = bit.band(tonumber(args[1]) or 0, 255)
    local packed: string = struct.pack(">I4", bits)
    local offset, value = cmsgpack.unpack_one(cmsgpack.pack(packed, bits))
    local list: { string } = {}
    for word in string.gmatch(args[1], "%a+") do
        table.insert(list, word)
    end
    table.sort(list, function(a: string, b: string)
        return a > b
    end)
    local first = string.match(args[1], "^(%d+)")
    if first then
        return `{table.concat(list, ",")} {first:upper()} {offset} {value}`
    end
    return tostring(math.max(1, math.floor(2.5), #list))
end

local function absent(_keys: { string }, args: { string })
    print(args[1]) -- wrong
    bit32.band(1, 2) -- wrong
    require("other") -- wrong
    math.clamp(1, 2, 3) -- wrong
    table.find(args, "x") -- wrong
    table.freeze({ 1 }) -- wrong
    string.split(args[1], ",") -- wrong
    os.time() -- wrong
    coroutine.close(coroutine.create(function() end)) -- wrong
    nothing = 1 -- wrong
end

local function standard(_keys: { string }, args: { string }): any
    assert(type(args) == "table", "a table")
    local ok, problem = pcall(function(): string
        error("problem")
    end)
    local copy: { string } = {}
    rawset(copy, 1, rawget(copy, 2) or "")
    for index, word in ipairs(args) do
        copy[index] = word
    end
    for key, word in pairs(args) do
        copy[key] = word
    end
    local compiled = loadstring("return 1")
    local finished = xpcall(function() end, function() end)
    local memory = gcinfo()
    collectgarbage("count")
    local object: any = setmetatable({}, { __index = copy })
    local meta: any = getmetatable(object)
    local results: { any } = { select("#", unpack(args)), ok, problem, rawequal(copy, args), next(args), memory }
    return { results, { compiled, finished, meta, tostring(object), _VERSION, _G } :: { any } }
end

redis.register_function("commands", commands)
redis.register_function("values", values)
redis.register_function("libraries", libraries)
redis.register_function("absent", absent)
redis.register_function("standard", standard)
