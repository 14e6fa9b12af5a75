#!lua name=oracle
-- What was unpacked is packed and unpacked again, and must be the same.

-- Beyond it a number does not tell all whole numbers apart.
local EXACT = 2 ^ 53

local function exact(values, count)
    for position = 1, count do
        local value = values[position]
        if type(value) == 'number' and value == math.floor(value) and math.abs(value) >= EXACT then return false end
    end
    return true
end

local function check(format, data, unpacked, ...)
    pcall(struct.pack, format, 1, -1, 'text', 2.5, data)
    if not unpacked then return 'refused' end
    local values, count = {...}, select('#', ...) - 1
    local position = values[count + 1]
    if position < 1 or position > #data + 1 then return 'ends at ' .. position end
    local sized, size = pcall(struct.size, format)
    if sized and size ~= position - 1 then return 'has size ' .. size .. ', ends at ' .. position end
    local packed, text = pcall(struct.pack, format, unpack(values, 1, count))
    if not packed then return 'not packed' end
    if sized and #text ~= size then return 'has size ' .. size .. ', length ' .. #text end
    if not exact(values, count) or format:find('c0', 1, true) then return 'ok' end
    local again = {struct.unpack(format, text)}
    for i = 1, count do
        local a, b = values[i], again[i]
        if a ~= b and (a == a or b == b) then return 'differs at value ' .. i end
    end
    return 'ok'
end

redis.register_function('check', function(_, ARGV)
    return check(ARGV[1], ARGV[2], pcall(struct.unpack, ARGV[1], ARGV[2]))
end)
