#!lua name=oracle
-- What was unpacked is packed and unpacked again, and must be the same; one by one, too.

-- Tables that are nested deeper are packed as nil.
local DEEPEST = 15

local function depth(value)
    if type(value) ~= 'table' then return 0 end
    local deepest = 0
    for key, inside in pairs(value) do
        deepest = math.max(deepest, depth(key), depth(inside))
    end
    return deepest + 1
end

local function same(a, b)
    if type(a) ~= type(b) then return false end
    if type(a) ~= 'table' then return a == b or (a ~= a and b ~= b) end
    for key, value in pairs(a) do
        -- A table that is a key is another one each time.
        if type(key) ~= 'table' and not same(value, b[key]) then return false end
    end
    for key in pairs(b) do
        if type(key) ~= 'table' and a[key] == nil then return false end
    end
    return true
end

local function check(message, unpacked, ...)
    if not unpacked then return 'refused' end
    local values = {...}
    local offset = 0
    for position = 1, select('#', ...) do
        local value = values[position]
        local next, one = cmsgpack.unpack_one(message, offset)
        if not same(one, value) then return 'differs one by one, at ' .. offset end
        offset = next
        if depth(value) <= DEEPEST then
            local packed = cmsgpack.pack(value)
            if not same(value, (cmsgpack.unpack(packed))) then return 'differs: ' .. packed end
        end
    end
    if #message > 0 and offset ~= -1 then return 'is not read to its end' end
    return 'ok'
end

redis.register_function('check', function(_, ARGV)
    local message = ARGV[2]
    pcall(cmsgpack.unpack_limit, message, ARGV[1]:byte() % 4, ARGV[1]:byte())
    return check(message, pcall(cmsgpack.unpack, message))
end)
