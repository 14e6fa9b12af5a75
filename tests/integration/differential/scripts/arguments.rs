//! The arguments of EVAL and its like: the digest, the number of keys, and which mistake is answered first.

use super::{Pair, compare_sessions};
use crate::support::scripts::digest;

const COUNTS: &str = "return {#KEYS, #ARGV, KEYS[1], ARGV[1]}";

const NUMBERS: &[&str] = &[
    "",
    "x",
    "1.0",
    "+0",
    "+1",
    "-0",
    "00",
    "01",
    " 0",
    "0 ",
    "1\0",
    "0x0",
    "0x1",
    "1e0",
    "nan",
    "inf",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "4294967297",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999",
];

const MORE: &[&[&str]] = &[&[], &["a"], &["a", "b"], &["", ""], &["k\0\r\n", "v\0\r\n"]];

#[test]
fn the_number_of_keys_is_read_alike() {
    let digest = digest(COUNTS);
    for mut pair in [Pair::start(), Pair::intercepting()] {
        pair.compare(&["SCRIPT", "LOAD", COUNTS]);
        for (command, script) in
            [("EVAL", COUNTS), ("EVAL_RO", COUNTS), ("EVALSHA", &*digest), ("EVALSHA_RO", &*digest)]
        {
            for number in NUMBERS {
                for more in MORE {
                    pair.compare(&[&[command, script, number][..], *more].concat());
                }
            }
        }
        pair.finish();
    }
}

#[test]
fn too_few_words_are_refused_alike() {
    compare_sessions(&[&[
        &["EVAL"],
        &["EVAL", "return 1"],
        &["eval", "return 1"],
        &["EvalSha"],
        &["EVALSHA", "x"],
        &["EVAL_RO", "return 1"],
        &["evalsha_ro"],
        &["EVALSHA_RO", "x"],
    ]]);
}

#[test]
fn digests_are_found_alike() {
    let script = "return {KEYS[1], ARGV[1]}";
    let known = digest(script);
    let (upper, shorter, longer) = (known.to_uppercase(), &known[..39], format!("{known}0"));
    let (mixed, padded) = (format!("{}{}", &known[..20], &upper[20..]), format!("{shorter} "));
    let (cut, not_hex) = (format!("{known}\0junk"), "z".repeat(40));
    let (with_nul, unknown) = (format!("{shorter}\0"), "0".repeat(40));
    let digests =
        ["", " ", "x", &known, &upper, &mixed, shorter, &longer, &padded, &cut, &not_hex, &with_nul, &unknown, script];
    for mut pair in [Pair::start(), Pair::intercepting()] {
        pair.compare(&["SCRIPT", "LOAD", script]);
        for digest in digests {
            for command in ["EVALSHA", "EVALSHA_RO", "evalsha"] {
                pair.compare(&[command, digest, "0"]);
                pair.compare(&[command, digest, "1", "a", "b"]);
                pair.compare(&[command, digest, "x"]);
            }
            pair.compare(&["SCRIPT", "EXISTS", digest]);
            pair.compare(&["SCRIPT", "EXISTS", digest, &known, digest]);
        }
        pair.finish();
    }
}

#[test]
fn the_same_mistake_is_answered_first() {
    let unknown = "0".repeat(40);
    let digested = digest("#!lua\nreturn 'kept'");
    let refused = digest("#!lua flags=no-cluster,no-writes,allow-oom\nreturn 'kept'");
    compare_sessions(&[
        // Of EVALSHA: the length, the number of keys, the lookup.
        &[
            &["EVALSHA", "short", "x"],
            &["EVALSHA", "short", "5", "a"],
            &["EVALSHA", "short", "-1"],
            &["EVALSHA", &unknown, "x"],
            &["EVALSHA", &unknown, "5", "a"],
            &["EVALSHA", &unknown, "-1"],
            &["EVALSHA", &unknown, "0"],
            &["EVALSHA_RO", &unknown, "x"],
            &["EVALSHA_RO", &unknown, "0"],
        ],
        // Of EVAL: the number of keys, the first line, the compiler.
        &[
            &["EVAL", "return (", "x"],
            &["EVAL", "return (", "5", "a"],
            &["EVAL", "return (", "-1"],
            &["EVAL", "return (", "0"],
            &["EVAL", "#!nonsense", "x"],
            &["EVAL", "#!nonsense\nreturn (", "1"],
            &["EVAL", "#!lua nonsense\nreturn (", "0"],
            &["EVAL", "#!lua flags=nonsense\nreturn (", "0"],
            &["EVAL", "#!lua flags=no-writes\nreturn (", "0"],
            &["EVAL_RO", "#!lua\nreturn (", "x"],
            &["EVAL_RO", "#!lua\nreturn (", "0"],
            &["EVAL_RO", "return (", "0"],
        ],
        // A script that is refused for its flags is kept all the same; one with a wrong number of keys is not.
        &[
            &["EVAL_RO", "#!lua\nreturn 'kept'", "x"],
            &["SCRIPT", "EXISTS", &digested],
            &["EVAL_RO", "#!lua\nreturn 'kept'", "0"],
            &["SCRIPT", "EXISTS", &digested],
            &["EVALSHA_RO", &digested, "0"],
            &["EVALSHA_RO", &digested, "x"],
            &["EVALSHA", &digested, "0"],
            &["EVAL", "#!lua flags=no-cluster,no-writes,allow-oom\nreturn 'kept'", "-1"],
            &["SCRIPT", "EXISTS", &refused],
            &["EVAL_RO", "#!lua flags=no-cluster,no-writes,allow-oom\nreturn 'kept'", "0"],
            &["SCRIPT", "EXISTS", &refused],
        ],
    ]);
}

#[test]
fn a_read_only_call_refuses_writers_alike() {
    let set = "return redis.call('set', KEYS[1], 'v')";
    let caught = "return redis.pcall('set', KEYS[1], 'v')";
    let flagged = format!("#!lua flags=no-writes\n{set}");
    compare_sessions(&[&[
        &["EVAL_RO", set, "1", "k"],
        &["EVAL_RO", caught, "1", "k"],
        &["EVAL", &flagged, "1", "k"],
        &["EVAL_RO", &flagged, "1", "k"],
        &["EVAL_RO", "return redis.call('get', KEYS[1])", "1", "k"],
        &["EVAL_RO", "return redis.pcall('publish', 'a', 'b')", "0"],
        &["EVAL_RO", "return redis.pcall('pfcount', 'missing')", "0"],
        &["EVAL_RO", "return redis.pcall('del', 'missing')", "0"],
        &["EVAL_RO", "#!lua\nreturn 1", "0"],
        &["EVAL_RO", "#!lua flags=allow-oom\nreturn 1", "0"],
        &["EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0"],
        &["EVAL", "return redis.call('exists', 'k')", "0"],
    ]]);
}
