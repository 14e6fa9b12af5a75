//! What functions can reach: the same fields with the same values in both registries.

use std::collections::BTreeSet;

use super::Pair;
use crate::library::source;

/// Goes through all that can be reached from what the globals, the parameters and the metatables of simple values are,
/// and from what `redis` is while a library loads. Gives a line for each: the way to it, its type, and its value if it
/// is a simple one.
const WALK: &str = "
    local at_load = redis
    redis.register_function('walk', function(KEYS, ARGV)
        local lines, seen, queue = {}, {}, {}
        local function visit(path, value)
            local kind = type(value)
            local line = path .. ' ' .. kind
            if kind == 'number' then
                line = line .. ' ' .. string.format('%.17g', value)
            elseif kind == 'string' or kind == 'boolean' then
                line = line .. ' ' .. tostring(value)
            elseif kind ~= 'function' and kind ~= 'nil' then
                if seen[value] then line = path .. ' is ' .. seen[value] else queue[#queue + 1] = {path, value} end
                seen[value] = seen[value] or path
            end
            lines[#lines + 1] = line
        end
        for _, root in ipairs({
            {'_G', _G}, {'redis at load', at_load}, {'KEYS', KEYS}, {'ARGV', ARGV}, {'cjson.new()', cjson.new()},
            {'metatable(string)', getmetatable('')}, {'metatable(number)', getmetatable(1)},
            {'metatable(boolean)', getmetatable(true)}, {'metatable(nil)', getmetatable(nil)},
            {'metatable(function)', getmetatable(next)}, {'metatable(null)', getmetatable(cjson.null)},
        }) do visit(root[1], root[2]) end
        while #queue > 0 do
            local path, value = unpack(table.remove(queue, 1))
            local meta = getmetatable(value)
            if meta ~= nil then visit('metatable(' .. path .. ')', meta) end
            if type(value) == 'table' then
                local keys = {}
                for key in next, value do keys[#keys + 1] = key end
                table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
                for _, key in ipairs(keys) do visit(path .. '.' .. tostring(key), rawget(value, key)) end
            end
        end
        return lines
    end)";

/// What only the shadow has: how the VM refuses an assignment to a global.
const OWN: &str = "metatable(_G).__newindex function";
/// What guards `redis` while a library loads. In the shadow the same table guards the globals of functions.
const GUARD: &str = "metatable(redis at load)";

#[test]
fn functions_reach_the_same_names_and_values() {
    let mut pair = Pair::start();
    pair.load(&source("mylib", WALK));
    let [stock, mut shadow] = ["FCALL", "SHADOW.FCALL"].map(|command| {
        let reply = pair.clients[0].call(&[command, "walk", "1", "key", "argument"]);
        assert!(!reply.is_error(), "{reply:?}");
        let lines = reply.items().into_iter().map(|line| line.text());
        lines.filter(|line| !line.starts_with(GUARD)).collect::<BTreeSet<_>>()
    });
    assert!(shadow.remove(OWN));
    let lacking: Vec<_> = stock.difference(&shadow).collect();
    let added: Vec<_> = shadow.difference(&stock).collect();
    assert!(lacking.is_empty() && added.is_empty(), "lacking: {lacking:#?}, added: {added:#?}");
}
