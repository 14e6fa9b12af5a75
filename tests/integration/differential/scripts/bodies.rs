//! Texts of scripts that are taken or refused for what they are, before they run.

use super::{Pair, compare_script};

/// Scripts as they are typed.
const BODIES: &[&[u8]] = &[
    b"",
    b" ",
    b"\n",
    b"\r\n",
    b"\t\n  ",
    b"--",
    b"-- a comment",
    b"--[[ a comment ]]",
    b"return",
    b"return nil",
    b"return 1, 2, 3",
    b"return 1;",
    b"local x = 1; return x",
    b"return 1 return 2",
    b";",
    b";return 1",
    b"(",
    b"(function() end)() return 1",
    b"= 1",
    b"return (",
    b"end",
    b"x",
    b"\n\n\nreturn (",
    b"#",
    b"#x",
    b"# a line\nreturn 1",
    b" #!lua\nreturn 1",
    b"\n#!lua\nreturn 1",
    b"\xef\xbb\xbfreturn 1",
    b"\xff",
    b"return \xff",
    b"\x1bLua",
    b"\x1bLuaQ\0\x01\x04\x08\x04\x08\0",
    b"return '\xff\xfe\xf0\x9f\x98\x80'",
    b"-- \xff\xfe\nreturn 1",
    b"return {...}",
    b"return select('#', ...)",
    b"local a, b = ... return {tostring(a), tostring(b)}",
    b"return arg",
    b"return function() return 1 end",
    b"do return 1 end",
    b"if KEYS[1] == 'key' then return ARGV[1] end return 2",
    b"return 'a\\0b'",
    b"return [[\na\nb]]",
    b"error('on line 1')",
    b"\n\nerror('on line 3')",
    b"\r\n\r\nerror('on line 3')",
    b"local function f()\n  error('on line 2')\nend\nf()",
    b"return loadstring('error(1)')()",
];

#[test]
fn texts_of_scripts_are_taken_and_refused_alike() {
    let mut pair = Pair::start();
    for body in BODIES {
        compare_script(&mut pair, body);
    }
    pair.finish();
}

#[test]
fn long_scripts_are_taken_alike() {
    let mut pair = Pair::start();
    for length in [1_000, 100_000, 1_000_000] {
        compare_script(&mut pair, format!("return #'{}'", "x".repeat(length)).as_bytes());
        compare_script(&mut pair, format!("return 7 --{}", "x".repeat(length)).as_bytes());
        compare_script(&mut pair, format!("{}error('far down')", "\n".repeat(length)).as_bytes());
    }
    pair.finish();
}
