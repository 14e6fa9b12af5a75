//! Hostile scripts that end by themselves.

use super::{assert_bystanders_answer, load_bystanders};
use crate::support::library::{callback, source};
use crate::support::scripts::digest;
use crate::support::{Client, Options, Server};

/// A hostile script and how it ends.
pub struct Refused {
    /// Its row in docs/security.md.
    pub id: &'static str,
    /// Bodies of the function `f`, or of a library: several ways to the same.
    pub bodies: &'static [&'static str],
    /// Part of each one's reply.
    pub reply: &'static str,
}

pub const fn refused(id: &'static str, bodies: &'static [&'static str], reply: &'static str) -> Refused {
    Refused { id, bodies, reply }
}

const READONLY: &str = "Attempt to modify a readonly table";
const MISSING: &str = "Script attempted to access nonexistent global variable";
const TOO_LARGE: &str = "resulting string too large";
const TOO_LONG: &str = "string and pattern are too long to be matched";

/// Bodies of a function.
pub const REFUSED: &[Refused] = &[
    refused("files", &["return io.open('/etc/passwd')", "dofile('/etc/passwd')", "loadfile('/etc/passwd')"], MISSING),
    refused("processes", &["local os = _G['os'] or nosuch return os.execute('id') or nosuch"], "ERR"),
    refused("modules", &["require('socket')", "package.loadlib('libc.so.6', '*')", "module('x')"], MISSING),
    refused("debug", &["debug.getregistry()", "debug.getupvalue(redis.call, 1)"], MISSING),
    refused("environments", &["getfenv(0)", "setfenv(1, {})", "return newproxy(true)"], MISSING),
    refused("output", &["print('x')"], MISSING),
    refused(
        "bytecode",
        &[
            "assert(loadstring(string.dump(function() end)))",
            "assert(loadstring('\\27Lua\\81\\0\\1\\4\\8\\4\\8\\0'))",
            "assert(loadstring('\\9\\3\\1\\1f\\0\\0\\0'))",
            "local once = true assert(load(function() if once then once = false return '\\6\\3\\1x' end end))",
        ],
        "user_function:2: ",
    ),
    refused("assign-global", &["x = 1", "_G.x = 1", "rawset(_G, 'x', 1)", "function redis() end"], READONLY),
    refused(
        "change-shared-table",
        &[
            "redis.call = nil",
            "string.format = nil",
            "table.insert(table, 1)",
            "rawset(cjson, 'encode', nil)",
            "table.sort(math, function() end)",
            "for k in pairs(bit) do bit[k] = nil end",
        ],
        READONLY,
    ),
    refused(
        "change-metatable",
        &[
            "getmetatable('').__index = {}",
            "getmetatable('').__add = function() end",
            "getmetatable(_G).__newindex = nil",
            "setmetatable(_G, {})",
            "setmetatable(string, {__index = redis})",
        ],
        READONLY,
    ),
    refused(
        "metatable-of-values",
        &["setmetatable(1, {})", "setmetatable(redis.call, {})", "setmetatable(cjson.null, {})"],
        "table expected",
    ),
    refused(
        "repeat-too-long",
        &["('x'):rep(2^29 + 1)", "('xy'):rep(2^31 - 1)", "('x'):rep(2^20):rep(2^20)"],
        TOO_LARGE,
    ),
    refused(
        "concat-too-long",
        &["local t, s = {}, ('x'):rep(2^20) for i = 1, 513 do t[i] = s end table.concat(t)"],
        TOO_LARGE,
    ),
    refused("string-too-long", &["local s = ('x'):rep(2^29) return #(s .. s .. s)"], "string length overflow"),
    refused(
        "format-too-long",
        &["local t, s = {}, ('x'):rep(2^20) for i = 1, 129 do t[i] = s end ('%s'):rep(129):format(unpack(t))"],
        TOO_LARGE,
    ),
    refused(
        "format-too-many",
        &["local t = {} for i = 1, 8000 do t[i] = i end ('%d'):rep(8000):format(unpack(t))"],
        "too many arguments to 'format'",
    ),
    refused(
        "match-too-long",
        &[
            "('a'):rep(2^16):match('[^' .. ('b'):rep(2^16) .. ']*')",
            "('a'):rep(2^16):gsub('[^' .. ('b'):rep(2^16) .. ']*', '')",
            "for _ in ('a'):rep(2^16):gmatch('[^' .. ('b'):rep(2^16) .. ']*') do end",
            "('a'):rep(2^26):find(('('):rep(31) .. '.*' .. (')'):rep(31))",
            "('a'):rep(2^27):find(('a'):rep(2^26 + 1), 1, true)",
        ],
        TOO_LONG,
    ),
    refused(
        "replacement-too-long",
        &["('x'):gsub('()x', ('%1'):rep(2^24 + 1))", "('x'):rep(2^20):gsub('.*', ('%0'):rep(2^10))"],
        "replacement string is too long",
    ),
    refused(
        "source-too-long",
        &["assert(loadstring((' '):rep(2^20 + 1)))", "assert(load(function() return (' '):rep(2^16) end))"],
        "the source is longer than 1048576 bytes",
    ),
    refused(
        "json-decode-too-long",
        &["local s = ('1'):rep(2^29) cjson.decode(s .. s:sub(-2^20))"],
        "JSON text is too long",
    ),
    refused(
        "msgpack-pack-too-long",
        &["local t, s = {}, ('x'):rep(2^20) for i = 1, 513 do t[i] = s end cmsgpack.pack(t)"],
        "MessagePack data is longer than a string can be.",
    ),
    refused(
        "struct-pack-too-long",
        &["local t, s = {}, ('x'):rep(2^20) for i = 1, 600 do t[i] = s end struct.pack(('s'):rep(600), unpack(t))"],
        TOO_LARGE,
    ),
    refused(
        "arguments-too-long",
        &["local t, s = {}, ('x'):rep(2^20) for i = 1, 514 do t[i] = s end redis.call('echo', unpack(t))"],
        "command arguments are too long",
    ),
    refused(
        "reply-too-large",
        &[
            "local t = {} t[1] = t t[2] = t return t",
            "local t = {1} for i = 1, 30 do t = {t, t} end return t",
            "local t, s = {}, ('x'):rep(2^20) for i = 1, 1025 do t[i] = s end return t",
        ],
        "the reply is too large",
    ),
    refused(
        "recursion",
        &[
            "local function f() return 1 + f() end return f()",
            "local function f(s) return (s:gsub('.', f)) end return f('x')",
            "local function f() return coroutine.wrap(f)() end return f()",
            "local t = {} t.__tostring = function(x) return tostring(x) end return tostring(setmetatable(t, t))",
        ],
        "stack overflow",
    ),
    refused(
        "patterns",
        &[
            "('x'):find(('('):rep(33))",
            "('x'):find('%')",
            "('x'):find('[')",
            "('x'):find('%1')",
            "('x'):find(('a?'):rep(300) .. '(')",
        ],
        "user_function:2: ",
    ),
    refused(
        "deep-json",
        &["cjson.decode(('['):rep(1e6))", "local t = {} for i = 1, 1e5 do t = {t} end cjson.encode(t)"],
        "nest",
    ),
    refused("deep-msgpack", &["cmsgpack.unpack(('\\145'):rep(1e6))"], "stack overflow"),
    refused("many-values", &["unpack({}, 1, 2^31 - 1)", "unpack({}, -2^31, 2^31 - 1)"], "too many results to unpack"),
    refused("yield-to-the-server", &["coroutine.yield()"], "attempt to yield"),
    refused(
        "blocking-command",
        &["redis.call('subscribe', 'x')", "redis.call('shadow.function', 'flush')"],
        " command is not allowed from script",
    ),
];

/// Bodies of a library.
pub const LIBRARIES: &[Refused] = &[
    refused(
        "load-without-a-limit",
        &["while true do end", "while true do pcall(function() while true do end end) end"],
        "nonexistent global variable 'pcall'|FUNCTION LOAD timeout",
    ),
    refused(
        "load-long-built-in",
        &["local s = ('a'):rep(2^20) while true do local x = s:find('.-.-.-b') end"],
        "FUNCTION LOAD timeout",
    ),
    refused("load-commands", &["redis.call('get', 'x')", "redis.pcall('get', 'x')", "redis.sha1hex('')"], MISSING),
    refused("load-globals", &["x = 1", "function f() end"], "Attempt to modify a readonly table"),
    refused("load-bytecode", &["\u{1b}Lua\u{51}", "\u{3}\u{1}\u{1}"], "Error compiling function"),
];

/// Whole scripts.
pub const SCRIPTS: &[Refused] = &[
    refused("script-bytecode", &["\u{1b}Lua\u{51}", "\u{3}\u{1}\u{1}"], "Error compiling script"),
    refused(
        // Its errors repeat words of the line.
        "script-first-line",
        &["#!lua \"a\\r\\n+unharmed\"\nreturn 1", "#!lua \"flags=a\\r\\n+unharmed\"\nreturn 1"],
        "a  +unharmed",
    ),
];

/// A library that is larger than the source of one may be; not in the tables for its size.
#[test]
fn a_library_that_is_too_long_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let code = source("mylib", &" ".repeat(1 << 20));
    let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &code]).text();
    assert_eq!(reply, "ERR Error compiling function: user_function:1: the source is longer than 1048576 bytes");
}

/// The reply to a call of `f` with this body.
pub fn call(client: &mut Client, body: &str) -> String {
    let loaded = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &callback(body)]);
    if loaded.is_error() { loaded.text() } else { client.run("SHADOW.FCALL f 0").text() }
}

pub fn load(client: &mut Client, body: &str) -> String {
    client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", body)]).text()
}

/// The reply to a script with this body on its second line, as if a function had answered.
pub fn evaluate(client: &mut Client, body: &str) -> String {
    let reply = client.call(&["EVAL", &format!("\n{body}"), "0"]);
    reply.text().replace("user_script", "user_function")
}

/// Runs all scripts, on a server that intercepts, and collects what they should not have done.
pub fn check(scripts: &[Refused], mut run: impl FnMut(&mut Client, &str) -> String) {
    let server = Options::new().module_arguments("intercept all").start();
    load_bystanders(&server);
    let mut client = server.client();
    let mut wrong = Vec::new();
    for script in scripts {
        for body in script.bodies {
            let reply = run(&mut client, body);
            if !script.reply.split('|').any(|part| reply.contains(part)) {
                wrong.push(format!("{}: {body:.120} answers {reply:.200}", script.id));
            }
            assert_bystanders_answer(&mut client, script.id);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_hostile_function_ends_with_an_error() {
    check(REFUSED, call);
}

#[test]
fn a_hostile_script_ends_with_an_error() {
    check(REFUSED, evaluate);
}

#[test]
fn a_hostile_script_is_not_cached() {
    check(SCRIPTS, |client, script| {
        let reply = client.call(&["EVAL", script, "0"]).text();
        assert_eq!(client.call(&["SCRIPT", "LOAD", script]).text(), reply);
        assert_eq!(client.run(&format!("SCRIPT EXISTS {}", digest(script))).items()[0].text(), "0");
        reply
    });
}

#[test]
fn a_hostile_library_is_not_loaded() {
    check(LIBRARIES, load);
}
