//! Errors that end a script: what they say, and where they say it was.

use super::{Pair, compare_script, compare_scripts};
use crate::support::scripts::digest;
use crate::support::{Server, Value, Words};

const RAISED: &[&str] = &[
    "error('x')",
    "error('x', 0)",
    "error('x', 1)",
    "error('x', 2)",
    "error('x', 3)",
    "error()",
    "error(nil)",
    "error(true)",
    "error(5)",
    "error('')",
    "error('a\\0b')",
    "error('a\\0b', 0)",
    "error({err='CODE m'})",
    "error({err='one'})",
    "error({err=''})",
    "error({err=5})",
    "error({err='-X y'})",
    "error({err='a\\0b c'})",
    "error({err='E x', source='@mine', line=9})",
    "error(redis.error_reply('CODE m'))",
    "error(redis.pcall('nosuch'))",
    "assert(false, 'm')",
    "assert(nil)",
    "assert(false, {err='E x'})",
    "redis.call('nosuch')",
    "redis.call('get')",
    "redis.call()",
    "redis.call('set', KEYS[1], 'v') redis.call('lpush', KEYS[1], 'x')",
    "redis.call('set', KEYS[1], 'v') return redis.pcall('lpush', KEYS[1], 'x')",
    "local ok, e = pcall(redis.call, 'nosuch') error(e)",
    "local ok, e = pcall(error, {err='E x'}) error(e)",
    "coroutine.wrap(function() redis.call('nosuch') end)()",
    "coroutine.wrap(function() error('co') end)()",
    "coroutine.wrap(function() error({err='E x'}) end)()",
    "loadstring('error(\"x\")')()",
    "loadstring('\\n\\nredis.call(\"nosuch\")', '@chunk')()",
    "loadstring('error(\"x\")', '@chunk')()",
    "loadstring('error(\"x\")', '=chunk')()",
    "local function f() error('x', 2) end f()",
    "local function f() error('x', 2) end\n\nf()",
    "local function f()\n  redis.call('nosuch')\nend\n\n\nf()",
    "table.sort({3, 2, 1}, function() error('x') end)",
    "return nosuch",
    "nosuch = 1",
    "redis.x = 1",
    "return _G[{}]",
    "return _G[true]",
];

const RETURNED: &[&str] = &[
    "return {err='x'}",
    "return {err='E x'}",
    "return {err='-E x'}",
    "return {err=''}",
    "return {err='E x', source='@mine', line=9}",
    "return {err='a\\r\\nb'}",
    "return {ok='a\\r\\nb'}",
    "return redis.error_reply('E x')",
    "return redis.error_reply('a\\r\\nb c')",
    "return redis.status_reply('a\\r\\nb')",
    "return redis.pcall('nosuch')",
    "return redis.pcall('get')",
    "return {1, redis.pcall('nosuch')}",
    "local r = redis.pcall('nosuch') return {r.err, tostring(r.source), tostring(r.line)}",
    "\n\nlocal r = redis.pcall('nosuch') return {r.err, tostring(r.source), tostring(r.line)}",
    "return select(2, pcall(error, 'x'))",
    "return select(2, pcall(function() error('x') end))",
];

#[test]
fn errors_that_end_a_script_are_replied_alike() {
    compare_scripts(RAISED);
}

#[test]
fn errors_that_a_script_returns_are_replied_alike() {
    compare_scripts(RETURNED);
}

#[test]
fn errors_below_a_first_line_are_a_line_further_down() {
    let mut pair = Pair::start();
    for script in RAISED {
        pair.flush_scripts();
        for line in ["#!lua", "#!lua flags=no-writes"] {
            compare_script(&mut pair, format!("{line}\n{script}").as_bytes());
        }
    }
    pair.finish();
}

#[test]
fn errors_below_an_empty_line_are_a_line_further_down() {
    let mut pair = Pair::start();
    for script in RAISED {
        pair.flush_scripts();
        compare_script(&mut pair, format!("\n{script}").as_bytes());
    }
    pair.finish();
}

/// The row `error-table-without-err` of docs/compatibility.md.
#[test]
fn an_error_table_without_a_text_is_an_unknown_error() {
    let server = Server::start();
    let mut client = server.client();
    for script in ["error({})", "error({ok='x'})", "error({err={}})", "error({err=true})"] {
        let place = Words::of(&server).place_in_script(script, 1);
        let expected = Value::Error(format!("ERR unknown error{place}"));
        assert_eq!(client.call(&["SHADOW.EVAL", script, "0"]), expected, "{script}");
        assert_eq!(client.run(&format!("SHADOW.EVALSHA {} 0", digest(script))), expected, "{script}");
    }
}

/// The row `crlf-in-errors` of docs/compatibility.md.
#[test]
fn line_ends_never_reach_the_wire() {
    let server = Server::start();
    let mut client = server.client();
    let words = Words::of(&server);
    for (script, text) in [
        ("error('a\\r\\nb')", "ERR user_script:1: a  b"),
        ("error('a\\nb', 0)", "ERR a b"),
        ("error({err='A b\\r\\nc'})", "A b  c"),
    ] {
        let expected = format!("{text}{}", words.place_in_script(script, 1));
        assert_eq!(client.call(&["SHADOW.EVAL", script, "0"]), Value::Error(expected), "{script}");
    }
    for (line, text) in [
        ("#!lua \"x\\r\\ny\"", "ERR Unknown lua shebang option: x  y"),
        ("#!lua \"flags=x\\ny\"", "ERR Unexpected flag in script shebang: x y"),
    ] {
        for words in [vec!["SHADOW.EVAL", "script", "0"], vec!["SHADOW.SCRIPT", "LOAD", "script"]] {
            let script = format!("{line}\nreturn 1");
            let command: Vec<&str> =
                words.iter().map(|word| if *word == "script" { &*script } else { *word }).collect();
            assert_eq!(client.call(&command), Value::Error(text.to_owned()), "{command:?}");
        }
    }
    let reply = client.call(&["SHADOW.EVAL", "#!\"a\\r\\nb\"\nreturn 1", "0"]).text();
    assert!(reply.contains("a  b"), "{reply}");
    assert_eq!(client.run("PING").text(), "PONG", "the stream is in order");
}
