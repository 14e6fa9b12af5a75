#!lua name=inventory
--!strict

-- An inventory: how many there are of each item, never fewer than none, with a
-- log of the changes and undo.
--
-- A change adds to some items and takes from others, all of it or nothing: sell
-- two apples, or swap an apple for a pear. Undo takes the last change back.
--
-- An inventory is two keys: a hash of the counts by item (an item without a
-- field has none left) and a list of the changes, the newest first, each packed
-- by cmsgpack. Both are arguments, so that it works in a cluster: give them the
-- same hash tag, such as {shop}:items and {shop}:log. The log keeps the last 100
-- changes.
--
--   inv_change  2 items log item amount [item amount ...]
--       Adds each amount, which may be negative, to its item: the new counts, in
--       the order of the arguments. The error LACKING, and nothing is changed, if
--       an item would have fewer than none.
--   inv_undo    2 items log
--       Takes the last change back: an array of [item, new count] in the order of
--       that change; nil if the log is empty. The error LACKING if what the change
--       has brought is no longer there, because the counts were written otherwise.
--   inv_count   1 items item [item ...]
--       The counts of the items; read-only
--   inv_log     1 log count
--       The last changes, the newest first, each an array of [item, amount];
--       read-only
--
-- Amounts are whole numbers other than 0 up to 1e15, counts go up to 2^53 - 1; `count`
-- is from 1 to 100. An item may be named once in a change. Wrong arguments are an
-- error that begins with ERR. With N items in the change, inv_change, inv_undo and
-- inv_count are O(N).

local LOG_LENGTH = 100
local MAX_AMOUNT = 1e15
local MAX_COUNT = 2 ^ 53 - 1
local MAX_ITEMS = 1000

type Step = { item: string, amount: number }

-- A whole number between the limits, or nil.
local function whole(text: string, least: number, most: number): number?
    local number = if string.find(text, '^%-?%d+$') then tonumber(text) else nil
    if number and number >= least and number <= most then
        return number
    end
    return nil
end

local function digits(number: number): string
    return string.format('%.0f', number)
end

-- The counts of the items.
local function counts_of(key: string, items: { string }): { number }
    local counts: { number } = {}
    for _, text in redis.call('HMGET', key, unpack(items)) :: { any } do
        table.insert(counts, tonumber(text or '0') or 0)
    end
    return counts
end

-- Takes all steps or none: the new counts, or nil and an error reply.
local function apply(key: string, steps: { Step }): ({ number }?, RedisError?)
    local items: { string } = {}
    for _, step in steps do
        table.insert(items, step.item)
    end
    local counts = counts_of(key, items)
    for index, step in steps do
        local count = counts[index]
        if count + step.amount < 0 then
            return nil, redis.error_reply(`LACKING {digits(count)} of {step.item} are there`)
        elseif count + step.amount > MAX_COUNT then
            return nil, redis.error_reply(`ERR {step.item} would be more than 2^53 - 1`)
        end
        counts[index] = count + step.amount
    end
    for index, item in items do
        if counts[index] == 0 then
            redis.call('HDEL', key, item)
        else
            redis.call('HSET', key, item, digits(counts[index]))
        end
    end
    return counts, nil
end

-- The steps that the arguments name, or nil and an error reply.
local function steps_of(args: { string }): ({ Step }?, RedisError?)
    local steps: { Step } = {}
    local seen: { [string]: boolean } = {}
    for index = 1, #args, 2 do
        local item, amount = args[index], whole(args[index + 1], -MAX_AMOUNT, MAX_AMOUNT)
        if not amount or amount == 0 then
            return nil, redis.error_reply('ERR an amount must be a whole number other than 0, up to 1e15')
        elseif seen[item] then
            return nil, redis.error_reply(`ERR {item} is named twice`)
        end
        seen[item] = true
        table.insert(steps, { item = item, amount = amount })
    end
    return steps, nil
end

-- A change in the log is a sequence of items and amounts.
local function pack_steps(steps: { Step }): string
    local flat: { any } = {}
    for _, step in steps do
        table.insert(flat, step.item)
        table.insert(flat, step.amount)
    end
    return cmsgpack.pack(flat)
end

local function unpack_steps(bytes: string): { Step }
    local flat: { any } = cmsgpack.unpack(bytes)
    local steps: { Step } = {}
    for index = 1, #flat, 2 do
        table.insert(steps, { item = flat[index], amount = flat[index + 1] })
    end
    return steps
end

local function inv_change(keys: { string }, args: { string }): RedisError? | { number }
    if #keys ~= 2 or keys[1] == keys[2] or #args == 0 or #args % 2 ~= 0 then
        return redis.error_reply('ERR expected 2 keys that differ, item, amount [item, amount ...]')
    end
    if #args > 2 * MAX_ITEMS then
        return redis.error_reply(`ERR a change has at most {MAX_ITEMS} items`)
    end
    local steps, wrong = steps_of(args)
    if not steps then
        return wrong
    end
    -- A key of the wrong kind is an error before anything is written.
    redis.call('LLEN', keys[2])
    local counts, err = apply(keys[1], steps)
    if not counts then
        return err
    end
    redis.call('LPUSH', keys[2], pack_steps(steps))
    redis.call('LTRIM', keys[2], 0, LOG_LENGTH - 1)
    return counts
end

local function inv_undo(keys: { string }, args: { string }): RedisError? | { { any } }
    if #keys ~= 2 or keys[1] == keys[2] or #args ~= 0 then
        return redis.error_reply('ERR expected 2 keys that differ')
    end
    local last = redis.call('LINDEX', keys[2], 0)
    if not last then
        return nil
    end
    local steps = unpack_steps(last)
    for _, step in steps do
        step.amount = -step.amount
    end
    local counts, err = apply(keys[1], steps)
    if not counts then
        return err
    end
    redis.call('LPOP', keys[2])
    local result: { { any } } = {}
    for index, step in steps do
        table.insert(result, { step.item, counts[index] } :: { any })
    end
    return result
end

local function inv_count(keys: { string }, args: { string }): RedisError | { number }
    if #keys ~= 1 or #args == 0 or #args > MAX_ITEMS then
        return redis.error_reply(`ERR expected 1 key, 1 to {MAX_ITEMS} items`)
    end
    return counts_of(keys[1], args)
end

local function inv_log(keys: { string }, args: { string }): RedisError | { { { any } } }
    local count = if #keys == 1 and #args == 1 then whole(args[1], 1, LOG_LENGTH) else nil
    if not count then
        return redis.error_reply(`ERR expected 1 key, a count from 1 to {LOG_LENGTH}`)
    end
    local changes: { { { any } } } = {}
    for _, bytes in redis.call('LRANGE', keys[1], 0, count - 1) :: { string } do
        local change: { { any } } = {}
        for _, step in unpack_steps(bytes) do
            table.insert(change, { step.item, step.amount } :: { any })
        end
        table.insert(changes, change)
    end
    return changes
end

redis.register_function({
    function_name = 'inv_change',
    callback = inv_change,
    description = 'Add to items and take from items: items, log, item, amount [item, amount ...]',
})

redis.register_function({
    function_name = 'inv_undo',
    callback = inv_undo,
    description = 'Take the last change back: items, log',
})

redis.register_function({
    function_name = 'inv_count',
    callback = inv_count,
    description = 'How many there are: items, item [item ...]',
    flags = { 'no-writes' },
})

redis.register_function({
    function_name = 'inv_log',
    callback = inv_log,
    description = 'The last changes: log, count',
    flags = { 'no-writes' },
})
