-- What RESP3 alone has: a map, a double, a boolean, a set, a big number. Writes nothing.
redis.setresp(3)
local score = redis.call('ZSCORE', KEYS[2], 'ten')
return {
    redis.call('HGETALL', KEYS[1]),
    score,
    { map = { one = 1 } },
    { set = { only = true } },
    { double = score.double / 4 },
    { big_number = '12345678901234567890' },
    { verbatim_string = { format = 'txt', string = 'as it is' } },
    true,
    false,
}
