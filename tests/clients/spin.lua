#!lua name=spin
-- What the client tests kill, and what they call afterwards.

local function spin()
    while true do
    end
end

local function rest()
    return 'still here'
end

redis.register_function { function_name = 'spin', callback = spin, flags = { 'no-writes' } }
redis.register_function { function_name = 'rest', callback = rest, flags = { 'no-writes' } }
