//! SORT of a set by a constant, which the server orders for scripts and functions alone.

use super::{Body, Pair};

/// The arguments of SORT and SORT_RO after the key.
const ARGUMENTS: &[&str] = &[
    "",
    "alpha",
    "by nosort",
    "BY nosort",
    "by ''",
    "by x",
    "by nosort desc",
    "by nosort asc",
    "by nosort alpha",
    "by nosort alpha desc",
    "by nosort limit 0 5",
    "by nosort limit 3 4",
    "by nosort desc limit 3 4",
    "by nosort limit 0 -1",
    "by nosort limit -1 5",
    "by nosort limit 0 0",
    "by nosort limit 1000 5",
    "limit 2 3 by nosort",
    "desc by nosort",
    "by nosort get #",
    "by nosort get w_*",
    "by nosort get # get w_* limit 0 4",
    "by nosort get nosuch_*",
    "by nosort by other",
    "by nosort by w_*",
    "by w_* by nosort",
    "by w_*",
    "by w_* desc limit 0 4",
    "by nosort store",
    "by nosort limit",
    "by nosort limit x y",
    "by",
    "nosort",
];

const KEYS: &[&str] = &["words", "numbers", "few", "list", "zset", "missing", "text"];

fn words(line: &str) -> String {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| format!(", '{}'", word.trim_matches('\''))).collect()
}

/// A server with sets of words and of numbers in no order, and other keys.
fn pair() -> Pair {
    let mut pair = Pair::start();
    let members: Vec<String> = (0..200).map(|number: u32| (number * 7_919 % 1_009).to_string()).collect();
    let named: Vec<String> = members.iter().map(|member| format!("w{member}")).collect();
    pair.command(&[&["SADD", "words"].map(str::to_owned)[..], &named].concat());
    pair.command(&[&["SADD", "numbers"].map(str::to_owned)[..], &members].concat());
    // The set of numbers is a table, too, and not in the order of the numbers.
    pair.command(&["SADD", "numbers", "0.5"]);
    for line in [
        "SADD few b a c 10 9",
        "RPUSH list b a c 10 9",
        "ZADD zset 3 a 1 b 2 c",
        "SET text value",
        "SET w_w0 1",
        "SET w_w913 2",
        "SET w_a 2",
        "SET w_b 1",
    ] {
        pair.command(&line.split(' ').collect::<Vec<_>>());
    }
    pair
}

#[test]
fn sets_sorted_by_a_constant_are_in_order() {
    let mut pair = pair();
    let mut bodies = Vec::new();
    for command in ["sort", "SORT", "sort_ro"] {
        for key in KEYS {
            for arguments in ARGUMENTS {
                let code = format!("return redis.pcall('{command}', '{key}'{})", words(arguments));
                bodies.push(Body::plain(&format!("f{}", bodies.len()), &code));
            }
        }
    }
    pair.load_bodies(&bodies);
    for body in &bodies {
        pair.compare(&["FCALL", body.name(), "0"]);
    }
    pair.finish();
}

#[test]
fn what_is_stored_is_what_the_server_stores() {
    let mut pair = pair();
    for key in KEYS {
        for arguments in
            ["by nosort store to", "by nosort alpha store to", "store to by nosort limit 0 5", "alpha store to"]
        {
            let code = format!(
                "redis.call('del', 'to') local r = redis.pcall('sort', '{key}'{}) return {{r, redis.call('lrange', 'to', 0, -1)}}",
                words(arguments)
            );
            pair.load_body(&code);
            pair.compare(&["FCALL", "f", "0"]);
        }
    }
    pair.finish();
}

#[test]
fn a_clients_own_sort_stays_as_it_is() {
    let pair = pair();
    let mut client = pair.server().client();
    let plain = client.run("SORT words BY nosort");
    let script = client.call(&["SHADOW.EVAL", "return redis.call('sort', 'words', 'by', 'nosort')", "0"]);
    assert_eq!(plain.sorted_texts(), script.sorted_texts());
    assert_ne!(plain.items(), script.items(), "a set of so many is in no order by itself");
}
