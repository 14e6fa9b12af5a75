//! What has been found in the server's own engine and its libraries: a script of each kind.
//!
//! The scripts are written from the published descriptions.

use super::refused::{Refused, call, check, evaluate, refused};
use crate::support::Value;

/// By its number; a script that is harmless here and should end well answers `unharmed`.
pub const CVES: &[Refused] = &[
    refused(
        // The parser's strings are collected while it runs.
        "CVE-2025-49844",
        &["for i = 1, 300 do local name = ('chunk'):rep(i) .. i \
           local source = ('local a' .. i .. ' = {\"' .. ('s'):rep(i) .. '\"} '):rep(100) collectgarbage('step', 1) \
           assert(loadstring(source, name))() collectgarbage() end return 'unharmed'"],
        "unharmed",
    ),
    refused(
        // The number of results overflows.
        "CVE-2025-46817",
        &[
            "return unpack({}, 0, 2147483647)",
            "return unpack({}, -2147483648, 2147483647)",
            "return unpack({}, 1, 2147483646)",
            "return {unpack({}, -2147483647, 2147483646)}",
        ],
        "too many results to unpack",
    ),
    refused(
        // Metatables of basic types are shared by all users.
        "CVE-2025-46818",
        &[
            "getmetatable('').__index = function() return redis.call end",
            "getmetatable('').__call = function() end",
            "setmetatable(getmetatable(''), {__newindex = function() end}) getmetatable('').x = 1",
            "assert(getmetatable(1) == nil and getmetatable(true) == nil and getmetatable(print or 1) == nil)",
        ],
        "Attempt to modify a readonly table|nonexistent global variable 'print'",
    ),
    refused(
        // The length of a long bracket overflows, and the lexer reads beyond the source.
        "CVE-2025-46819",
        &[
            "local function try(s) assert(loadstring(s) == nil) end try('return [' .. ('='):rep(1e6)) \
             try('return [' .. ('='):rep(1e6) .. '[') try('return [' .. ('='):rep(5e5) .. '[x]' .. ('='):rep(5e5 - 1) .. ']') \
             try('--[' .. ('='):rep(1e6) .. '[') try('return [==[x]=') return 'unharmed'",
            "local level = ('='):rep(4e5) return loadstring('return [' .. level .. '[unharmed]' .. level .. ']')()",
        ],
        "unharmed",
    ),
    refused(
        // Objects are used after the collector was led to free them.
        "CVE-2024-46981",
        &["local kept = setmetatable({}, {__mode = 'kv'}) \
             for i = 1, 2000 do local t = setmetatable({}, {__gc = function() kept[1] = 'raised' error('x') end, \
             __mode = 'k', __index = kept}) kept[t] = coroutine.wrap(function() coroutine.yield(t) collectgarbage() end) \
             kept[t]() if i % 100 == 0 then collectgarbage() end end collectgarbage() \
             assert(kept[1] == nil) return 'unharmed'"],
        "unharmed",
    ),
    refused(
        // A width of -2^31 is negated into itself.
        "CVE-2024-31449",
        &["local s = '' for _, n in ipairs({-2147483648, 2147483648, -2147483649, -1e300, 0/0, -9}) do \
           s = s .. #bit.tohex(255, n) end return s .. ' unharmed'"],
        "unharmed",
    ),
    refused(
        // The space for a long string's escapes overflows.
        "CVE-2022-24834",
        &["return #cjson.encode(('\\1'):rep(2^27))"],
        "resulting string too large",
    ),
    refused(
        // What one user's function changes runs in another user's.
        "CVE-2022-24735",
        &[
            "redis.call = function() end",
            "tostring = function() end",
            "rawset(string, 'format', function() end)",
            "setmetatable(_G, {__index = function() end})",
            "_G.redis.sha1hex = nil",
        ],
        "Attempt to modify a readonly table",
    ),
    refused(
        // Debian's build left `package` in place.
        "CVE-2022-0543",
        &[
            "return package.loadlib('/usr/lib/x86_64-linux-gnu/liblua5.1.so.0', 'luaopen_io')",
            "return package.path",
            "return package.preload",
        ],
        "nonexistent global variable 'package'",
    ),
    refused(
        // Encoders and decoders push more than the stack has room for.
        "CVE-2021-32626",
        &[
            "local t = {} for i = 1, 900 do t = {t} end cjson.encode(t) local s = ('['):rep(900) .. (']'):rep(900) cjson.decode(s) \
             local function deep(n) if n == 0 then return #cjson.encode(cjson.decode(s)) end return (deep(n - 1)) end \
             return deep(150) .. ' unharmed'",
        ],
        "unharmed",
    ),
    refused(
        // The debugger reads beyond what a client sent.
        "CVE-2021-32672",
        &["redis.breakpoint()", "redis.debug('x')"],
        "attempt to call a nil value",
    ),
    refused(
        // A number in a format overflows; first found as CVE-2015-8080.
        "CVE-2020-14147",
        &["struct.pack('i4294967297', 1)", "struct.unpack('i99999999999999', 'x')", "struct.size('c99999999999')"],
        "integral size overflow",
    ),
    refused(
        // Nested and numerous values overrun the stack.
        "CVE-2018-11218",
        &["local t = {} for i = 1, 1000 do t = {t} end cmsgpack.pack(t) \
             assert(not pcall(cmsgpack.unpack, ('\\145'):rep(1e5))) assert(not pcall(cmsgpack.unpack, ('\\1'):rep(1e5))) \
             local v = {} for i = 1, 1e5 do v[i] = i end assert(not pcall(cmsgpack.pack, unpack(v))) return 'unharmed'"],
        "unharmed",
    ),
    refused(
        // Sizes are computed in too few bits.
        "CVE-2018-11219",
        &[
            "assert(not pcall(struct.unpack, 'c2147483647c2147483647', 'x')) assert(not pcall(struct.unpack, 'c0', 'x')) \
             assert(not pcall(struct.unpack, 'Bc0', '\\255x')) assert(not pcall(struct.pack, 'i33', 1)) \
             assert(not pcall(struct.unpack, 'i4', 'abcd', 2^31)) assert(not pcall(struct.unpack, 'i4', 'abcd', -1)) \
             return 'unharmed'",
        ],
        "unharmed",
    ),
    refused(
        "CVE-2015-8080",
        &["struct.pack('c4294967296', 'x')", "struct.unpack('!2147483648i4', 'abcd')"],
        "integral size overflow",
    ),
    refused(
        // Bytecode that no compiler made is run.
        "CVE-2015-4335",
        &["local code = string.dump(function() return 1 end) assert(not loadstring(code)) \
             for first = 0, 31 do local f = loadstring(string.char(first) .. 'Lua\\81\\0\\1\\4' .. ('\\255'):rep(100)) \
             assert(f == nil) end return 'unharmed'"],
        "unharmed",
    ),
    refused(
        // An error's line ends begin a reply of their own.
        "CVE-2025-67733",
        &[
            "error({err = 'a\\r\\n+unharmed'})",
            "error('a\\r\\n+unharmed')",
            "return redis.error_reply('a\\r\\n+unharmed')",
            "return {ok = 'a\\r\\n+unharmed'}",
        ],
        "a  +unharmed",
    ),
];

#[test]
fn what_was_found_in_the_stock_engine_does_no_harm() {
    check(CVES, call);
}

#[test]
fn what_was_found_in_the_stock_engine_does_no_harm_as_a_script() {
    check(CVES, |client, body| match body {
        // Scripts have what functions lack: it does nothing.
        "redis.breakpoint()" | "redis.debug('x')" => {
            assert_eq!(client.call(&["EVAL", body, "0"]), Value::Null, "{body}");
            "attempt to call a nil value".to_owned()
        }
        _ => evaluate(client, body),
    });
}
