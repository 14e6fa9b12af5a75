#!lua name=oracle
-- What was decoded is encoded and decoded again, and must be the same.

local function same(a, b, precision)
    if type(a) ~= type(b) then return false end
    if type(a) == 'number' then
        local digits = '%.' .. precision .. 'g'
        return (a ~= a and b ~= b) or digits:format(a) == digits:format(b)
    end
    if type(a) ~= 'table' then return a == b end
    for key, value in pairs(a) do
        if not same(value, b[key], precision) then return false end
    end
    for key in pairs(b) do
        if a[key] == nil then return false end
    end
    return true
end

local function configure(json, options)
    local precision = 14
    if bit.band(options, 1) ~= 0 then json.decode_invalid_numbers(false) end
    if bit.band(options, 2) ~= 0 then json.encode_invalid_numbers(true) end
    if bit.band(options, 4) ~= 0 then json.encode_invalid_numbers('null') end
    if bit.band(options, 8) ~= 0 then json.decode_max_depth(3) end
    if bit.band(options, 16) ~= 0 then json.encode_max_depth(3) end
    if bit.band(options, 32) ~= 0 then json.encode_sparse_array(true, 1, 1) end
    if bit.band(options, 64) ~= 0 then json.encode_keep_buffer(false) end
    if bit.band(options, 128) ~= 0 then
        precision = 3
        json.encode_number_precision(precision)
    end
    return precision
end

redis.register_function('check', function(_, ARGV)
    local json = cjson.new()
    local options = ARGV[1]:byte()
    local precision = configure(json, options)
    local decoded, first = pcall(json.decode, ARGV[2])
    if not decoded then return 'refused' end
    -- What is out of range is infinite, also where the word for it is refused.
    json.decode_invalid_numbers(true)
    local encoded, text = pcall(json.encode, first)
    if not encoded then return 'not encoded' end
    local second = json.decode(text)
    -- With null for what is no number, such a number does not come back.
    if bit.band(options, 4) == 0 and not same(first, second, precision) then return 'differs: ' .. text end
    local again = json.encode(second)
    if not same(second, json.decode(again), 17) then return 'differs in the end: ' .. text .. ' and ' .. again end
    return 'ok'
end)
