#!lua name=rate_limiter
--!strict

-- Token buckets.
--
-- A bucket holds up to `capacity` tokens and gains `rate` tokens a second.
-- Each request takes `cost` tokens; when there are too few, it is refused and
-- takes none. The clock is the server's, so clients need no synchronised time.
-- A key holds one bucket: a hash with the fields `tokens` and `at` (the time,
-- in milliseconds, for which `tokens` is right). It expires when the bucket is
-- full again, so idle buckets cost nothing.
--
--   rate_take  1 key capacity rate [cost]   write
--   rate_peek  1 key capacity rate [cost]   read-only, takes nothing
--
-- Both answer an array of three integers:
--   1. 1 if the request is allowed, else 0
--   2. whole tokens left in the bucket
--   3. milliseconds until the same request would be allowed, 0 if it is now
--
-- capacity: 1 to 1e9. rate: 1e-6 to 1e9. cost: above 0, at most the capacity,
-- 1 if it is left out. Fractions are allowed. Anything else is an error that
-- begins with ERR; a key that holds no hash is a WRONGTYPE error. Both functions
-- are O(1) and reach their one key only.

type Settings = { capacity: number, rate: number, cost: number }

-- The server's clock, in milliseconds.
local function now_ms(): number
    local time: { string } = redis.call('TIME')
    local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
    assert(seconds and microseconds, 'TIME answers two numbers')
    return seconds * 1000 + microseconds // 1000
end

-- Checks the arguments. Returns the settings, or nil and an error reply.
local function settings(keys: { string }, args: { string }): (Settings?, RedisError?)
    if #keys ~= 1 or #args < 2 or #args > 3 then
        return nil, redis.error_reply('ERR expected 1 key, capacity, rate [cost]')
    end
    local capacity, rate = tonumber(args[1]), tonumber(args[2])
    local cost = tonumber(args[3] or '1')
    -- "not (a >= b)" instead of "a < b": it refuses NaN as well.
    if not capacity or not (capacity >= 1 and capacity <= 1e9) then
        return nil, redis.error_reply('ERR capacity must be a number from 1 to 1e9')
    end
    if not rate or not (rate >= 1e-6 and rate <= 1e9) then
        return nil, redis.error_reply('ERR rate must be a number from 1e-6 to 1e9')
    end
    if not cost or not (cost > 0 and cost <= capacity) then
        return nil, redis.error_reply('ERR cost must be above 0 and at most the capacity')
    end
    return { capacity = capacity, rate = rate, cost = cost }, nil
end

-- Tokens in the bucket at the time `now`.
local function tokens_at(key: string, now: number, set: Settings): number
    local bucket: { any } = redis.call('HMGET', key, 'tokens', 'at')
    local tokens, at = tonumber(bucket[1] or ''), tonumber(bucket[2] or '')
    if not tokens or not at then
        return set.capacity
    end
    -- A clock that went backwards adds nothing.
    local elapsed = math.max(0, now - at)
    return math.min(set.capacity, tokens + elapsed * set.rate / 1000)
end

local function answer(allowed: boolean, tokens: number, set: Settings): { number }
    local wait = 0
    if not allowed then
        wait = math.ceil((set.cost - tokens) * 1000 / set.rate)
    end
    return { allowed and 1 or 0, math.floor(tokens), wait }
end

local function rate_take(keys: { string }, args: { string }): RedisError? | { number }
    local set, err = settings(keys, args)
    if not set then
        return err
    end
    local key, now = keys[1], now_ms()
    local tokens = tokens_at(key, now, set)
    local allowed = tokens >= set.cost
    if allowed then
        tokens -= set.cost
        local full_in = math.ceil((set.capacity - tokens) * 1000 / set.rate)
        -- Formatted here, so that no digit depends on how numbers become strings.
        redis.call('HSET', key, 'tokens', string.format('%.17g', tokens), 'at', string.format('%.0f', now))
        redis.call('PEXPIRE', key, string.format('%.0f', full_in))
    end
    return answer(allowed, tokens, set)
end

local function rate_peek(keys: { string }, args: { string }): RedisError? | { number }
    local set, err = settings(keys, args)
    if not set then
        return err
    end
    local tokens = tokens_at(keys[1], now_ms(), set)
    return answer(tokens >= set.cost, tokens, set)
end

redis.register_function{
    function_name = 'rate_take',
    callback = rate_take,
    description = 'Take tokens from a bucket: key, capacity, rate [cost]',
}

redis.register_function{
    function_name = 'rate_peek',
    callback = rate_peek,
    description = 'See whether a bucket would allow a request: key, capacity, rate [cost]',
    flags = { 'no-writes' },
}
