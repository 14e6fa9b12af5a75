#!lua name=delayed_queue
--!strict

-- Queues of jobs that become due later, for any number of workers.
--
-- A worker takes a job for a time, its lease, and reports that the job is done.
-- If it does not, because it crashed for example, the job becomes due again when
-- the lease ends, and the next worker gets it. So every job runs at least once,
-- and a job should be such that running it twice does no harm. The clock is the
-- server's.
--
-- A queue is two keys: a sorted set of the jobs' names by the time, in
-- milliseconds, at which they are due next, and a hash with the fields
-- `payload:<job>` and `attempt:<job>`. Both are arguments of each function, so
-- that it works in a cluster: give them the same hash tag, such as {mail}:due
-- and {mail}:jobs.
--
--   queue_put       2 due jobs job milliseconds payload
--       Adds a job that is due in so many milliseconds. 1; 0 if there is a job of
--       that name, which stays as it is, so a client may simply ask again.
--   queue_take      2 due jobs count lease
--       Takes up to `count` jobs that are due, the one that waits longest first,
--       for `lease` milliseconds: an array of [job, payload, attempt]. The attempt
--       is 1 for the first time that a job is taken.
--   queue_postpone  2 due jobs job attempt milliseconds
--       The job is due in so many milliseconds from now: to try it again later, or
--       to keep it for longer. 1; 0 if it was taken again or is gone.
--   queue_done      2 due jobs job attempt
--       Removes a job. 1; 0 if it was taken again or is gone.
--   queue_cancel    2 due jobs job
--       Removes a job whoever has it. 1; 0 if it is not there.
--   queue_length    2 due jobs
--       [jobs that are due, all jobs, milliseconds until the next one is due (nil
--       if there is none)]; read-only
--
-- Times are whole numbers of milliseconds from 0 (a lease: from 1) to 1e12,
-- `count` is from 1 to 1,000. Wrong arguments are an error that begins with ERR.
-- With N jobs each function is O(log N), queue_take O(count * log N).

local MAX_TIME = 1e12
local MAX_COUNT = 1000

-- A whole number from `least` to `most`, or nil.
local function whole(text: string, least: number, most: number): number?
    local number = if string.find(text, '^%-?%d+$') then tonumber(text) else nil
    if number and number >= least and number <= most then
        return number
    end
    return nil
end

-- Why the call is wrong, or nil. `names` are those of the arguments.
local function problem(keys: { string }, args: { string }, names: { string }): RedisError?
    if #keys ~= 2 or #args ~= #names then
        return redis.error_reply(`ERR expected 2 keys, {table.concat(names, ', ')}`)
    end
    if keys[1] == keys[2] then
        return redis.error_reply('ERR the two keys must differ')
    end
    for index, name in names do
        local text = args[index]
        if name == 'job' and text == '' then
            return redis.error_reply('ERR the name of a job must not be empty')
        elseif name == 'milliseconds' and not whole(text, 0, MAX_TIME) then
            return redis.error_reply('ERR milliseconds must be a whole number from 0 to 1e12')
        elseif name == 'lease' and not whole(text, 1, MAX_TIME) then
            return redis.error_reply('ERR lease must be a whole number from 1 to 1e12')
        elseif name == 'count' and not whole(text, 1, MAX_COUNT) then
            return redis.error_reply('ERR count must be a whole number from 1 to 1000')
        elseif name == 'attempt' and not whole(text, 1, 2 ^ 53) then
            return redis.error_reply('ERR attempt must be a whole number above 0')
        end
    end
    return nil
end

-- The server's clock, in milliseconds.
local function now_ms(): number
    local time: { string } = redis.call('TIME')
    local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
    assert(seconds and microseconds, 'TIME answers two numbers')
    return seconds * 1000 + microseconds // 1000
end

-- Such a time as a command takes it, in digits.
local function digits(time: number): string
    return string.format('%.0f', time)
end

-- The time that is as many milliseconds from now as the text says.
local function time_in(text: string): string
    return digits(now_ms() + (tonumber(text) or 0))
end

local function remove(keys: { string }, job: string)
    redis.call('ZREM', keys[1], job)
    redis.call('HDEL', keys[2], 'payload:' .. job, 'attempt:' .. job)
end

-- Whether the job was taken as this attempt, and not again since.
local function held(keys: { string }, job: string, attempt: string): boolean
    local last = redis.call('HGET', keys[2], 'attempt:' .. job)
    return last and tonumber(last) == tonumber(attempt) or false
end

local function queue_put(keys: { string }, args: { string }): RedisError | number
    local err = problem(keys, args, { 'job', 'milliseconds', 'payload' })
    if err then
        return err
    end
    local job, payload = args[1], args[3]
    -- A key of the wrong kind is an error before anything is written.
    redis.call('HLEN', keys[2])
    local added: number = redis.call('ZADD', keys[1], 'NX', time_in(args[2]), job)
    if added == 1 then
        redis.call('HSET', keys[2], 'payload:' .. job, payload)
    end
    return added
end

local function queue_take(keys: { string }, args: { string }): RedisError | { { any } }
    local err = problem(keys, args, { 'count', 'lease' })
    if err then
        return err
    end
    local count, now = digits(tonumber(args[1]) or 0), digits(now_ms())
    local due: { string } = redis.call('ZRANGEBYSCORE', keys[1], '-inf', now, 'LIMIT', 0, count)
    local lease_end = time_in(args[2])
    local taken: { { any } } = {}
    for _, job in due do
        local payload = redis.call('HGET', keys[2], 'payload:' .. job)
        if payload then
            redis.call('ZADD', keys[1], 'XX', lease_end, job)
            local attempt: number = redis.call('HINCRBY', keys[2], 'attempt:' .. job, 1)
            table.insert(taken, { job, payload, attempt } :: { any })
        else
            -- Somebody has deleted the hash: there is nothing to work on.
            remove(keys, job)
        end
    end
    return taken
end

local function queue_postpone(keys: { string }, args: { string }): RedisError | number
    local err = problem(keys, args, { 'job', 'attempt', 'milliseconds' })
    if err then
        return err
    end
    if not held(keys, args[1], args[2]) then
        return 0
    end
    redis.call('ZADD', keys[1], 'XX', time_in(args[3]), args[1])
    return 1
end

local function queue_done(keys: { string }, args: { string }): RedisError | number
    local err = problem(keys, args, { 'job', 'attempt' })
    if err then
        return err
    end
    if not held(keys, args[1], args[2]) then
        return 0
    end
    remove(keys, args[1])
    return 1
end

local function queue_cancel(keys: { string }, args: { string }): RedisError | number
    local err = problem(keys, args, { 'job' })
    if err then
        return err
    end
    if not redis.call('ZSCORE', keys[1], args[1]) then
        return 0
    end
    remove(keys, args[1])
    return 1
end

local function queue_length(keys: { string }, args: { string }): RedisError | { any }
    local err = problem(keys, args, {})
    if err then
        return err
    end
    local now = now_ms()
    local first: { string } = redis.call('ZRANGE', keys[1], 0, 0, 'WITHSCORES')
    -- An array ends at its first nil; false is a null in it.
    local wait: number | boolean = false
    if first[2] then
        wait = math.max(0, (tonumber(first[2]) or 0) - now)
    end
    return { redis.call('ZCOUNT', keys[1], '-inf', digits(now)), redis.call('ZCARD', keys[1]), wait }
end

redis.register_function({
    function_name = 'queue_put',
    callback = queue_put,
    description = 'Add a job that is due later: due, jobs, job, milliseconds, payload',
})

redis.register_function({
    function_name = 'queue_take',
    callback = queue_take,
    description = 'Take jobs that are due: due, jobs, count, lease',
})

redis.register_function({
    function_name = 'queue_postpone',
    callback = queue_postpone,
    description = 'Make a taken job due later: due, jobs, job, attempt, milliseconds',
})

redis.register_function({
    function_name = 'queue_done',
    callback = queue_done,
    description = 'Remove a taken job: due, jobs, job, attempt',
    -- It frees memory, so a full server lets it run.
    flags = { 'allow-oom' },
})

redis.register_function({
    function_name = 'queue_cancel',
    callback = queue_cancel,
    description = 'Remove a job: due, jobs, job',
    flags = { 'allow-oom' },
})

redis.register_function({
    function_name = 'queue_length',
    callback = queue_length,
    description = 'How many jobs there are: due, jobs',
    flags = { 'no-writes' },
})
