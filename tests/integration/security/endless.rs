//! Functions and scripts that would run for ever, or for very long, each with something else that takes time.

use std::time::Duration;

use super::{assert_bystanders_answer, impatient, load_bystanders};
use crate::support::library::{callback, load};
use crate::support::{Server, Words, wait_until};

/// How long after KILL was sent the caller has its reply. It is the time that the server's thread runs, so that a
/// machine that is busy with something else fails no test.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// How long after a reply to another client KILL is sent.
const ELSEWHEN: Duration = Duration::from_millis(30);

/// A hostile script.
pub struct Endless {
    /// Its row in docs/security.md.
    pub id: &'static str,
    /// What it prepares.
    setup: &'static str,
    /// What it does again and again under `pcall`.
    step: &'static str,
}

const fn endless(id: &'static str, setup: &'static str, step: &'static str) -> Endless {
    Endless { id, setup, step }
}

/// What the language itself offers.
pub const LANGUAGE: &[Endless] = &[
    endless("loop", "", "while true do end"),
    endless("loop-pcall", "", "while true do pcall(function() while true do end end) end"),
    endless("loop-xpcall", "local function f() while true do end end", "while true do xpcall(f, f) end"),
    endless(
        "loop-coroutine",
        "local c = coroutine.wrap(function() while true do end end)",
        "while true do pcall(c) end",
    ),
    endless("loop-iterator", "", "for _ in function() return 1 end do end"),
    endless("loop-native-iterator", "", "for _ in math.random do end"),
    endless("tail-calls", "local function f() return f end", "while f() do end"),
    endless("metamethods", "local t = setmetatable({}, {__index = function() while true do end end})", "local x = t.x"),
    endless("string-growth", "", "local s = '' while true do s = ('x'):rep(100) .. #s end"),
    endless("table-growth", "", "local t = {} while true do t[#t % 1000 + 1] = {} end"),
    endless("commands", "", "while true do redis.call('get', 'x') end"),
    endless("commands-that-fail", "", "while true do redis.pcall('nosuch') end"),
    endless("load-without-end", "", "load(math.random)"),
    endless(
        "collector",
        "local t = {} for i = 1, 1e6 do t[i] = {i} end",
        "collectgarbage() collectgarbage('step', 1e9)",
    ),
];

/// Functions that work on strings.
pub const STRINGS: &[Endless] = &[
    endless("find-plain", "local a = ('a'):rep(2^18) local n, h = a .. 'b', a .. a", "h:find(n, 1, true)"),
    endless("find-set", "local p, h = '[^' .. ('b'):rep(2^11) .. ']*x', ('a'):rep(2^16)", "h:match(p)"),
    endless("find-backtracking", "local s = ('a'):rep(2^20)", "s:match('.-.-.-.-b')"),
    endless("find-captures", "local s, p = ('a'):rep(2^22), ('('):rep(31) .. '.*' .. (')'):rep(31)", "s:find(p)"),
    endless("gsub-callback", "", "('x'):gsub('.', function() while true do end end)"),
    endless("gsub-table", "local s = ('x'):rep(2^24)", "s:gsub('.', {x = 'yy'})"),
    endless("gsub-replacement", "local r = ('%1'):rep(2^22)", "('x'):gsub('()x', r)"),
    endless("gsub-growth", "local s, r = ('x'):rep(2^14), ('y'):rep(2^14)", "s:gsub('.', r)"),
    endless("repeat", "", "('x'):rep(2^27)"),
    endless("upper", "local s = ('x'):rep(2^27)", "s:upper()"),
    endless("lower", "local s = ('X'):rep(2^27)", "s:lower()"),
    endless("reverse", "local s = ('x'):rep(2^27)", "s:reverse()"),
    endless(
        "format-wide",
        "local t = {} for i = 1, 7990 do t[i] = 1e308 end local f = ('%99.99f'):rep(7990)",
        "f:format(unpack(t))",
    ),
    endless(
        "format-long-numbers",
        "local t, s = {}, ('1'):rep(2^17) for i = 1, 7990 do t[i] = s end t[1] = 1 \
         local f = ('%d'):rep(900)",
        "f:format(unpack(t, 1, 900))",
    ),
    endless(
        "char-long-numbers",
        "local t, s = {}, ('0'):rep(1e6) .. '65' for i = 1, 1e5 do t[i] = s end",
        "string.char(unpack(t))",
    ),
    endless(
        "max-long-numbers",
        "local t, s = {}, ('1'):rep(1e6) for i = 1, 1e5 do t[i] = s end",
        "math.max(unpack(t))",
    ),
    endless("bit-long-numbers", "local t, s = {}, ('1'):rep(1e6) for i = 1, 1e5 do t[i] = s end", "bit.bor(unpack(t))"),
    endless("tonumber", "local s = ('1'):rep(2^26)", "tonumber(s)"),
    endless("sha1hex", "local s = ('x'):rep(2^28)", "redis.sha1hex(s)"),
    endless("compile", "local s = ('x=1 '):rep(2^18 - 1)", "loadstring(s)"),
    endless("byte-unpack", "local s = ('x'):rep(9e5)", "#{s:byte(1, -1)}"),
    endless("long-error", "local s = ('x'):rep(2^26)", "error(s)"),
];

/// Functions that go through tables.
pub const TABLES: &[Endless] = &[
    endless("concat-numbers", "local t = {} for i = 1, 2e6 do t[i] = i + 1 / 3 end", "table.concat(t)"),
    endless("concat-shared", "local t, s = {}, ('x'):rep(1000) for i = 1, 5e5 do t[i] = s end", "table.concat(t)"),
    endless("sort", "local t = {} for i = 1, 2e6 do t[i] = i * 7919 % 2000003 end", "table.sort(t)"),
    endless(
        "sort-bad-order",
        "local t = {} for i = 1, 1000 do t[i] = i end",
        "table.sort(t, function(a, b) return a > b end)",
    ),
    endless("sort-native-order", "local t = {} for i = 1, 1e6 do t[i] = i end", "table.sort(t, rawequal)"),
    endless("foreach-native", "local t = {} for i = 1, 4e6 do t[i] = i end", "table.foreachi(t, math.randomseed)"),
    endless("insert-front", "local t = {} for i = 1, 2^22 do t[i] = i end", "table.insert(t, 1, 0)"),
    endless("maxn", "local t = {} for i = 1, 2^24 do t[i] = i end", "table.maxn(t)"),
];

/// Functions that turn values into bytes and back, and commands.
pub const BYTES: &[Endless] = &[
    endless("json-encode-shared", SHARED, "cjson.encode(t)"),
    endless("json-encode-sparse", "cjson.encode_sparse_array(true, 0) local t = {} t[2^31 - 1] = 1", "cjson.encode(t)"),
    endless("json-encode-escapes", "local s = ('\\1'):rep(2^26)", "cjson.encode(s)"),
    endless("json-decode", "local s = '[' .. ('{},'):rep(2^22) .. '1]'", "cjson.decode(s)"),
    endless("json-decode-escapes", "local s = '\"' .. ('\\\\n'):rep(2^26) .. '\"'", "cjson.decode(s)"),
    endless("msgpack-pack-shared", SHARED, "cmsgpack.pack(t)"),
    endless("msgpack-unpack", "local s = '\\221\\0\\64\\0\\0' .. ('\\144'):rep(2^22)", "cmsgpack.unpack(s)"),
    endless("struct-pack", "local f = (' '):rep(2^27)", "struct.pack(f)"),
    endless("struct-unpack", "local f = ('x'):rep(2^27)", "struct.unpack(f, f)"),
    endless("struct-size", "local f = (' '):rep(2^27)", "struct.size(f)"),
    endless(
        "log-arguments",
        "local t, s = {}, ('x'):rep(1e6) for i = 1, 1e5 do t[i] = s end",
        "redis.log(redis.LOG_DEBUG, unpack(t))",
    ),
];

/// A table that holds itself, so to say, 8^9 times.
const SHARED: &str = "local t = {1, 2, 3, 4, 5, 6, 7, 8} for i = 1, 8 do t = {t, t, t, t, t, t, t, t} end";

fn body(script: &Endless) -> String {
    let Endless { id, setup, step } = script;
    // A step is an expression, or statements.
    let call = if step.contains(" do ") || step.contains(" = ") || step.starts_with("collectgarbage") {
        step.to_string()
    } else {
        format!("local result = {step}")
    };
    format!("{setup} redis.log(redis.LOG_WARNING, '{id} begins') while true do pcall(function() {call} end) end")
}

/// How long the server's main thread has been running.
fn processor_time(server: &Server) -> Duration {
    let path = format!("/proc/{}/schedstat", server.pid());
    let times = std::fs::read_to_string(path).expect("the server is running");
    let running = times.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(running.expect("a number of nanoseconds"))
}

/// Runs each as a function, and on another server as a script, and ends it.
fn end_each(scripts: &[Endless]) {
    for (kill, as_script) in [("SHADOW.FUNCTION KILL", false), ("SHADOW.SCRIPT KILL", true)] {
        let server = impatient();
        load_bystanders(&server);
        let (mut caller, mut other) = (server.client(), server.client());
        let busy = Words::of(&server).busy(kill);
        for script in scripts {
            let id = script.id;
            if as_script {
                caller.send(&["SHADOW.EVAL", &body(script), "0"]);
            } else {
                load(&mut caller, &callback(&body(script)));
                caller.send(&["SHADOW.FCALL", "f", "0"]);
            }
            server.wait_for_log(&format!("{id} begins"));
            wait_until(id, || other.run("GET x").text() == busy);
            // Right after a reply the server is still letting clients in; KILL comes at any other moment.
            std::thread::sleep(ELSEWHEN);
            let sent = processor_time(&server);
            assert_eq!(other.run(kill).text(), "OK", "{id}");
            let ended = caller.read();
            let taken = processor_time(&server) - sent;
            assert!(ended.text().contains("Script killed by user"), "{id}: {ended:?}");
            assert!(taken <= KILL_LIMIT, "{id} went on for {taken:?}");
            assert_bystanders_answer(&mut other, id);
        }
    }
}

#[test]
fn what_the_language_offers_is_ended() {
    end_each(LANGUAGE);
}

#[test]
fn a_function_of_strings_is_ended() {
    end_each(STRINGS);
}

#[test]
fn a_function_of_tables_is_ended() {
    end_each(TABLES);
}

#[test]
fn a_function_of_bytes_is_ended() {
    end_each(BYTES);
}
