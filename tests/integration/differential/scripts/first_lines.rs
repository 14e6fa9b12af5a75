//! The first line of a script: its engine, its flags, and what is wrong with it.

use super::super::chunks::SHEBANGS;
use super::{Pair, compare_script};

const FIRST_LINES: &[&str] = &[
    "#!",
    "#!lua",
    "#!LUA",
    "#!Lua",
    "#! lua",
    "#!luajit",
    "#!lua5.1",
    "#!lua;x",
    "#!lua,x",
    "#!js",
    "#!js flags=no-writes",
    "#!js flags=nonsense",
    "#!js nonsense",
    "#!%s%n",
    "#!lua %s%n",
    "#!lua flags=%s%n",
    "#!lua\r",
    "#!lua \t ",
    "#!\tlua",
    "#!lua\tflags=no-writes",
    "#!lua\rflags=no-writes",
    "#!lua\x0bflags=no-writes",
    "#!lua \x0bflags=no-writes",
    "#!lua \x0cflags=no-writes",
    "#!lua   flags=no-writes   ",
    "#!lua flags=no-writes\r",
    "#!lua flags=",
    "#!lua flags=,",
    "#!lua flags=,,",
    "#!lua flags=no-writes,",
    "#!lua flags=,no-writes",
    "#!lua flags=no-writes,,allow-oom",
    "#!lua flags=no-writes, allow-oom",
    "#!lua flags= no-writes",
    "#!lua flags =no-writes",
    "#!lua flags=no-writes",
    "#!lua flags=allow-oom",
    "#!lua flags=allow-stale",
    "#!lua flags=no-cluster",
    "#!lua flags=allow-cross-slot-keys",
    "#!lua flags=eval-compat",
    "#!lua flags=script-flag-no-writes",
    "#!lua flags=allow-cross-slot-keys,no-cluster,allow-stale,allow-oom,no-writes",
    "#!lua flags=no-writes,no-writes",
    "#!lua flags=no-writes flags=allow-oom",
    "#!lua flags=no-writes flags=nonsense",
    "#!lua flags=nonsense,no-writes",
    "#!lua flags=nonsense nonsense",
    "#!lua nonsense flags=nonsense",
    "#!lua flags=No-Writes",
    "#!lua Flags=no-writes",
    "#!lua FLAGS=no-writes",
    "#!lua flags",
    "#!lua flag=no-writes",
    "#!lua flagss=no-writes",
    "#!lua no-writes",
    "#!lua name=mylib",
    "#!lua name=mylib flags=no-writes",
    "#!lua \"\"",
    "#!lua ''",
    "#!\"lua\"",
    "#!'lua'",
    "\"#!lua\"",
    "#!\"l\"u'a'",
    "#!lua \"flags=no-writes\"",
    "#!lua 'flags=no-writes'",
    "#!lua 'flags=no-writes' flags=allow-oom",
    "#!lua flags=\"no-writes\"",
    "#!lua flags='no-writes'",
    "#!lua \"flags=no-writes\"x",
    "#!lua 'flags=no-writes'x",
    "#!lua \"flags=no-writes",
    "#!lua 'flags=no-writes",
    "#!lua \"flags=no-wr\\x69tes\"",
    "#!lua \"flags=\\q\"",
    "#!lua 'flags=no\\'x'",
    "#!lua \"tab\\tand\\aand\\b\"",
    "#!lua fl\\ags=no-writes",
    "#!lua\0",
    "#!lua\0 flags=no-writes",
    "#!lua flags=no\0-writes",
    "#!lua flags=no-writes\0",
    "#!\0lua",
    "#!lua flags=é",
    "#!lua é",
];

/// What stands below the first line: it reads, writes, raises, or is no code.
const CODES: &[&str] = &[
    "return {KEYS[1], ARGV[1]}",
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.pcall('set', KEYS[1], ARGV[1])",
    "error('on line 2')",
    "\nerror('on line 3')",
    "",
];

#[test]
fn first_lines_are_read_alike() {
    let mut pair = Pair::start();
    for line in FIRST_LINES {
        compare_script(&mut pair, line.as_bytes());
        compare_script(&mut pair, format!("{line}\nreturn {{KEYS[1], ARGV[1]}}").as_bytes());
        compare_script(&mut pair, format!("{line}\nreturn (").as_bytes());
    }
    pair.finish();
}

#[test]
fn first_lines_of_libraries_are_refused_alike() {
    let mut pair = Pair::start();
    for code in SHEBANGS {
        pair.compare(&[b"SCRIPT", b"LOAD".as_slice(), code]);
    }
    pair.finish();
}

#[test]
fn flags_have_the_same_effect() {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for line in ["#!lua", "#!lua flags=no-writes", "#!lua flags=allow-oom", "#!lua flags=allow-stale,no-cluster"] {
        for code in CODES {
            compare_script(&mut pair, format!("{line}\n{code}").as_bytes());
        }
    }
    pair.finish();
}

#[test]
fn a_long_word_of_a_first_line_is_shown_alike() {
    let mut pair = Pair::start();
    for length in [100, 1_000, 100_000] {
        let word = "x".repeat(length);
        for line in [format!("#!{word}"), format!("#!lua {word}"), format!("#!lua flags={word}")] {
            compare_script(&mut pair, format!("{line}\nreturn 1").as_bytes());
        }
    }
    pair.finish();
}
