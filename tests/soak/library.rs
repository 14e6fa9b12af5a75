//! The libraries and scripts that take part.

/// How many there are. Few, so that they meet each other.
pub const COUNT: u32 = 20;

/// The words of the function `fail`.
pub const FAILURE: &str = "FAILED as it should";

/// How many scripts there are.
pub const SCRIPTS: u32 = 60;

/// A script: one that reads, one that writes, or one that fails.
pub fn script(number: u32) -> String {
    match number % 3 {
        0 => format!("#!lua flags=no-writes\nreturn {{redis.call('GET', KEYS[1]), {number}, #ARGV}}"),
        1 => format!(
            "redis.call('SET', KEYS[1], ARGV[1] .. cjson.encode({{{number}}})) return redis.status_reply('WRITTEN')"
        ),
        _ => format!("local kept = {{{number}}} redis.call('SET', KEYS[1], ARGV[1]) error({{err = '{FAILURE}'}})"),
    }
}

/// A library in one of its editions. Of several sizes, so that it is written in one piece and in several, compressed
/// and not; and with something in its VM.
pub fn source(number: u32, edition: u32) -> String {
    let comment = "-- what it is about\n".repeat((edition % 5 * 40) as usize);
    format!(
        "#!lua name=lib{number}
{comment}local kept = {{}}
for i = 1, {size} do kept[i] = {{i, tostring = 'entry ' .. i}} end
redis.register_function{{function_name = 'read{number}', flags = {{'no-writes'}}, callback = function(KEYS)
    local value = redis.call('GET', KEYS[1])
    return cjson.encode({{value, #kept, cmsgpack.unpack(cmsgpack.pack(kept[1]))}})
end}}
redis.register_function('write{number}', function(KEYS, ARGV)
    redis.call('SET', KEYS[1], ARGV[1])
    redis.call('RPUSH', KEYS[1] .. ':list', ARGV[1], #kept, {edition})
    redis.call('LTRIM', KEYS[1] .. ':list', -20, -1)
    return redis.status_reply('WRITTEN')
end)
redis.register_function('fail{number}', function(KEYS, ARGV)
    redis.call('SET', KEYS[1], ARGV[1])
    error({{err = '{FAILURE}'}})
end)
redis.register_function{{function_name = 'slow{number}', flags = {{'no-writes'}}, callback = function()
    local sum = 0
    for i = 1, 400000 do sum = sum + #kept % i end
    return sum
end}}
redis.register_function{{function_name = 'spin{number}', flags = {{'no-writes'}}, callback = function()
    while true do pcall(function() while true do redis.pcall('GET', 'x') end end) end
end}}
",
        size = edition % 50
    )
}

/// Two libraries that say their version.
pub fn pair(version: u32) -> [String; 2] {
    ["one", "two"].map(|name| {
        format!(
            "#!lua name=lib{name}
redis.register_function{{function_name = 'version_{name}', flags = {{'no-writes'}}, callback = function()
    return '{version}'
end}}"
        )
    })
}
