//! That types/redis.d.luau declares what a function can reach, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::library::{evaluate, load, source};
use crate::support::{Flavour, Server, Value};

const DECLARATIONS: &str = include_str!("../../types/redis.d.luau");

/// What the file says.
struct Declared {
    /// Names with their Lua types: `cjson.encode` is a `function`. Empty where the file does not say which.
    names: BTreeMap<String, &'static str>,
    /// Names that Luau's own definitions have and a function does not.
    absent: Vec<String>,
    /// Globals that are as Luau's own definitions have them.
    left_to_luau: BTreeSet<String>,
}

/// The Lua type of what is declared as `declaration`.
fn kind(declaration: &str) -> &'static str {
    match declaration.trim_end_matches([',', '?']) {
        "number" => "number",
        "string" => "string",
        "any" => "",
        _ => "function",
    }
}

/// Reads the file. It is written so that this is easy: a member of a table has a line that is indented by four blanks.
fn declared() -> Declared {
    let mut declared = Declared { names: BTreeMap::new(), absent: Vec::new(), left_to_luau: BTreeSet::new() };
    let mut table: Option<String> = None;
    let mut luau = false;
    for line in DECLARATIONS.lines() {
        if let Some(words) = line.strip_prefix("--   ").filter(|_| luau) {
            declared.left_to_luau.extend(words.split_whitespace().map(str::to_owned));
        }
        luau = line.starts_with("-- As Luau's own definitions") || (luau && line.starts_with("--   "));
        if let Some(name) = line.strip_prefix("declare function ") {
            let name = name.split('(').next().expect("a name");
            declared.names.insert(name.to_owned(), "function");
        } else if let Some(rest) = line.strip_prefix("declare ") {
            let (name, what) = rest.split_once(": ").expect("a name and its type");
            match what {
                "nil" => declared.absent.push(name.to_owned()),
                "{" => table = Some(name.to_owned()),
                "Cjson" | "RedisApi" => {}
                _ => panic!("{line}"),
            }
            if what != "nil" {
                declared.names.insert(name.to_owned(), "table");
            }
        } else if line == "export type Cjson = {" {
            table = Some("cjson".to_owned());
        } else if line == "export type RedisApi = {" {
            table = Some("redis".to_owned());
        } else if line == "}" {
            table = None;
        } else if let (Some(table), Some(member)) = (&table, line.strip_prefix("    "))
            && !member.starts_with([' ', '-', ')'])
        {
            let (name, what) = member.split_once(": ").expect("a name and its type");
            declared.names.insert(format!("{table}.{name}"), kind(what));
        }
    }
    declared
}

/// The globals of a function with their types, and the members of those that are tables and have no other name.
const WALK: &str = "
    local lines = {}
    for name, value in pairs(_G) do
        lines[#lines + 1] = name .. ' ' .. type(value)
        if type(value) == 'table' and value ~= _G and name ~= 'server' then
            for member, inner in pairs(value) do lines[#lines + 1] = name .. '.' .. member .. ' ' .. type(inner) end
        end
    end
    return lines";

#[test]
fn the_types_name_what_a_function_can_reach_and_nothing_else() {
    let server = Server::start();
    let mut client = server.client();
    let walked = evaluate(&mut client, WALK).items();
    let mut reached: BTreeMap<String, String> = walked
        .iter()
        .map(|line| {
            line.text().split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned())).expect("two words")
        })
        .collect();
    // Only a library that is loading has it.
    reached.insert("redis.register_function".to_owned(), "function".to_owned());
    let declared = declared();
    // Not every server has them.
    let (clock, marks) = (server.has_os_clock(), server.marks_json_arrays());
    let valkey = server.flavour() == Flavour::Valkey;
    let is_of_valkey =
        |name: &str| ["server", "redis.SERVER_", "redis.VALKEY_"].iter().any(|part| name.starts_with(part));
    let expected: BTreeSet<&str> = declared
        .names
        .keys()
        .chain(&declared.left_to_luau)
        .map(String::as_str)
        .filter(|name| clock || !name.starts_with("os"))
        .filter(|name| marks || *name != "cjson.decode_array_with_array_mt")
        .filter(|name| valkey || !is_of_valkey(name))
        .collect();
    assert_eq!(reached.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for (name, kind) in declared.names.iter().filter(|(name, kind)| reached.contains_key(*name) && !kind.is_empty()) {
        assert_eq!(reached[name], *kind, "{name}");
    }
    assert!(declared.names.keys().all(|name| !declared.left_to_luau.contains(name)), "a name is in both places");
}

#[test]
fn what_the_types_declare_away_is_not_there() {
    let server = Server::start();
    let mut client = server.client();
    let absent = declared().absent;
    assert!(!absent.is_empty());
    for name in absent {
        let reply = evaluate(&mut client, &format!("return {name}"));
        let text = format!("Script attempted to access nonexistent global variable '{name}'");
        assert!(reply.text().contains(&text), "{name}: {reply:?}");
    }
}

#[test]
fn a_library_that_loads_has_register_function() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local there = redis.register_function ~= nil redis.register_function('f', function() return there end)";
    load(&mut client, &source("mylib", body));
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1));
}
