//! What functions can reach: the same fields with the same values in both registries.

use std::collections::BTreeSet;

use super::Pair;
use crate::support::library::source;
use crate::support::walk::walk;

/// The path of a thing and its type, and the value of a simple one.
const LINE: &str = "function(path, value, earlier)
        local kind = type(value)
        if kind == 'number' then return path .. ' number ' .. string.format('%.17g', value) end
        if kind == 'string' or kind == 'boolean' then return path .. ' ' .. kind .. ' ' .. tostring(value) end
        if earlier and kind ~= 'function' then return path .. ' is ' .. earlier end
        return path .. ' ' .. kind
    end";

/// What only the shadow has: how the VM refuses an assignment to a global.
const OWN: &str = "metatable(_G).__newindex function";
/// What guards `redis` while a library loads. In the shadow the same table guards the globals of functions.
const GUARD: &str = "metatable(redis at load)";

#[test]
fn functions_reach_the_same_names_and_values() {
    let mut pair = Pair::start();
    let body = walk("{'redis at load', at_load}", LINE);
    let function = format!("redis.register_function('walk', function(KEYS, ARGV) {body} return lines end)");
    pair.load(&source("mylib", &format!("local at_load = redis\n{function}")));
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
