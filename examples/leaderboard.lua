#!lua name=leaderboard
--!strict

-- Leaderboards: a sorted set, the highest score first.
--
--   board_add     1 key member points      adds points (may be negative)
--   board_record  1 key member score       keeps the better of the old and the new score
--   board_top     1 key count              the first `count` entries; read-only
--   board_around  1 key member distance    an entry and its neighbours; read-only
--
-- board_add and board_record answer [score, rank]. The other two answer an
-- array of [rank, member, score]. Ranks begin at 1, scores are strings (as the
-- server's own replies have them in RESP2). Members with equal scores stand in
-- reverse alphabetical order, as ZREVRANGE has them. `count` and `distance` go
-- up to 1,000. A member that is not there has no neighbours: an empty array.
-- Wrong arguments are an error that begins with ERR; a key that holds no sorted
-- set is a WRONGTYPE error.
--
-- With N members, board_add and board_record are O(log N), the other two
-- O(log N + the number of entries).

local MAX_ENTRIES = 1000

-- A whole number from 1 (or `least`) to MAX_ENTRIES, or nil.
local function count_of(text: string, least: number): number?
    local n = tonumber(text)
    if n and n >= least and n <= MAX_ENTRIES and n == math.floor(n) then
        return n
    end
    return nil
end

local function number_error(name: string, least: number): RedisError
    return redis.error_reply(`ERR {name} must be a whole number from {least} to {MAX_ENTRIES}`)
end

-- The score and the rank of a member.
local function standing(key: string, member: string): { any }
    return { redis.call('ZSCORE', key, member), redis.call('ZREVRANK', key, member) + 1 }
end

-- The entries from the place `first` to the place `last`, which count from 0.
local function entries(key: string, first: number, last: number): { { any } }
    local flat: { string } = redis.call('ZREVRANGE', key, first, last, 'WITHSCORES')
    local result: { { any } } = {}
    for i = 1, #flat, 2 do
        table.insert(result, { first + #result + 1, flat[i], flat[i + 1] } :: { any })
    end
    return result
end

local function board_add(keys: { string }, args: { string }): RedisError | { any }
    if #keys ~= 1 or #args ~= 2 then
        return redis.error_reply('ERR expected 1 key, member, points')
    end
    -- The server checks the number and keeps its precision.
    redis.call('ZINCRBY', keys[1], args[2], args[1])
    return standing(keys[1], args[1])
end

local function board_record(keys: { string }, args: { string }): RedisError | { any }
    if #keys ~= 1 or #args ~= 2 then
        return redis.error_reply('ERR expected 1 key, member, score')
    end
    redis.call('ZADD', keys[1], 'GT', args[2], args[1])
    return standing(keys[1], args[1])
end

local function board_top(keys: { string }, args: { string }): RedisError | { any }
    if #keys ~= 1 or #args ~= 1 then
        return redis.error_reply('ERR expected 1 key, count')
    end
    local count = count_of(args[1], 1)
    if not count then
        return number_error('count', 1)
    end
    return entries(keys[1], 0, count - 1)
end

local function board_around(keys: { string }, args: { string }): RedisError | { any }
    if #keys ~= 1 or #args ~= 2 then
        return redis.error_reply('ERR expected 1 key, member, distance')
    end
    local distance = count_of(args[2], 0)
    if not distance then
        return number_error('distance', 0)
    end
    local rank = redis.call('ZREVRANK', keys[1], args[1])
    if not rank then
        return {}
    end
    return entries(keys[1], math.max(0, rank - distance), rank + distance)
end

redis.register_function{
    function_name = 'board_add',
    callback = board_add,
    description = 'Add points to a member: key, member, points',
}

redis.register_function{
    function_name = 'board_record',
    callback = board_record,
    description = 'Keep the better score of a member: key, member, score',
}

redis.register_function{
    function_name = 'board_top',
    callback = board_top,
    description = 'The first entries: key, count',
    flags = { 'no-writes' },
}

redis.register_function{
    function_name = 'board_around',
    callback = board_around,
    description = 'A member and its neighbours: key, member, distance',
    flags = { 'no-writes' },
}
