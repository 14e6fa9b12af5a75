#!lua name=lock
--!strict

-- Locks with an owner and a time limit.
--
-- A key is a lock. Its value is the owner's token: a string that the owner
-- made up and nobody else knows, such as a random id. Only the holder of the
-- token can extend or release the lock, so a client whose lock has expired
-- cannot release the lock of the next owner. One server decides: this is not
-- a lock across independent servers.
--
--   lock_acquire  1 key token milliseconds   1 if the caller now holds the lock, else 0
--   lock_extend   1 key token milliseconds   1 if the caller still held it, else 0
--   lock_release  1 key token                1 if the caller still held it, else 0
--   lock_info     1 key                      token and milliseconds left, or nil; read-only
--
-- Acquiring a lock that one already holds succeeds and sets its time anew, so
-- a client that lost the reply can simply ask again. Wrong arguments are an
-- error that begins with ERR; a key that holds no string is a WRONGTYPE error.
-- Each function is O(1) and reaches its one key only.

-- Checks the arguments. Returns an error reply, or nil if all is well.
local function check(keys: { string }, args: { string }, with_time: boolean): RedisError?
    local wanted = with_time and 2 or 1
    if #keys ~= 1 or #args ~= wanted then
        return redis.error_reply(with_time and 'ERR expected 1 key, token, milliseconds'
            or 'ERR expected 1 key, token')
    end
    if args[1] == '' then
        return redis.error_reply('ERR the token must not be empty')
    end
    -- Up to 15 digits, the first not a zero.
    if with_time and (not string.find(args[2], '^[1-9]%d*$') or #args[2] > 15) then
        return redis.error_reply('ERR milliseconds must be a whole number above 0')
    end
    return nil
end

local function held_by(key: string, token: string): boolean
    return redis.call('GET', key) == token
end

local function lock_acquire(keys: { string }, args: { string }): RedisError | number
    local err = check(keys, args, true)
    if err then
        return err
    end
    local key, token, time = keys[1], args[1], args[2]
    if redis.call('SET', key, token, 'NX', 'PX', time) then
        return 1
    end
    if held_by(key, token) then
        redis.call('PEXPIRE', key, time)
        return 1
    end
    return 0
end

local function lock_extend(keys: { string }, args: { string }): RedisError | number
    local err = check(keys, args, true)
    if err then
        return err
    end
    if not held_by(keys[1], args[1]) then
        return 0
    end
    return redis.call('PEXPIRE', keys[1], args[2])
end

local function lock_release(keys: { string }, args: { string }): RedisError | number
    local err = check(keys, args, false)
    if err then
        return err
    end
    if not held_by(keys[1], args[1]) then
        return 0
    end
    return redis.call('DEL', keys[1])
end

local function lock_info(keys: { string }, args: { string }): any
    if #keys ~= 1 or #args ~= 0 then
        return redis.error_reply('ERR expected 1 key')
    end
    local token = redis.call('GET', keys[1])
    if not token then
        return nil
    end
    return { token, redis.call('PTTL', keys[1]) }
end

redis.register_function{
    function_name = 'lock_acquire',
    callback = lock_acquire,
    description = 'Take a lock: key, token, milliseconds',
}

redis.register_function{
    function_name = 'lock_extend',
    callback = lock_extend,
    description = 'Set the time of a lock that one holds anew: key, token, milliseconds',
}

redis.register_function{
    function_name = 'lock_release',
    callback = lock_release,
    description = 'Give up a lock that one holds: key, token',
    -- It frees memory, so a full server lets it run.
    flags = { 'allow-oom' },
}

redis.register_function{
    function_name = 'lock_info',
    callback = lock_info,
    description = 'Owner and time left of a lock: key',
    flags = { 'no-writes' },
}
