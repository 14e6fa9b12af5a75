-- Fails in the way that ARGV[1] names.
if ARGV[1] == 'reply' then
    return redis.error_reply('STOCK ' .. ARGV[2])
elseif ARGV[1] == 'call' then
    return redis.call('INCR', KEYS[1])
elseif ARGV[1] == 'pcall' then
    return redis.pcall('INCR', KEYS[1])
elseif ARGV[1] == 'raise' then
    error({ err = 'STOCK ' .. ARGV[2] })
end
error('STOCK ' .. ARGV[2])
