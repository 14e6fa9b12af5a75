//! What functions and scripts can reach: the same fields with the same values on both sides.

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

/// What is reached on each side: the lines of the walk.
fn reached(pair: &mut Pair, commands: [&[&str]; 2]) -> [BTreeSet<String>; 2] {
    commands.map(|command| {
        let reply = pair.clients[0].call(command);
        assert!(!reply.is_error(), "{reply:?}");
        let lines = reply.items().into_iter().map(|line| line.text());
        lines.filter(|line| !line.starts_with(GUARD)).collect()
    })
}

fn assert_equal([stock, mut shadow]: [BTreeSet<String>; 2]) {
    assert!(shadow.remove(OWN));
    let lacking: Vec<_> = stock.difference(&shadow).collect();
    let added: Vec<_> = shadow.difference(&stock).collect();
    assert!(lacking.is_empty() && added.is_empty(), "lacking: {lacking:#?}, added: {added:#?}");
}

#[test]
fn functions_reach_the_same_names_and_values() {
    let mut pair = Pair::start();
    let body = walk("{'redis at load', at_load}", LINE);
    let function = format!("redis.register_function('walk', function(KEYS, ARGV) {body} return lines end)");
    pair.load(&source("mylib", &format!("local at_load = redis\n{function}")));
    let commands = ["FCALL", "SHADOW.FCALL"].map(|command| [command, "walk", "1", "key", "argument"]);
    assert_equal(reached(&mut pair, [&commands[0], &commands[1]]));
}

#[test]
fn scripts_reach_the_same_names_and_values() {
    let mut pair = Pair::start();
    let script = format!("{} return lines", walk("", LINE));
    let commands = ["EVAL", "SHADOW.EVAL"].map(|command| [command, &script, "1", "key", "argument"]);
    assert_equal(reached(&mut pair, [&commands[0], &commands[1]]));
}
