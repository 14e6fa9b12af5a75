//! SHADOW.FUNCTION LIST.

use crate::support::library::{load, load_many, names, source};
use crate::support::{Client, Server, Value};

const DESCRIBED: &str = "redis.register_function{function_name='f', callback=function() end, description='what it does', \
                         flags={'allow-oom','no-writes'}}";

#[test]
fn an_entry_has_its_fields_in_order_in_resp2() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "redis.register_function('f', function() end)"));
    assert_eq!(
        client.raw(&["SHADOW.FUNCTION", "LIST"]),
        b"*1\r\n*6\r\n$12\r\nlibrary_name\r\n$5\r\nmylib\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n\
          *1\r\n*6\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*0\r\n"
    );
}

#[test]
fn an_entry_is_made_of_maps_and_a_set_in_resp3() {
    let server = Server::start();
    let mut client = server.client();
    client.hello3();
    load(&mut client, &source("mylib", DESCRIBED));
    assert_eq!(
        client.raw(&["SHADOW.FUNCTION", "LIST"]),
        b"*1\r\n%3\r\n$12\r\nlibrary_name\r\n$5\r\nmylib\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n\
          *1\r\n%3\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n$12\r\nwhat it does\r\n$5\r\nflags\r\n\
          ~2\r\n+no-writes\r\n+allow-oom\r\n"
    );
}

#[test]
fn every_library_and_every_function_is_listed_once() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 300);
    load(&mut client, &source("many", "for i=1,50 do redis.register_function('m'..i, function() end) end"));
    let mut expected: Vec<String> = (0..300).map(|number| format!("lib{number}")).collect();
    expected.push("many".to_owned());
    expected.sort();
    assert_eq!(names(&mut client), expected);
    let many = client.run("SHADOW.FUNCTION LIST LIBRARYNAME many").items();
    let mut functions: Vec<String> = many[0]
        .field("functions")
        .expect("functions")
        .items()
        .iter()
        .map(|function| function.field("name").expect("a name").text())
        .collect();
    functions.sort();
    let mut expected: Vec<String> = (1..=50).map(|number| format!("m{number}")).collect();
    expected.sort();
    assert_eq!(functions, expected);
}

#[test]
fn a_pattern_selects_without_regard_to_case() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 20);
    for (pattern, count) in [("LIB1?", 10), ("lib*", 20), ("lib[0-4]", 5), ("Lib7", 1), ("none", 0)] {
        assert_eq!(
            client.run(&format!("SHADOW.FUNCTION LIST LIBRARYNAME {pattern}")).items().len(),
            count,
            "{pattern}"
        );
    }
}

/// What WITHSTATS adds to a function or a script.
pub const CALL_STATS: [&str; 10] = [
    "calls",
    "rejected_calls",
    "failed_calls",
    "usec",
    "max_usec",
    "commands",
    "commands_usec",
    "p50_usec",
    "p99_usec",
    "p99.9_usec",
];

/// The fields of the entry of the library of that name, with WITHSTATS.
fn with_stats(client: &mut Client, name: &str) -> Value {
    let list = client.run(&format!("SHADOW.FUNCTION LIST WITHSTATS LIBRARYNAME {name}")).items();
    assert_eq!(list.len(), 1, "{list:?}");
    list[0].clone()
}

/// The number in a field of an entry.
pub fn number(entry: &Value, field: &str) -> i64 {
    match entry.field(field) {
        Some(Value::Integer(number)) => number,
        other => panic!("{field} is {other:?} in {entry:?}"),
    }
}

/// The names of an entry's fields, in their order.
pub fn field_names(entry: &Value) -> Vec<String> {
    entry.items().chunks(2).map(|pair| pair[0].text()).collect()
}

#[test]
fn statistics_follow_what_is_listed_without_them() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", DESCRIBED));
    client.run("SHADOW.FCALL F 0");
    client.run("SHADOW.FCALL f 1");
    let added = ["bytes", "loaded_at_ms", "sha256"];
    for protocol in [2, 3] {
        if protocol == 3 {
            client.hello3();
        }
        for options in ["WITHCODE", "LIBRARYNAME my*", ""] {
            let plain = client.run(&format!("SHADOW.FUNCTION LIST {options}")).items()[0].clone();
            for words in [format!("withstats {options}"), format!("{options} WITHSTATS")] {
                let entry = client.run(&format!("SHADOW.FUNCTION LIST {words}")).items()[0].clone();
                assert_eq!(matches!(entry, Value::Map(_)), protocol == 3);
                assert_eq!(field_names(&entry), [field_names(&plain), added.map(str::to_owned).to_vec()].concat());
                let function = entry.field("functions").expect("functions").items()[0].clone();
                let plain_function = plain.field("functions").expect("functions").items()[0].clone();
                assert_eq!(matches!(function, Value::Map(_)), protocol == 3);
                let before = field_names(&plain_function);
                assert_eq!(field_names(&function), [before.clone(), CALL_STATS.map(str::to_owned).to_vec()].concat());
                assert!(before.iter().all(|field| function.field(field) == plain_function.field(field)));
                let counts = ["calls", "rejected_calls", "failed_calls"].map(|field| number(&function, field));
                assert_eq!(counts, [1, 1, 0]);
                assert!(number(&function, "usec") >= number(&function, "max_usec"));
            }
        }
    }
}

#[test]
fn each_option_may_be_given_once() {
    let server = Server::start();
    let mut client = server.client();
    for words in ["WITHSTATS WITHSTATS", "WITHCODE WITHSTATS withstats", "WITHSTAT", "LIBRARYNAME * WITHSTATS x"] {
        let last = words.split(' ').next_back().expect("a word");
        assert_eq!(
            client.run(&format!("SHADOW.FUNCTION LIST {words}")),
            Value::Error(format!("ERR Unknown argument {last}"))
        );
    }
    load_many(&mut client, 1);
    assert_eq!(client.run("SHADOW.FUNCTION LIST LIBRARYNAME WITHSTATS"), Value::Array(Vec::new()), "it is a pattern");
}

#[test]
fn the_statistics_of_a_library_tell_its_source_and_when_it_was_loaded() {
    let server = Server::start();
    let mut client = server.client();
    let time = |client: &mut Client| {
        let parts: Vec<i64> =
            client.run("TIME").items().iter().map(|part| part.text().parse().expect("digits")).collect();
        parts[0] * 1000 + parts[1] / 1000
    };
    let before = time(&mut client);
    load(&mut client, "#!lua name=a\nredis.register_function('f', function() return 1 end)");
    let first = with_stats(&mut client, "a");
    let after = time(&mut client);
    assert!((before..=after).contains(&number(&first, "loaded_at_ms")), "{first:?} from {before} to {after}");
    assert_eq!(
        first.field("sha256").expect("a version").text(),
        "eaecb92639dc50592b442aa9a9165db6418a80ba1456fc2552c986ad6abd148f"
    );
    load(&mut client, "#!lua name=a\nredis.register_function('f', function() return 2 end)");
    let second = with_stats(&mut client, "a");
    assert_ne!(second.field("sha256"), first.field("sha256"));
    assert!(number(&second, "loaded_at_ms") >= number(&first, "loaded_at_ms"));
    load(&mut client, "#!lua name=a\nredis.register_function('f', function() return 1 end)");
    assert_eq!(with_stats(&mut client, "a").field("sha256"), first.field("sha256"));
}

#[test]
fn the_bytes_of_libraries_add_up_to_what_they_take() {
    let server = Server::start();
    let mut client = server.client();
    let held =
        |client: &mut Client| client.info_number("shadow_vm_bytes") + client.info_number("shadow_registry_bytes");
    let before = held(&mut client);
    load_many(&mut client, 2_000);
    let taken = held(&mut client) - before;
    let list = client.run("SHADOW.FUNCTION LIST WITHSTATS").items();
    let sum: i64 = list.iter().map(|entry| number(entry, "bytes")).sum();
    // Some of what a load throws away has been collected since; and the tables that find libraries belong to none.
    assert!(sum > taken * 8 / 10 && sum <= taken * 14 / 10, "{sum} of {taken}");
}

#[test]
fn what_others_throw_away_is_not_taken_from_the_bytes_of_a_library() {
    let server = Server::start();
    let mut client = server.client();
    let large = |name: &str| {
        let numbers = "1,".repeat(20_000);
        source(
            name,
            &format!("local keep = {{{numbers}}} redis.register_function('{name}', function() return #keep end)"),
        )
    };
    let small = |round: usize| source("small", &format!("redis.register_function('f', function() return {round} end)"));
    let mut seen = Vec::new();
    for round in 100..160 {
        load(&mut client, &large("large"));
        load(&mut client, &small(round));
        seen.push(number(&with_stats(&mut client, "small"), "bytes"));
    }
    let large = number(&with_stats(&mut client, "large"), "bytes");
    assert!((320_000..900_000).contains(&large), "{large}");
    let (least, most) = (seen.iter().min().expect("bytes"), seen.iter().max().expect("bytes"));
    assert!(*least > 400 && *most < 2_000, "{least} to {most}");
}
