//! The known differences of the language, each pinned to what both sides answer and to its row in
//! docs/compatibility.md.

use std::collections::BTreeSet;

use crate::support::library::{callback, source};
use crate::support::{Client, Flavour, Server};

/// What a case is.
enum Source {
    /// The body of the function `f`, which is called, and of a script.
    Body(&'static str),
    /// The body of a library, which is loaded, and of a script: it has nothing to do with what only one of them can do.
    Text(&'static str),
    /// The body of a library, which is loaded.
    Chunk(&'static str),
}

use Source::{Body, Chunk, Text};

/// How a reply is recognised, line ends put as spaces.
#[derive(Clone, Copy)]
enum Reply {
    /// By all of it.
    Is(&'static str),
    /// By its beginning.
    Begins(&'static str),
    /// By all of it, which Valkey has another one for.
    By { redis: &'static str, valkey: &'static str },
    /// Not asked for: there are servers that do not survive it.
    Fatal,
}

use Reply::{Begins, By, Fatal, Is};

struct Difference {
    row: &'static str,
    source: Source,
    server: Reply,
    shadow: Reply,
}

const fn difference(row: &'static str, source: Source, server: Reply, shadow: Reply) -> Difference {
    Difference { row, source, server, shadow }
}

const LOADED: Reply = Is("$5 mylib ");
const EMPTY: Reply = Is("-ERR No functions registered ");
const RUNTIME: &str = "-ERR user_function:2: ";
const COMPILE: &str = "-ERR Error compiling function: user_function:2: ";
const REGISTER: &str = "-ERR Error registering functions: ERR user_function:2: ";

const KNOWN_DIFFERENCES: &[Difference] = &[
    difference(
        "recursion-limits",
        Body("local function r(n) if n == 0 then return 0 end return r(n - 1) end return r(100000)"),
        Is(":0 "),
        Begins("-ERR user_function:2: stack overflow"),
    ),
    difference(
        "vararg-table",
        Body("local function f(...) return arg.n end return f(1, 2, 3)"),
        Is(":3 "),
        Begins("-ERR user_function:2: Script attempted to access nonexistent global variable 'arg'"),
    ),
    difference(
        "table-metamethods",
        Body("return #setmetatable({}, {__len = function() return 42 end})"),
        Is(":0 "),
        Is(":42 "),
    ),
    difference(
        "table-metamethods",
        Body("local n = 0 for k in {1, 2} do n = n + 1 end return n"),
        Begins("-ERR user_function:2: attempt to call a table value"),
        Is(":2 "),
    ),
    difference(
        "table-order",
        Body("local r={} for k in pairs({[10]=1,[20]=2,[30]=3,[40]=4}) do r[#r+1]=k end return table.concat(r,' ')"),
        Is("$11 30 10 20 40 "),
        Is("$11 10 20 30 40 "),
    ),
    difference("border", Body("local t={1,2,3,4} t[2]=nil t[4]=nil return #t"), Is(":1 "), Is(":3 ")),
    difference(
        "readonly-sort",
        Body("table.sort(_G)"),
        Is("$-1 "),
        Begins("-ERR Attempt to modify a readonly table script: "),
    ),
    difference("assignment-order", Body("local t = {} t.x, t.x = 1, 2 return t.x"), Is(":1 "), Is(":2 ")),
    difference("assignment-order", Body("local a a, a = 1, 2 return a"), Is(":1 "), Is(":2 ")),
    difference("negative-zero", Body("local a, b = 0, -0 return tostring(1 / b)"), Is("$3 inf "), Is("$4 -inf ")),
    difference(
        "loop-steps",
        Body("for i = 2^53, 0, -1 do return string.format('%d', i) end"),
        Is("$16 9007199254740991 "),
        Is("$16 9007199254740992 "),
    ),
    difference("loop-steps", Body("for i = 2, 2, -0.3 do return 'a round' end"), Is("$-1 "), Is("$7 a round ")),
    difference("loop-steps", Body("for i = 0, 3, 1/0 do return 'a round' end"), Is("$-1 "), Is("$7 a round ")),
    difference("loop-steps", Body("for i = 3, 0, 0/0 do return 'a round' end"), Is("$-1 "), Is("$7 a round ")),
    difference(
        "equal-to-itself",
        Body("local t = setmetatable({}, {__eq = function() return false end}) return tostring(t == t)"),
        Is("$4 true "),
        Is("$5 false "),
    ),
    difference("powers", Body("return tostring((-math.huge) ^ 0.5 == math.huge)"), Is("$4 true "), Is("$5 false ")),
    difference("powers", Body("local x = -tonumber('0') return tostring(1 / x ^ 0.5)"), Is("$3 inf "), Is("$4 -inf ")),
    difference(
        "powers",
        Body("local x = tonumber('0.3') return string.format('%.17g', x ^ 3)"),
        Is("$20 0.026999999999999996 "),
        Is("$5 0.027 "),
    ),
    difference(
        "vm-error-text",
        Body("local x=nil; x.y=1"),
        Begins("-ERR user_function:2: attempt to index local 'x' (a nil value)"),
        Begins("-ERR user_function:2: attempt to index nil with 'y'"),
    ),
    difference(
        "vm-error-text",
        Body("local x = 1 + {}"),
        Begins("-ERR user_function:2: attempt to perform arithmetic on a table value"),
        Begins("-ERR user_function:2: attempt to perform arithmetic (add) on number and table"),
    ),
    difference(
        "vm-error-text",
        Body("return ('x') .. {}"),
        Begins("-ERR user_function:2: attempt to concatenate a table value"),
        Begins("-ERR user_function:2: attempt to concatenate string with table"),
    ),
    difference(
        "vm-error-text",
        Body("redis.nofunc()"),
        Begins("-ERR user_function:2: attempt to call field 'nofunc' (a nil value)"),
        Begins("-ERR user_function:2: attempt to call a nil value"),
    ),
    difference(
        "vm-error-text",
        Body("('x'):nofunc()"),
        Begins("-ERR user_function:2: attempt to call method 'nofunc' (a nil value)"),
        Begins(RUNTIME),
    ),
    difference(
        "vm-error-text",
        Body("return #5"),
        Begins("-ERR user_function:2: attempt to get length of a number value"),
        Begins("-ERR user_function:2: attempt to get length of a number value"),
    ),
    difference(
        "vm-error-text",
        Body("return -{}"),
        Begins("-ERR user_function:2: attempt to perform arithmetic on a table value"),
        Begins("-ERR user_function:2: attempt to perform arithmetic (unm) on table"),
    ),
    difference(
        "vm-error-text",
        Body("local a = {} < {}"),
        Begins("-ERR user_function:2: attempt to compare two table values"),
        Begins("-ERR user_function:2: attempt to compare"),
    ),
    difference(
        "vm-error-text",
        Body("for i=1,'x' do end"),
        Begins("-ERR user_function:2: 'for' limit must be a number"),
        Begins("-ERR user_function:2: invalid 'for' limit (number expected, got string)"),
    ),
    difference(
        "vm-error-text",
        Body("string.rep()"),
        Begins("-ERR user_function:2: bad argument #1 to 'rep' (string expected, got no value)"),
        Begins("-ERR user_function:2: missing argument #1 to 'rep' (string expected)"),
    ),
    difference(
        "vm-error-text",
        Body("string.format('%y',1)"),
        Begins("-ERR user_function:2: invalid option '%y' to 'format'"),
        Begins("-ERR user_function:2: invalid option '%y' to 'format'"),
    ),
    difference(
        "vm-error-text",
        Body("string.find('a','(')"),
        Begins("-ERR user_function:2: unfinished capture"),
        Begins("-ERR user_function:2: unfinished capture"),
    ),
    difference(
        "vm-error-text",
        Chunk("local x = ('x'):foo()"),
        Is("-ERR Error registering functions: ERR user_function:2: attempt to call method 'foo' (a nil value) "),
        Begins(REGISTER),
    ),
    difference(
        "compile-error-text",
        Text("x = "),
        Is("-ERR Error compiling function: user_function:2: unexpected symbol near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("#"),
        Is("-ERR Error compiling function: user_function:2: unexpected symbol near '#' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("local s = 'abc"),
        Is("-ERR Error compiling function: user_function:2: unfinished string near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("--[[ foo"),
        Is("-ERR Error compiling function: user_function:2: unfinished long comment near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("if true then"),
        Is("-ERR Error compiling function: user_function:2: 'end' expected near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("end"),
        Is("-ERR Error compiling function: user_function:2: '<eof>' expected near 'end' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("local 1 = 2"),
        Is("-ERR Error compiling function: user_function:2: '<name>' expected near '1' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("f("),
        Is("-ERR Error compiling function: user_function:2: unexpected symbol near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("a.b"),
        Is("-ERR Error compiling function: user_function:2: '=' expected near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("goto x"),
        Is("-ERR Error compiling function: user_function:2: '=' expected near 'x' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("break"),
        Is("-ERR Error compiling function: user_function:2: no loop to break near '<eof>' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("local a = 3..2"),
        Is("-ERR Error compiling function: user_function:2: malformed number near '3..2' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("return return"),
        Is("-ERR Error compiling function: user_function:2: unexpected symbol near 'return' "),
        Begins(COMPILE),
    ),
    difference(
        "compile-error-text",
        Text("\x1bLua"),
        Is("-ERR Error compiling function: user_function:2: unexpected symbol near 'char(27)' "),
        Begins(COMPILE),
    ),
    difference("extra-syntax", Text("local x = 1 x += 1"), Begins(COMPILE), EMPTY),
    difference("extra-syntax", Text("local x = 7 // 2"), Begins(COMPILE), EMPTY),
    difference("extra-syntax", Text("for i = 1, 2 do continue end"), Begins(COMPILE), EMPTY),
    difference("extra-syntax", Text("local x: number = 1"), Begins(COMPILE), EMPTY),
    difference("extra-syntax", Chunk("redis.register_function(`f{1}`, function() end)"), Begins(COMPILE), LOADED),
    difference("extra-syntax", Body("return if true then 1 else 2"), Begins(COMPILE), Is(":1 ")),
    difference("extra-syntax", Body("return ('%*'):format(1.5)"), Begins(RUNTIME), Is("$3 1.5 ")),
    difference("extra-syntax", Body("return 1_000 + 0b11"), Begins(COMPILE), Is(":1003 ")),
    difference(
        "handler-errors",
        Body(
            "local n = 0 xpcall(function() error('a') end, function() n = n + 1 error('b') end)
            return n > 100 and 'often' or n",
        ),
        Is("$5 often "),
        Is(":1 "),
    ),
    difference("table-constructor", Body("return ({'first', [1] = 'second'})[1]"), Is("$5 first "), Is("$6 second ")),
    difference(
        "integer-arguments",
        Body("return select('#', select(1e10, 1))"),
        Is(":0 "),
        Begins("-ERR user_function:2: invalid argument #1 to 'select'"),
    ),
    difference(
        "yields",
        Body(
            "local co = coroutine.create(function() for x in function() return coroutine.yield(3) end do end end)
            return select(2, coroutine.resume(co))",
        ),
        Is("$50 attempt to yield across metamethod/C-call boundary "),
        Is(":3 "),
    ),
    difference(
        "vm-error-text",
        Body("return select(2, xpcall(function() redis.x = 1 end, function(text) return text end))"),
        Is("$51 user_function:2: Attempt to modify a readonly table "),
        Is("$51 user_function:2: attempt to modify a readonly table "),
    ),
    difference(
        "bytecode",
        Body("return #string.dump(function() end) > 10 and 'code' or 'a mark'"),
        Is("$4 code "),
        Is("$6 a mark "),
    ),
    difference(
        "nul-in-source",
        Chunk("redis.register_function('f', function() end) -- a \0 in a comment"),
        LOADED,
        By {
            redis: "$5 mylib ",
            valkey: "-ERR Error compiling function: user_function:2: unexpected NUL byte in the source ",
        },
    ),
    difference(
        "nul-in-source",
        Text("local x = 1\0follows"),
        EMPTY,
        Is("-ERR Error compiling function: user_function:2: unexpected NUL byte in the source "),
    ),
    difference("error-table-without-err", Body("error({})"), Fatal, Begins("-ERR unknown error script: ")),
    difference(
        "case-folding-names",
        Chunk("redis.register_function('B1', function() end) redis.register_function('b1', function() end)"),
        Fatal,
        Begins("-ERR Error registering functions: ERR Function names of a library must differ by more than case"),
    ),
    difference(
        "vm-error-text",
        Body("unknown = [[\n\n]]"),
        Begins("-ERR user_function:4: Attempt to modify a readonly table"),
        Begins("-ERR user_function:2: Attempt to modify a readonly table"),
    ),
    difference(
        "vm-error-text",
        Body("return string.gsub('a', '', math.floor)"),
        Begins("-ERR bad argument #1 to '?' (number expected, got string) script: "),
        Is("-ERR invalid argument #1 to 'floor' (number expected, got string) "),
    ),
    difference(
        "compile-error-text",
        Body("return (select(2, loadstring('a', ('x'):rep(70)))):find('...', 1, true)"),
        Is(":73 "),
        Is(":53 "),
    ),
    difference(
        "compile-error-text",
        Text("--[[\n\n"),
        Begins("-ERR Error compiling function: user_function:4: unfinished long comment"),
        Begins(COMPILE),
    ),
    difference(
        "yields",
        Body("return coroutine.wrap(function() for x in coroutine.yield do end end)()"),
        Begins("-ERR user_function:2: attempt to yield across metamethod/C-call boundary"),
        Is("$-1 "),
    ),
    difference(
        "vm-error-text",
        Body("return coroutine.yield(1)"),
        Begins("-ERR attempt to yield across metamethod/C-call boundary script: "),
        Begins("-ERR"),
    ),
    difference(
        "vm-error-text",
        Body("return load('return 1')"),
        Begins("-ERR user_function:2: bad argument #1 to 'load' (function expected, got string)"),
        Begins("-ERR user_function:2: "),
    ),
    difference(
        "vm-error-text",
        Body("local t={} t[nil]=1"),
        Begins("-ERR user_function:2: table index is nil"),
        Begins("-ERR user_function:2: table index is nil"),
    ),
    difference(
        "recursion-limits",
        Body("local function f(n) return n==0 and 0 or 1+f(n-1) end return f(19990)"),
        Begins("-ERR user_function:2: stack overflow"),
        Is(":19990 "),
    ),
    difference(
        "recursion-limits",
        Body("local function f() return 1+f() end return f()"),
        Begins("-ERR user_function:2: stack overflow"),
        Begins("-ERR user_function:2: stack overflow"),
    ),
];

/// The reply to the case as a function or a library.
fn answer(client: &mut Client, prefix: &str, case: &Source) -> String {
    let (code, called) = match case {
        Body(body) => (callback(body), true),
        Chunk(chunk) | Text(chunk) => (source("mylib", chunk), false),
    };
    client.call(&[&format!("{prefix}FUNCTION"), "FLUSH", "SYNC"]);
    let mut raw = client.raw(&[&format!("{prefix}FUNCTION"), "LOAD", &code]);
    if called && raw.starts_with(b"$") {
        raw = client.raw(&[&format!("{prefix}FCALL"), "f", "0"]);
    }
    String::from_utf8_lossy(&raw).replace("\r\n", " ")
}

/// The reply to the case as a script, which begins on the second line as well, in the words in which a function or a
/// library would have been answered.
fn answer_to_script(client: &mut Client, prefix: &str, case: &Source) -> Option<String> {
    let (Body(body) | Text(body)) = case else { return None };
    let raw = client.raw(&[&format!("{prefix}EVAL"), &format!("\n{body}"), "0"]);
    let text = String::from_utf8_lossy(&raw).replace("\r\n", " ");
    let said =
        text.replace("user_script", "user_function").replace("compiling script (new function)", "compiling function");
    Some(match (case, said.strip_prefix('$').and_then(|rest| rest.split_once(' '))) {
        // A library that does nothing has registered nothing.
        (Text(_), Some(("-1", ""))) => "-ERR No functions registered ".to_owned(),
        (_, Some((length, rest))) if said != text => {
            let length: usize = length.parse().expect("a length");
            format!("${} {rest}", length + said.len() - text.len())
        }
        _ => said,
    })
}

fn matches(reply: Reply, text: &str, flavour: Flavour) -> bool {
    match reply {
        Is(expected) => text == expected,
        By { redis, valkey } => text == if flavour == Flavour::Redis { redis } else { valkey },
        Begins(beginning) => text.starts_with(beginning),
        Fatal => true,
    }
}

#[test]
fn each_known_difference_is_what_the_table_says() {
    let server = Server::start();
    let flavour = server.flavour();
    let mut client = server.client();
    let mut wrong = Vec::new();
    for difference in KNOWN_DIFFERENCES {
        let (Body(text) | Text(text) | Chunk(text)) = difference.source;
        for (prefix, expected) in [("", difference.server), ("SHADOW.", difference.shadow)] {
            if matches!(expected, Fatal) {
                continue;
            }
            let function = answer(&mut client, prefix, &difference.source);
            let script = answer_to_script(&mut client, prefix, &difference.source);
            for (form, answer) in [("function", Some(function)), ("script", script)] {
                if let Some(answer) = answer.filter(|answer| !matches(expected, answer, flavour)) {
                    wrong.push(format!("{}: {prefix} answers {text:?} as a {form} with {answer:?}", difference.row));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ from the table:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows that are no difference of the language, and the suite that pins each.
const PINNED_ELSEWHERE: &[(&str, &str)] = &[
    ("built-in-limits", "security"),
    ("deprecated-api", "sandbox"),
    ("crlf-in-errors", "errors"),
    ("log-prefix", "redis_api"),
    ("acl-check-words", "rights"),
    ("acl-readonly-category", "commands"),
    ("dynamic-flags", "flags"),
    ("tracked-keys", "tracking"),
    ("monitor-inner-calls", "call"),
    ("acl-log-context", "call"),
    ("log-at-load", "load"),
    ("errorstats-pcall", "errors"),
    ("cjson-settings", "cjson"),
    ("info-fields", "info"),
    ("script-debug", "help"),
    ("extensions", "help"),
    ("keys-declared", "undeclared_keys"),
    ("stored-encoding", "call"),
    ("intercept-permissions", "intercept"),
    ("nan-sign", "native"),
    ("long-strings-order", "order"),
    ("cross-slot-calls", "cluster"),
    ("long-transactions", "timeout"),
    ("killed-pcall", "kill"),
];

/// The sections of the page that have a table of differences.
const SECTIONS: [&str; 2] = ["Results that differ without an error", "Other differences"];

#[test]
fn the_page_and_the_tests_list_the_same_differences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md");
    let page = std::fs::read_to_string(path).expect("docs/compatibility.md");
    let documented: BTreeSet<&str> = SECTIONS
        .iter()
        .map(|name| page.split("\n## ").find(|section| section.starts_with(name)).expect(name))
        .flat_map(|section| section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()))
        .collect();
    let elsewhere = PINNED_ELSEWHERE.iter().map(|(row, _)| *row);
    let tested: BTreeSet<&str> = KNOWN_DIFFERENCES.iter().map(|difference| difference.row).chain(elsewhere).collect();
    assert_eq!(documented, tested);
}
