//! A walk through everything that a function can reach.

/// Statements of Lua that go through all that can be reached, by key and by metatable, from the globals, the parameters
/// KEYS and ARGV, the metatables of simple values, and `roots`: more elements `{name, value}` of a table constructor.
///
/// `line` is a function in Lua. It gets the path of a thing, the thing, and for one that was met before its first path;
/// it returns a line about it. A key that is not a string is named by its type.
///
/// The statements leave the locals `lines`, in the order of the walk, and `seen`, the first path of each table,
/// function, thread and userdata.
pub fn walk(roots: &str, line: &str) -> String {
    format!(
        "local line, seen, lines, queue = {line}, {{}}, {{}}, {{}}
    local function visit(path, value)
        local kind = type(value)
        local compound = kind == 'table' or kind == 'function' or kind == 'thread' or kind == 'userdata'
        local earlier = compound and seen[value]
        lines[#lines + 1] = line(path, value, earlier)
        if compound and not earlier then
            seen[value] = path
            queue[#queue + 1] = {{path, value}}
        end
    end
    for _, root in ipairs({{
        {{'_G', _G}}, {{'metatable(string)', getmetatable('')}}, {{'metatable(nil)', getmetatable(nil)}},
        {{'metatable(number)', getmetatable(1)}}, {{'metatable(boolean)', getmetatable(true)}},
        {{'metatable(function)', getmetatable(function() end)}},
        {{'metatable(thread)', getmetatable(coroutine.create(function() end))}},
        {{'metatable(null)', getmetatable(cjson.null)}}, {{'metatable(table)', getmetatable({{}})}},
        {{'KEYS', KEYS}}, {{'ARGV', ARGV}}, {{'coroutine.running()', coroutine.running()}},
        {{'cjson.new()', cjson.new()}}, {roots}
    }}) do visit(root[1], root[2]) end
    while #queue > 0 do
        local path, value = unpack(table.remove(queue, 1))
        local meta = getmetatable(value)
        if meta ~= nil then visit('metatable(' .. path .. ')', meta) end
        if type(value) == 'table' then
            local keys = {{}}
            for key in next, value do keys[#keys + 1] = key end
            table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
            for _, key in ipairs(keys) do
                local name = type(key) == 'string' and '.' .. key or '[' .. type(key) .. ']'
                visit(path .. name, rawget(value, key))
                if type(key) ~= 'string' then visit(path .. name .. ' as a key', key) end
            end
        end
    end
"
    )
}
