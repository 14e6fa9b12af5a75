//! Sequences of commands. Each begins with both registries and the keyspace empty.

const LIBRARY: &str = "#!lua name=mylib\n\
    redis.register_function('f', function(KEYS, ARGV) return {#KEYS, #ARGV, KEYS[1], ARGV[1]} end)";
const OTHER: &str = "#!lua name=other\nredis.register_function('g', function() return 'g' end)";
const CLASH: &str = "#!lua name=clash\nredis.register_function('F', function() return 'clash' end)";
const CHANGED: &str = "#!lua name=mylib\nredis.register_function('h', function() return 'h' end)";
const BROKEN: &str = "#!lua name=mylib\nredis.foo()";
const EMPTY: &str = "#!lua name=mylib\n";
const READER: &str = "#!lua name=reader\nredis.register_function{function_name='r', \
    callback=function(KEYS) return redis.call('get', KEYS[1]) end, flags={'no-writes'}}";
const WRITER: &str = "#!lua name=writer\n\
    redis.register_function('w', function(KEYS) return redis.call('set', KEYS[1], 'v') end)\n\
    redis.register_function{function_name='liar', callback=function(KEYS) return redis.call('set', KEYS[1], 'v') end, \
    flags={'no-writes'}}\n\
    redis.register_function{function_name='quiet', callback=function(KEYS) return redis.pcall('set', KEYS[1], 'v') end, \
    flags={'no-writes'}}\n\
    redis.register_function{function_name='herald', callback=function() return redis.call('publish', 'a', 'b') end, \
    flags={'no-writes'}}\n\
    redis.register_function{function_name='counter', callback=function(KEYS) return redis.pcall('pfcount', KEYS[1]) end, \
    flags={'no-writes'}}";

/// One sequence: the words of each command.
type Session = &'static [&'static [&'static str]];

/// All sequences. A command that begins with neither FUNCTION nor FCALL does not belong here.
pub const SESSIONS: &[Session] = &[
    // Dispatch.
    &[
        &["FUNCTION"],
        &["function"],
        &["FUNCTION", "FOO"],
        &["FUNCTION", ""],
        &["FUNCTION", "a\r\nb"],
        &["FUNCTION", "load|x"],
        &["FUNCTION", "LOAD"],
        &["FuNcTiOn", "LoAd"],
        &["FUNCTION", "DELETE"],
        &["FUNCTION", "DELETE", "a", "b"],
        &["FUNCTION", "STATS", "x"],
        &["FUNCTION", "HELP", "x"],
        &["FUNCTION|LOAD", "x"],
        &["FCALL"],
        &["FCALL", "f"],
        &["FCALL_RO", "f"],
        &["fcall_ro"],
    ],
    // Words of LOAD.
    &[
        &["FUNCTION", "LOAD", "REPLACE"],
        &["FUNCTION", "LOAD", ""],
        &["FUNCTION", "LOAD", "foo", LIBRARY],
        &["FUNCTION", "LOAD", "a\r\nb", LIBRARY],
        &["FUNCTION", "LOAD", "%s%n", LIBRARY],
        &["FUNCTION", "LOAD", "", LIBRARY],
        &["FUNCTION", "LOAD", LIBRARY, "REPLACE"],
        &["FUNCTION", "LOAD", "REPLACE", ""],
        &["FUNCTION", "LOAD", "REPLACE", "foo", LIBRARY],
        &["FUNCTION", "LOAD", "REPLACE", "replace", "rEpLaCe", LIBRARY],
        &["function", "load", "replace", LIBRARY],
        &["FUNCTION", "LIST", "WITHCODE"],
    ],
    // What takes precedence in LOAD, and that a failure changes nothing.
    &[
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "LOAD", EMPTY],
        &["FUNCTION", "LOAD", BROKEN],
        &["FUNCTION", "LOAD", "#!js name=mylib\nx"],
        &["FUNCTION", "LOAD", "#!js name=my-lib\nx"],
        &["FUNCTION", "LOAD", "#!js name=mylib x\nx"],
        &["FUNCTION", "LOAD", "REPLACE", BROKEN],
        &["FUNCTION", "LOAD", "REPLACE", EMPTY],
        &["FCALL", "f", "1", "k", "a"],
        &["FUNCTION", "LOAD", CLASH],
        &["FUNCTION", "LOAD", "REPLACE", CLASH],
        &["FUNCTION", "LIST", "WITHCODE"],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "LOAD", "REPLACE", CHANGED],
        &["FCALL", "f", "0"],
        &["FCALL", "h", "0"],
        &["FUNCTION", "LOAD", CLASH],
        &["FCALL", "f", "0"],
        &["FUNCTION", "LOAD", "REPLACE", LIBRARY],
        &["FCALL", "h", "0"],
        &["FCALL", "F", "0"],
        &["FUNCTION", "STATS"],
    ],
    // A library replaced by one that lacks a function, and an unchanged one by itself.
    &[
        &["FUNCTION", "LOAD", "REPLACE", LIBRARY],
        &["FUNCTION", "LOAD", "REPLACE", LIBRARY],
        &["FUNCTION", "LOAD", OTHER],
        &["FUNCTION", "LOAD", "REPLACE", "#!lua name=mylib\nredis.register_function('G', function() end)"],
        &["FUNCTION", "LOAD", "#!lua name=MYLIB\nredis.register_function('x', function() end)"],
        &["FUNCTION", "LOAD", "#!lua name=Other\nredis.register_function('x', function() end)"],
        &["FUNCTION", "STATS"],
        &["FCALL", "g", "0"],
        &["FCALL", "f", "0"],
        &["FCALL", "x", "0"],
    ],
    // DELETE.
    &[
        &["FUNCTION", "DELETE", "mylib"],
        &["FUNCTION", "DELETE", ""],
        &["FUNCTION", "DELETE", "a\r\nb"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "DELETE", "MYLIB"],
        &["FUNCTION", "DELETE", "f"],
        &["FUNCTION", "LIST"],
        &["function", "delete", "mylib"],
        &["FUNCTION", "DELETE", "mylib"],
        &["FCALL", "f", "0"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "LOAD", CLASH],
        &["FCALL", "f", "0"],
    ],
    // FLUSH.
    &[
        &["FUNCTION", "FLUSH"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "FLUSH", "BAD"],
        &["FUNCTION", "FLUSH", ""],
        &["FUNCTION", "FLUSH", "a\r\nb"],
        &["FUNCTION", "FLUSH", "ASYNC", "SYNC"],
        &["FUNCTION", "fLuSh", "BAD", "SYNC"],
        &["FUNCTION", "flush", "a", "b", "c"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "FLUSH"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "FLUSH", "sync"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "FLUSH", "aSyNc"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "STATS"],
        &["FCALL", "f", "0"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FCALL", "f", "0"],
    ],
    // LIST.
    &[
        &["FUNCTION", "LIST"],
        &["FUNCTION", "LIST", "WITHCODE"],
        &["FUNCTION", "LIST", "LIBRARYNAME", "*"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "LIST"],
        &["function", "list", "withcode"],
        &["FUNCTION", "LIST", "LIBRARYNAME"],
        &["FUNCTION", "LIST", "WITHCODE", "LIBRARYNAME"],
        &["FUNCTION", "LIST", "LIBRARYNAME", "withcode"],
        &["FUNCTION", "LIST", "withcode", "withcode"],
        &["FUNCTION", "LIST", "libraryname", "a", "libraryname", "b"],
        &["FUNCTION", "LIST", "foo"],
        &["FUNCTION", "LIST", "foo", "LIBRARYNAME"],
        &["FUNCTION", "LIST", "%s%d%n"],
        &["FUNCTION", "LIST", ""],
        &["FUNCTION", "LIST", "LIBRARYNAME", "MY*", "withcode"],
        &["FUNCTION", "LIST", "withcode", "LIBRARYNAME", "my?ib"],
    ],
    // STATS.
    &[
        &["FUNCTION", "STATS"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FUNCTION", "LOAD", OTHER],
        &["FUNCTION", "LOAD", WRITER],
        &["FUNCTION", "STATS"],
        &["function", "stats"],
        &["FUNCTION", "DELETE", "writer"],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "LOAD", "REPLACE", CHANGED],
        &["FUNCTION", "LOAD", "REPLACE", BROKEN],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "FLUSH", "ASYNC"],
        &["FUNCTION", "STATS"],
    ],
    // Arguments of FCALL.
    &[
        &["FCALL", "nof", "0"],
        &["FCALL", "nof", "x"],
        &["FCALL", "", "0"],
        &["FCALL", "f", "0"],
        &["FUNCTION", "LOAD", LIBRARY],
        &["FCALL", "nof", "0"],
        &["FCALL", "f", "x"],
        &["FCALL", "f", ""],
        &["FCALL", "f", "1"],
        &["FCALL", "f", "2", "a"],
        &["FCALL", "f", "-1"],
        &["FCALL", "f", "-1", "a"],
        &["FCALL", "f", "1", "a"],
        &["FCALL", "f", "1", "a", "b"],
        &["FCALL", "f", "2", "a", "b"],
        &["FCALL", "f", "0", "a", "b"],
        &["FCALL", "f", "0"],
        &["FCALL", "f", "+1", "a"],
        &["FCALL", "f", "01", "a"],
        &["FCALL", "f", " 1", "a"],
        &["FCALL", "f", "1 ", "a"],
        &["FCALL", "f", "1.0", "a"],
        &["FCALL", "f", "-0", "a"],
        &["FCALL", "f", "1\0", "a"],
        &["FCALL", "f", "99999999999999999999", "a"],
        &["FCALL", "f", "9223372036854775807", "a"],
        &["FCALL", "f", "9223372036854775808", "a"],
        &["FCALL", "f", "-9223372036854775808"],
        &["FCALL", "f", "-9223372036854775809"],
        &["FCALL", "f", "0x1", "a"],
        &["FCALL", "f", "1e0", "a"],
        &["FCALL", "f", "1", "k\0\r\n", "v\0\r\n"],
        &["FCALL", "f", "1", "", ""],
        &["fcall", "F", "0"],
        &["FCALL_RO", "f", "0"],
        &["FCALL_RO", "nof", "0"],
        &["FCALL_RO", "nof", "x"],
        &["FCALL_RO", "f", "-1"],
        &["FCALL_RO", "f", "x"],
        &["FCALL_RO", "f", "1"],
    ],
    // Writing, and promising not to.
    &[
        &["FUNCTION", "LOAD", WRITER],
        &["FUNCTION", "LOAD", READER],
        &["FCALL", "w", "1", "k"],
        &["FCALL", "r", "1", "k"],
        &["FCALL_RO", "r", "1", "k"],
        &["FCALL_RO", "R", "1", "k"],
        &["FCALL_RO", "w", "1", "k"],
        &["FCALL_RO", "W", "x"],
        &["FCALL", "liar", "1", "k"],
        &["FCALL_RO", "liar", "1", "k"],
        &["FCALL", "LIAR", "1", "k"],
        &["FCALL", "quiet", "1", "k"],
        &["FCALL_RO", "quiet", "1", "k"],
        &["FCALL", "herald", "0"],
        &["FCALL_RO", "herald", "0"],
        &["FCALL", "counter", "1", "missing"],
    ],
];

/// Bodies of `mylib`, and calls after it was loaded.
pub const LIBRARIES: &[(&str, &[&str])] = &[
    (
        "local c=0 redis.register_function('f', function() c=c+1 return c end) \
         redis.register_function('g', function() c=c+10 return c end)",
        &["FCALL f 0", "FCALL f 0", "FCALL g 0", "FCALL F 0"],
    ),
    (
        "for i=1,10 do redis.register_function('f'..i, function() return i end) end",
        &["FCALL f3 0", "FCALL f10 0", "FCALL f11 0"],
    ),
    (
        "local r=redis redis.register_function('f', function() return {type(r.register_function), type(r.call)} end)",
        &["FCALL f 0"],
    ),
    (
        "local reg=redis.register_function redis.register_function('f', function() reg('g',function() end) end)",
        &["FCALL f 0", "FCALL g 0"],
    ),
    ("local r=redis redis.register_function('f', function() return r.foo end)", &["FCALL f 0"]),
    ("local r=redis redis.register_function('f', function() r.foo=1 end)", &["FCALL f 0"]),
    ("local r=redis redis.register_function('f', function() return r.log(3,'x') end)", &["FCALL f 0"]),
    ("local r=redis redis.register_function('f', function() return r == redis end)", &["FCALL f 0"]),
    (
        "local function h() return redis end redis.register_function('f', function() return type(h().call) end)",
        &["FCALL f 0"],
    ),
    ("redis.register_function('f', redis.register_function)", &["FCALL f 0"]),
    ("redis.register_function('f', redis.log)", &["FCALL f 0", "FCALL f 0 3 x", "FCALL f 1 3 x"]),
    (
        "redis.register_function('f', function(...) return {select('#', ...), type((...))} end)",
        &["FCALL f 0", "FCALL f 1 a b"],
    ),
    ("redis.register_function('f', function() return KEYS end)", &["FCALL f 0"]),
    ("redis.register_function('f', function(keys) return keys end)", &["FCALL f 2 a b c"]),
    ("redis.register_function('Name', function() error('x') end)", &["FCALL name 0", "FCALL NAME 0"]),
    ("redis.register_function('Name', function() redis.call('foo') end)", &["FCALL name 0", "FCALL NAME 0"]),
    ("\n\n\nredis.register_function('f', function()\n\n\nerror('line 8')\nend)", &["FCALL f 0"]),
    (
        "local function helper()\nerror('line 3')\nend\nredis.register_function('f', function()\nhelper()\nend)",
        &["FCALL f 0"],
    ),
    (
        "local function helper()\nreturn redis.call('foo')\nend\nredis.register_function('f', function()\nhelper()\nend)",
        &["FCALL f 0"],
    ),
    (
        "local t={} redis.register_function('f', function(keys, args) t[#t+1]=args[1] return t end)",
        &["FCALL f 0 a", "FCALL f 0 b", "FCALL f 0 c"],
    ),
    (
        "redis.register_function('f', function() redis.setresp(3) return true end) \
         redis.register_function('g', function() return true end)",
        &["FCALL f 0", "FCALL g 0"],
    ),
    (
        "redis.register_function('f', function() local co=coroutine.create(function() coroutine.yield(redis.call('ping')) end) \
         local _, a=coroutine.resume(co) return {a, coroutine.status(co)} end)",
        &["FCALL f 0", "FCALL f 0"],
    ),
    ("local name='f' redis.register_function{function_name=name, callback=function() return name end}", &["FCALL f 0"]),
];

/// Patterns for LIST; the one library is called `Alpha`.
pub const PATTERNS: &[&str] = &[
    "",
    "*",
    "Alpha",
    "alpha",
    "ALPHA",
    "a*",
    "A*",
    "*a",
    "*A",
    "?lpha",
    "?",
    "?????",
    "??????",
    "[a-c]lpha",
    "[A-C]lpha",
    "[b-z]*",
    "[^b]lpha",
    "[^a]lpha",
    "[c-a]lpha",
    "\\Alpha",
    "\\alpha",
    "al\\*",
    "a[",
    "a[l",
    "[",
    "\\",
    "a**a",
    "**",
    "***",
    "*l*h*",
    "*x*",
    "Alph",
    "Alphabet",
    "a*b",
    "[aA]*",
    "[]lpha",
    "alpha\\",
    "a?p?a",
    "[\\a]lpha",
    "[a\\]*",
    "al[p]ha",
    "al[^p]ha",
    "A[a-z]*a",
];
