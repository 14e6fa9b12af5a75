//! The keys that inner commands reach and their call does not declare.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::list::{field_names, number};
use crate::support::library::{load, source};
use crate::support::replicas::{follow, wait_in_step};
use crate::support::resp::encode;
use crate::support::server::{free_port, module_path};
use crate::support::{Client, KINDS, Kind, Options, Server, Value, Words, wait_until};

/// Runs the command that ARGV is; its error is a value.
const ANY: &str = "return redis.pcall(unpack(ARGV))";

/// A server whose module has these load arguments.
fn start(arguments: &str) -> Server {
    Options::new().module_arguments(arguments).start()
}

fn set(client: &mut Client, name: &str, value: &str) {
    assert_eq!(client.call(&["CONFIG", "SET", &format!("shadow.{name}"), value]).text(), "OK", "{name} {value}");
}

/// What was found of a function or a script; None for nothing.
fn findings(client: &mut Client, kind: Kind, callee: &str) -> Option<Value> {
    let reply = kind.run(client, &format!("KEYS {callee}"));
    assert!(matches!(reply, Value::Array(_)), "{reply:?}");
    let mut found = reply.items();
    assert!(found.len() <= 1, "{found:?}");
    found.pop()
}

fn bytes(entry: &Value, field: &str) -> Vec<u8> {
    match entry.field(field) {
        Some(Value::Bulk(bytes)) => bytes,
        other => panic!("{field} is {other:?} in {entry:?}"),
    }
}

fn cases(entry: &Value) -> Vec<Value> {
    entry.field("cases").expect("cases").items()
}

/// The command, the key and the line of each case.
fn places(entry: &Value) -> Vec<(String, String, i64)> {
    let text = |case: &Value, field| String::from_utf8_lossy(&bytes(case, field)).into_owned();
    cases(entry).iter().map(|case| (text(case, "command"), text(case, "key"), number(case, "line"))).collect()
}

/// The commands and how often each was found.
fn commands(entry: &Value) -> Vec<(String, i64)> {
    let commands = entry.field("commands").expect("commands");
    let counts = commands.items();
    counts.chunks(2).map(|pair| (pair[0].text(), pair[1].text().parse().expect("a count"))).collect()
}

/// `undeclared_keys` and `undeclared_keys_denied` of INFO.
fn totals(client: &mut Client, kind: Kind) -> [i64; 2] {
    ["undeclared_keys", "undeclared_keys_denied"].map(|field| kind.info_number(client, field))
}

const FOUR: &str = "redis.call('SET', KEYS[1], 'x')
    redis.call('GET', 'other')
    redis.call('get', ARGV[1])
    return redis.call('MSET', KEYS[1], '1', 'third', '2')";

#[test]
fn a_report_names_commands_keys_and_lines() {
    for kind in KINDS {
        let server = start("undeclared-keys report");
        let mut client = server.client();
        let callee = kind.prepare(&mut client, "four", FOUR);
        assert_eq!(kind.run(&mut client, "KEYS"), Value::Array(Vec::new()));
        let time = |client: &mut Client| client.run("TIME").items()[0].text().parse::<i64>().expect("seconds") * 1_000;
        let before = time(&mut client);
        assert_eq!(kind.call(&mut client, &callee, &["own"], &["second"]).text(), "OK");
        let after = time(&mut client) + 1_000;
        for protocol in [2, 3] {
            if protocol == 3 {
                client.hello3();
            }
            let found = findings(&mut client, kind, &callee).expect("findings");
            assert_eq!(matches!(found, Value::Map(_)), protocol == 3);
            let library: &[&str] = if kind == Kind::Function { &["library"] } else { &[] };
            let expected = [&[kind.word()], library, &["undeclared", "denied", "commands", "cases"]].concat();
            assert_eq!(field_names(&found), expected);
            assert_eq!(bytes(&found, kind.word()), callee.as_bytes());
            if kind == Kind::Function {
                assert_eq!(bytes(&found, "library"), b"four_lib");
            }
            assert_eq!((number(&found, "undeclared"), number(&found, "denied")), (3, 0));
            assert_eq!(commands(&found), [("get".to_owned(), 2), ("mset".to_owned(), 1)]);
            let expected = [("mset", "third", 5), ("get", "second", 4), ("get", "other", 3)];
            assert_eq!(places(&found), expected.map(|(command, key, line)| (command.into(), key.into(), line)));
            for case in cases(&found) {
                assert_eq!(
                    field_names(&case),
                    ["command", "key", "line", "declared", "time_ms", "count", "denied"],
                    "{case:?}"
                );
                assert_eq!(case.field("declared"), Some(Value::Array(vec![Value::Bulk(b"own".to_vec())])));
                assert!((before..=after).contains(&number(&case, "time_ms")), "{case:?} from {before} to {after}");
                let no = if protocol == 3 { Value::Boolean(false) } else { Value::Integer(0) };
                assert_eq!((number(&case, "count"), case.field("denied")), (1, Some(no)));
            }
        }
        kind.call(&mut client, &callee, &["own"], &["another"]);
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(places(&found)[1], ("get".to_owned(), "another".to_owned(), 4), "the last key of the place");
        assert!(cases(&found).iter().all(|case| number(case, "count") == 2), "{found:?}");
        assert_eq!(totals(&mut client, kind), [6, 0]);
        let other = KINDS[usize::from(kind == Kind::Function)];
        assert_eq!((totals(&mut client, other), other.run(&mut client, "KEYS").items()), ([0, 0], Vec::new()));
        // All of them are declared now.
        kind.call(&mut client, &callee, &["own", "other", "third", "second"], &["second"]);
        assert_eq!(totals(&mut client, kind), [6, 0]);
    }
}

#[test]
fn nothing_is_looked_for_until_somebody_asks() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "four", FOUR);
        let call = |client: &mut Client| assert_eq!(kind.call(client, &callee, &["own"], &["second"]).text(), "OK");
        call(&mut client);
        assert_eq!(totals(&mut client, kind), [0, 0]);
        set(&mut client, "undeclared-keys", "report");
        call(&mut client);
        assert_eq!(totals(&mut client, kind), [3, 0]);
        set(&mut client, "undeclared-keys", "off");
        call(&mut client);
        assert_eq!(totals(&mut client, kind), [3, 0], "and what was found stays");
        assert!(findings(&mut client, kind, &callee).is_some());
    }
}

#[test]
fn what_was_found_goes_with_resetstat_with_the_library_and_with_a_flush() {
    let server = start("undeclared-keys report");
    let mut client = server.client();
    for kind in KINDS {
        let (name, body) = ("four", FOUR);
        for end in ["SHADOW.FUNCTION RESETSTAT", "REPLACE", "FLUSH SYNC", "FLUSH ASYNC"] {
            let callee = kind.prepare(&mut client, name, body);
            kind.call(&mut client, &callee, &["own"], &["second"]);
            assert!(findings(&mut client, kind, &callee).is_some(), "before {end}");
            let before = totals(&mut client, kind);
            match end {
                "SHADOW.FUNCTION RESETSTAT" => {
                    client.run(end);
                    assert_eq!(totals(&mut client, kind), [0, 0]);
                }
                "REPLACE" if kind == Kind::Script => continue,
                "REPLACE" => {}
                flush => drop(kind.run(&mut client, flush)),
            }
            kind.prepare(&mut client, name, body);
            let left = findings(&mut client, kind, &callee);
            assert_eq!(left, None, "{kind:?} after {end}");
            if !end.ends_with("RESETSTAT") {
                assert_eq!(totals(&mut client, kind), before, "the totals go on");
            }
        }
        client.run("SHADOW.FUNCTION RESETSTAT");
    }
}

#[test]
fn the_last_places_are_kept_and_all_are_counted() {
    let server = start("undeclared-keys report");
    let mut client = server.client();
    for kind in KINDS {
        let body: Vec<String> = (0..36).map(|number| format!("redis.call('GET', 'key{number}')")).collect();
        let callee = kind.prepare(&mut client, "many", &body.join("\n"));
        for _ in 0..3 {
            kind.call::<&str>(&mut client, &callee, &[], &[]);
        }
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(number(&found, "undeclared"), 108);
        assert_eq!(commands(&found), [("get".to_owned(), 108)]);
        let expected: Vec<_> = (4..36).rev().map(|key| ("get".to_owned(), format!("key{key}"), key + 2)).collect();
        assert_eq!(places(&found), expected);
    }
}

#[test]
fn what_is_kept_of_keys_is_short() {
    let server = start("undeclared-keys report");
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return redis.call('GET', ARGV[1])");
        let long = "k".repeat(128);
        for (key, shown) in [
            (long.clone(), long.clone()),
            (format!("{long}12"), format!("{long}... (2 more bytes)")),
            ("x".repeat(1 << 20), format!("{}... (1048448 more bytes)", "x".repeat(128))),
        ] {
            let mut declared: Vec<String> = (0..40).map(|number| format!("d{number}")).collect();
            declared[0] = format!("{long}123");
            kind.call(&mut client, &callee, &declared, &[key]);
            let found = findings(&mut client, kind, &callee).expect("findings");
            let case = &cases(&found)[0];
            assert_eq!(bytes(case, "key"), shown.as_bytes());
            let kept: Vec<String> = case.field("declared").expect("keys").items().iter().map(Value::text).collect();
            assert_eq!(kept.len(), 8);
            assert_eq!(kept[0], format!("{long}... (3 more bytes)"));
            assert_eq!(kept[7], "... (33 more arguments)");
        }
    }
}

#[test]
fn what_users_store_can_be_hidden() {
    let server = start("undeclared-keys report hide-user-data yes");
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return redis.call('GET', ARGV[1])");
        kind.call(&mut client, &callee, &["secret1", "secret2"], &["secret3"]);
        set(&mut client, "undeclared-keys", "deny");
        let refused = kind.call(&mut client, &callee, &["secret1"], &["secret3"]);
        assert!(refused.text().starts_with("ERR The command 'get' reaches the key '(redacted)', which"), "{refused:?}");
        let reply = String::from_utf8(client.raw(&[kind.container(), "KEYS"])).expect("plain text");
        assert!(reply.contains("(redacted)") && !reply.contains("secret"), "{reply}");
        set(&mut client, "undeclared-keys", "report");
        set(&mut client, "hide-user-data", "no");
        kind.call(&mut client, &callee, &["open1"], &["open2"]);
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(places(&found), [("get".to_owned(), "open2".to_owned(), 2)]);
        set(&mut client, "hide-user-data", "yes");
    }
}

#[test]
fn deny_refuses_a_command_before_it_runs() {
    let server = start("undeclared-keys deny");
    let mut client = server.client();
    let words = Words::of(&server);
    for kind in KINDS {
        client.run("FLUSHALL");
        let script = "return redis.call('MSET', KEYS[1], 'x', 'other', 'y')";
        let callee = kind.prepare(&mut client, "f", script);
        let place = match kind {
            Kind::Function => words.place("f", 2),
            Kind::Script => words.place_in_script(&format!("\n{script}"), 2),
        };
        let refused = "ERR The command 'mset' reaches the key 'other', which the call does not declare";
        assert_eq!(kind.call(&mut client, &callee, &["own"], &[]), Value::Error(format!("{refused}{place}")));
        assert_eq!(client.run("DBSIZE"), Value::Integer(0), "nothing of it ran");
        assert_eq!(kind.call(&mut client, &callee, &["own", "other"], &[]).text(), "OK");
        client.run("FLUSHALL");
        // The function goes on after it has seen the error.
        let body = "local r = redis.pcall('MSET', KEYS[1], 'x', 'other', 'y')
            redis.call('SET', KEYS[1], 'rest')
            return r.err";
        let callee = kind.prepare(&mut client, "g", body);
        assert_eq!(kind.call(&mut client, &callee, &["own"], &[]), Value::Bulk(refused.into()));
        assert_eq!((client.run("DBSIZE"), client.run("GET own").text()), (Value::Integer(1), "rest".to_owned()));
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!((number(&found, "undeclared"), number(&found, "denied")), (1, 1));
        assert_eq!(cases(&found)[0].field("denied"), Some(Value::Integer(1)));
        assert_eq!(totals(&mut client, kind), [2, 2]);
        assert_eq!(kind.info_number(&mut client, "failed_calls"), 1, "the one that did not catch it");
    }
}

#[test]
fn no_key_breaks_the_line_of_an_error() {
    let server = start("undeclared-keys deny");
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return redis.call(ARGV[1], ARGV[2])");
        let key = b"a'b\"c\\\r\n+OK\r\n\0\xff%s";
        let none: [&[u8]; 0] = [];
        client.send(&kind.words(&callee, &none, &[b"GET", &key[..]]));
        client.send(&["PING"]);
        let raw = client.read_raw().expect("a reply");
        let text =
            r#"-ERR The command 'get' reaches the key 'a\'b\"c\\\r\n+OK\r\n\x00\xff%s', which the call does not"#;
        assert!(raw.starts_with(text.as_bytes()), "{}", String::from_utf8_lossy(&raw));
        assert_eq!(raw.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count(), 2);
        assert_eq!(client.read().text(), "PONG");
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(bytes(&cases(&found)[0], "key"), key, "there it is as it was");
    }
}

/// Commands with their words, where `own` is declared, and the first key that is not.
const COMMANDS: &[(&str, Option<&str>)] = &[
    // The same words are keys, whatever the arguments.
    ("GET own", None),
    ("GET a", Some("a")),
    ("set a x", Some("a")),
    ("SET own x PX 1000", None),
    ("DEL own a b", Some("a")),
    ("UNLINK a b", Some("a")),
    ("EXISTS own own", None),
    ("MGET own a", Some("a")),
    ("MSET own 1 a 2", Some("a")),
    ("MSET own 1 own 2", None),
    ("MSETNX a 1 own 2", Some("a")),
    ("RENAME own a", Some("a")),
    ("LMOVE own a LEFT RIGHT", Some("a")),
    ("SMOVE own a x", Some("a")),
    ("BLPOP own a 0", Some("a")),
    ("BLPOP own 0", None),
    ("BRPOPLPUSH own a 0", Some("a")),
    ("SINTERSTORE own a b", Some("a")),
    ("PFMERGE own a", Some("a")),
    ("COPY own a", Some("a")),
    ("BITOP AND own a", Some("a")),
    ("BITOP NOT own own", None),
    ("ZRANGESTORE own a 0 -1", Some("a")),
    ("HSET own field x", None),
    ("HSET a field x", Some("a")),
    // Arguments decide.
    ("SORT own", None),
    ("SORT own STORE a", Some("a")),
    ("SORT a", Some("a")),
    ("SORT own LIMIT 0 1 ALPHA STORE own", None),
    ("SORT_RO a", Some("a")),
    ("ZUNIONSTORE own 2 own a", Some("a")),
    ("ZUNIONSTORE own 1 own WEIGHTS 1", None),
    ("ZUNIONSTORE a 1 own", Some("a")),
    ("ZUNION 2 own a", Some("a")),
    ("ZINTERCARD 1 own LIMIT 1", None),
    ("SINTERCARD 2 own a", Some("a")),
    ("LMPOP 1 a LEFT", Some("a")),
    ("BZMPOP 0 1 a MIN", Some("a")),
    ("XREAD COUNT 1 STREAMS own a 0 0", Some("a")),
    ("XREAD STREAMS own 0", None),
    ("GEORADIUS own 1 1 1 m STORE a", Some("a")),
    ("GEORADIUS own 1 1 1 m", None),
    ("GEOSEARCHSTORE own a FROMLONLAT 1 1 BYRADIUS 1 m", Some("a")),
    ("MIGRATE 127.0.0.1 1 a 0 100", Some("a")),
    ("MIGRATE 127.0.0.1 1 own 0 100", None),
    // So do subcommands.
    ("OBJECT ENCODING own", None),
    ("OBJECT ENCODING a", Some("a")),
    ("OBJECT HELP", None),
    ("MEMORY USAGE a", Some("a")),
    ("XGROUP CREATE a group $ MKSTREAM", Some("a")),
    ("XGROUP CREATE own group $", None),
    ("XINFO STREAM a", Some("a")),
    // There are none.
    ("PING", None),
    ("PING a", None),
    ("ECHO a", None),
    ("PUBLISH a x", None),
    ("SPUBLISH a x", None),
    ("DBSIZE", None),
    ("SELECT 0", None),
    ("TIME", None),
    ("FUNCTION LIST", None),
    // The server refuses these.
    ("NOSUCH a", None),
    ("GET a b", None),
    ("GET", None),
    ("MSET a", None),
    ("XGROUP CREATE a", None),
    ("OBJECT NOSUCH a", None),
    ("ZUNIONSTORE own x a", Some("a")),
    ("object|encoding a b", None),
    ("config|get a", None),
];

#[test]
fn the_keys_of_a_command_are_those_that_the_server_sees() {
    let server = start("undeclared-keys report");
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", ANY);
        for (line, expected) in COMMANDS {
            let words: Vec<&str> = line.split(' ').collect();
            // A second time, when the command is known.
            for _ in 0..2 {
                client.run("SHADOW.FUNCTION RESETSTAT");
                set(&mut client, "undeclared-keys", "off");
                client.run("FLUSHALL");
                let without = kind.call(&mut client, &callee, &["own"], &words);
                set(&mut client, "undeclared-keys", "report");
                client.run("FLUSHALL");
                let reply = kind.call(&mut client, &callee, &["own"], &words);
                if !["TIME", "FUNCTION LIST"].contains(line) {
                    assert_eq!(reply, without, "{line}");
                }
                let found = findings(&mut client, kind, &callee);
                let key = found.as_ref().map(|found| places(found).remove(0));
                // What the server itself says of the keys.
                let command = [vec!["COMMAND", "GETKEYS"], words.clone()].concat();
                let keys: Vec<String> = client.call(&command).items().iter().map(Value::text).collect();
                let first = keys.iter().find(|key| *key != "own");
                let expected = if *line == "ZUNIONSTORE own x a" { first.map(String::as_str) } else { *expected };
                assert_eq!(key.as_ref().map(|(_, key, _)| key.as_str()), expected, "{line}: {found:?}");
                if line.starts_with("SPUBLISH") {
                    continue;
                }
                assert_eq!(first.map(String::as_str), expected, "{line}: GETKEYS says {keys:?}");
            }
        }
    }
}

#[test]
fn commands_that_the_server_refuses_are_refused_in_its_words() {
    let server = start("undeclared-keys deny");
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", ANY);
        for words in [&["nosuch", "a"][..], &["get", "a", "b"], &["config", "get", "a"], &["object", "nosuch", "a"]] {
            let reply = kind.call(&mut client, &callee, &["own"], words);
            let own = client.call(&[&["EVAL", ANY, "1", "own"][..], words].concat());
            assert!(reply.is_error() && reply == own, "{words:?}: {reply:?}, {own:?} of the server");
        }
        assert_eq!(totals(&mut client, kind), [0, 0]);
    }
}

#[test]
fn any_number_of_keys_can_be_declared() {
    let server = start("undeclared-keys deny");
    let mut client = server.client();
    for kind in KINDS {
        let body = "for _, key in ipairs(KEYS) do redis.call('SET', key, 'x') end
            redis.call('DEL', unpack(KEYS))
            return redis.pcall('GET', ARGV[1]).err or 'none'";
        let callee = kind.prepare(&mut client, "f", body);
        for count in [1, 8, 9, 32, 1_000] {
            let keys: Vec<String> = (0..count).map(|number| format!("key{number}")).collect();
            let reply = kind.call(&mut client, &callee, &keys, &[format!("key{count}")]);
            let expected = format!("reaches the key 'key{count}', which");
            assert!(reply.text().contains(&expected), "{count}: {reply:?}");
        }
        assert_eq!(totals(&mut client, kind), [5, 5]);
    }
}

#[test]
fn the_line_is_that_of_the_command() {
    let server = start("undeclared-keys report");
    let mut client = server.client();
    for kind in KINDS {
        let body = "local function inner(key)
                return redis.call('GET', key)
            end
            inner('three')
            pcall(redis.call, 'GET', 'six')
            pcall(function()
                redis.call('GET', 'eight')
            end)
            coroutine.wrap(function()
                redis.call('GET', 'eleven')
            end)()
            for i = 1, 100 do
                redis.pcall('GET', 'fourteen')
            end";
        let callee = kind.prepare(&mut client, "f", body);
        kind.call::<&str>(&mut client, &callee, &[], &[]);
        let found = findings(&mut client, kind, &callee).expect("findings");
        let lines: Vec<(String, i64)> = places(&found).into_iter().map(|(_, key, line)| (key, line)).collect();
        let expected = [("fourteen", 14), ("eleven", 11), ("eight", 8), ("six", 6), ("three", 3)];
        assert_eq!(lines, expected.map(|(key, line)| (key.to_owned(), line)));
        assert_eq!(number(&cases(&found)[0], "count"), 100);
    }
}

#[test]
fn read_only_calls_are_held_as_well() {
    let server = start("undeclared-keys deny");
    let mut client = server.client();
    client.run("SET other x");
    let code = "redis.register_function{function_name='f', flags={'no-writes'},
        callback=function(KEYS) return redis.call('GET', 'other') end}";
    load(&mut client, &source("mylib", code));
    for declared in [false, true] {
        let keys: &[&str] = if declared { &["1", "other"] } else { &["0"] };
        for head in [["SHADOW.FCALL_RO", "f"], ["SHADOW.EVAL_RO", "return redis.call('GET', 'other')"]] {
            let reply = client.call(&[&head[..], keys].concat());
            assert_eq!(reply.is_error(), !declared, "{reply:?}");
            assert_eq!(reply.text().contains("'get' reaches the key 'other'"), !declared, "{reply:?}");
        }
    }
}

/// A library with the functions `f`, which sets the key `other`, and `g`, which sets what is declared.
fn bound(word: &str) -> String {
    format!(
        "#!lua name=bound {word}\n\
         redis.register_function('f', function(KEYS) return redis.call('SET', 'other', 'x') end)\n\
         redis.register_function('g', function(KEYS) return redis.call('SET', KEYS[1], 'x') end)"
    )
}

fn is_bound(client: &mut Client) -> bool {
    assert_eq!(client.run("SHADOW.FCALL g 1 own").text(), "OK");
    let reply = client.run("SHADOW.FCALL f 1 own");
    assert!(reply.text() == "OK" || reply.text().contains("'set' reaches the key 'other', which"), "{reply:?}");
    reply.is_error()
}

#[test]
fn a_library_binds_itself_whatever_the_setting_says() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &bound(""));
    assert!(!is_bound(&mut client));
    for word in ["keys=declared", "KEYS=Declared", "'keys=declared'"] {
        load(&mut client, &bound(word));
        for setting in ["off", "report", "deny"] {
            set(&mut client, "undeclared-keys", setting);
            assert!(is_bound(&mut client), "{word}, {setting}");
        }
    }
    set(&mut client, "undeclared-keys", "off");
    assert_eq!(client.call(&["SHADOW.EVAL", "return redis.call('SET', 'other', 'x')", "0"]).text(), "OK");
    let found = findings(&mut client, Kind::Function, "F").expect("findings");
    assert_eq!((number(&found, "undeclared"), number(&found, "denied")), (3, 3));
    for word in ["keys=any", "keys=", "keys", "keys=declared,"] {
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &bound(word)]);
        assert_eq!(reply, Value::Error(format!("ERR Invalid metadata value given: {word}")));
        assert!(is_bound(&mut client), "the old one is still there");
    }
    load(&mut client, &bound(""));
    assert!(!is_bound(&mut client));
}

#[test]
fn a_library_stays_bound_in_files_and_on_replicas() {
    let options = Options::new().set("appendonly", "yes").set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, &bound("keys=declared"));
    let replica = Options::new().set("replica-read-only", "no").start();
    follow(&replica, &server);
    wait_in_step(&server, &replica);
    assert!(is_bound(&mut replica.client()), "after a full synchronisation");
    load(&mut client, &bound(""));
    load(&mut client, &bound("keys=declared"));
    wait_in_step(&server, &replica);
    assert!(is_bound(&mut replica.client()), "after LOAD");
    wait_until("the snapshot for the replica is done", || client.run("SAVE").text() == "OK");
    assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
    assert!(is_bound(&mut client), "after a snapshot");
    server.restart(&options);
    let mut client = server.client();
    assert!(is_bound(&mut client), "out of the append-only file");
    client.run("BGREWRITEAOF");
    wait_until("the file is rewritten", || client.info_number("aof_rewrite_in_progress") == 0);
    wait_until("it is in use", || client.info("aof_last_bgrewrite_status").as_deref() == Some("ok"));
    server.restart(&options);
    let mut client = server.client();
    assert!(is_bound(&mut client), "out of the rewritten file");
    let dump = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let start = dump.windows(2).position(|pair| pair == b"\r\n").expect("a length") + 2;
    client.run("SHADOW.FUNCTION FLUSH");
    let reply = client.call(&[&b"SHADOW.FUNCTION"[..], b"RESTORE", &dump[start..dump.len() - 2]]);
    assert_eq!(reply.text(), "OK");
    assert!(is_bound(&mut client), "after RESTORE");
    let stock = client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump[start..dump.len() - 2]]);
    assert_eq!(stock, Value::Error("ERR Invalid metadata value given: keys=declared".to_owned()));
}

#[test]
fn what_comes_out_of_a_file_is_not_held() {
    let options = Options::new().set("appendonly", "yes").module_arguments("undeclared-keys deny");
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, &bound("keys=declared"));
    assert!(is_bound(&mut client));
    let aof = std::fs::read_dir(server.directory().join("appendonlydir")).expect("the directory");
    let mut files = aof.map(|entry| entry.expect("a file").path());
    let file = files.find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("the file of commands");
    server.kill();
    let mut file = OpenOptions::new().append(true).open(file).expect("the file is opened");
    file.write_all(&encode(&["SHADOW.FCALL", "f", "1", "own"])).expect("the command is written");
    drop(file);
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(client.run("GET other").text(), "x");
    assert_eq!(totals(&mut client, Kind::Function), [0, 0]);
    assert!(is_bound(&mut client));
}

/// A way from replicas to a master, into which commands can be put that no master of today sends: its port, and the
/// replica's end of each connection.
fn way_to(master: &Server) -> (u16, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (master, (sender, links)) = (master.port(), mpsc::channel());
    thread::spawn(move || {
        // Some servers connect twice. The master is gone once the test has ended.
        for below in listener.incoming().map_while(Result::ok) {
            let Ok(above) = TcpStream::connect((Ipv4Addr::LOCALHOST, master)) else { return };
            for (from, to) in [(&below, &above), (&above, &below)] {
                let mut ends = [from, to].map(|end| end.try_clone().expect("a second handle"));
                thread::spawn(move || {
                    let [from, to] = &mut ends;
                    // Either end may close the link.
                    drop(io::copy(from, to));
                });
            }
            drop(sender.send(below));
        }
    });
    (port, links)
}

#[test]
fn what_comes_from_the_master_is_not_held() {
    let (master, replica) = (Server::start(), start("undeclared-keys deny"));
    let mut client = replica.client();
    load(&mut master.client(), &bound("keys=declared"));
    let (port, links) = way_to(&master);
    client.run(&format!("REPLICAOF 127.0.0.1 {port}"));
    wait_until("the replica follows", || client.info("master_link_status").as_deref() == Some("up"));
    let script = "return redis.call('SET', 'second', 'x')";
    let commands = [encode(&["SHADOW.FCALL", "f", "1", "own"]), encode(&["SHADOW.EVAL", script, "0"])].concat();
    // Redis 8 takes the snapshot by a connection of its own, which it has closed.
    for mut link in links.try_iter() {
        drop(link.write_all(&commands));
    }
    wait_until("the function has run", || client.run("GET other").text() == "x");
    wait_until("the script has run", || client.run("GET second").text() == "x");
    assert_eq!(KINDS.map(|kind| totals(&mut client, kind)), [[0, 0]; 2]);
}

#[test]
fn without_command_the_server_is_asked_each_time() {
    let server = Options::new().rename_command("COMMAND", "").module_arguments("undeclared-keys report").start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "four", FOUR);
        kind.call(&mut client, &callee, &["own"], &["second"]);
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(commands(&found), [("get".to_owned(), 2), ("mset".to_owned(), 1)]);
    }
}

#[test]
fn a_module_that_comes_later_changes_nothing_for_the_others() {
    // The module itself comes when the server runs: its commands are known from then on.
    let server = Options::new().without_module().start();
    let mut client = server.client();
    let path = module_path().to_string_lossy().into_owned();
    assert_eq!(client.call(&["MODULE", "LOAD", &path, "undeclared-keys", "report"]).text(), "OK");
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "four", FOUR);
        kind.call(&mut client, &callee, &["own"], &["second"]);
        assert_eq!(totals(&mut client, kind), [3, 0]);
    }
}

#[test]
fn in_a_cluster_the_rules_for_slots_hold_beside_those_for_declared_keys() {
    let server = Options::new().set("cluster-enabled", "yes").set("cluster-port", &free_port().to_string()).start();
    let mut client = server.client();
    assert_eq!(client.run("CLUSTER ADDSLOTSRANGE 0 16383").text(), "OK");
    wait_until("the cluster is complete", || client.run("CLUSTER INFO").text().contains("cluster_state:ok"));
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", ANY);
        set(&mut client, "undeclared-keys", "report");
        assert_eq!(kind.call(&mut client, &callee, &["{a}1"], &["SET", "{a}2", "x"]).text(), "OK");
        let found = findings(&mut client, kind, &callee).expect("findings");
        assert_eq!(places(&found), [("set".to_owned(), "{a}2".to_owned(), 2)]);
        set(&mut client, "undeclared-keys", "deny");
        let refused = kind.call(&mut client, &callee, &["{a}1"], &["SET", "{a}2", "x"]);
        assert!(refused.text().contains("'set' reaches the key '{a}2', which"), "{refused:?}");
        set(&mut client, "undeclared-keys", "off");
        let crossing = kind.call(&mut client, &callee, &["{a}1"], &["MGET", "{a}1", "{b}1"]);
        assert!(crossing.is_error(), "{crossing:?}");
        assert_eq!(kind.call(&mut client, &callee, &["{a}1"], &["PING"]).text(), "PONG");
    }
}

#[test]
fn a_wrong_word_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let words = Words::of(&server);
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        let wrong_arity =
            format!("ERR wrong number of arguments for '{}|keys' command", kind.container().to_lowercase());
        for (line, text) in [
            ("KEYS nosuch".to_owned(), kind.unknown(words)),
            (format!("KEYS {}", "0".repeat(40)), kind.unknown(words)),
            (format!("KEYS {callee} {callee}"), &wrong_arity),
        ] {
            assert_eq!(kind.run(&mut client, &line), Value::Error(text.to_owned()), "{line}");
        }
        assert_eq!(kind.run(&mut client, &format!("keys {}", callee.to_uppercase())), Value::Array(Vec::new()));
    }
    for value in ["on", "yes", ""] {
        let reply = client.call(&["CONFIG", "SET", "shadow.undeclared-keys", value]);
        assert!(reply.text().contains("must be one of the following: off, report, deny"), "{value}: {reply:?}");
    }
}
