//! The calls that took long.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sha2::{Digest, Sha256};

use crate::list::{field_names, number};
use crate::support::library::source;
use crate::support::resp::{encode, parse};
use crate::support::{Client, KINDS, Kind, Options, Server, Value, wait_until};

const NONE: [&str; 0] = [];

/// A server that keeps every call.
fn start() -> Server {
    Options::new().set("slowlog-log-slower-than", "0").start()
}

fn slow_calls(client: &mut Client, kind: Kind) -> Vec<Value> {
    let reply = kind.run(client, "SLOWLOG GET -1");
    assert!(!reply.is_error(), "{reply:?}");
    reply.items()
}

fn len(client: &mut Client, kind: Kind) -> i64 {
    kind.run(client, "SLOWLOG LEN").text().parse().expect("a number")
}

/// The ids of the slow calls.
fn ids(client: &mut Client, kind: Kind) -> Vec<i64> {
    slow_calls(client, kind).iter().map(|call| number(call, "id")).collect()
}

fn text(call: &Value, field: &str) -> String {
    call.field(field).unwrap_or_else(|| panic!("no {field} in {call:?}")).text()
}

fn texts(call: &Value, field: &str) -> Vec<String> {
    call.field(field).unwrap_or_else(|| panic!("no {field} in {call:?}")).items().iter().map(Value::text).collect()
}

/// The last entry of the server's own slow log whose command is a call of ours.
fn own_entry(client: &mut Client, kind: Kind) -> Vec<Value> {
    let command = String::from_utf8(kind.words("", &NONE, &NONE)[0].clone()).expect("a name");
    let entries = client.run("SLOWLOG GET -1").items();
    let is = |entry: &Vec<Value>| entry[3].items()[0].text().eq_ignore_ascii_case(&command);
    entries.iter().map(Value::items).find(is).expect("the server logs it as well")
}

#[test]
fn an_entry_tells_what_was_called_by_whom_and_what_took_the_time() {
    for kind in KINDS {
        let server = start();
        let (mut client, mut caller) = (server.client(), server.client());
        let body = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('PING')
            for i = 1, 20 do redis.call('bitcount', KEYS[1]) end return 1";
        let callee = kind.prepare(&mut client, "f", body);
        client.call(&["SET", "long", &"x".repeat(10 << 20)]);
        assert_eq!(caller.run("CLIENT SETNAME me").text(), "OK");
        caller.call(&["SETRANGE", "own", "20000000", "x"]);
        assert_eq!(kind.call(&mut caller, &callee, &["own", "second"], &["value", "", "x\r\ny"]), Value::Integer(1));
        for protocol in [2, 3] {
            if protocol == 3 {
                client.hello3();
            }
            let calls = slow_calls(&mut client, kind);
            assert_eq!(calls.len(), 1);
            let call = &calls[0];
            assert_eq!(matches!(call, Value::Map(_)), protocol == 3);
            let library: &[&str] = if kind == Kind::Function { &["library", "sha256"] } else { &[] };
            let fields = [
                &["id", "time", "usec", kind.word()][..],
                library,
                &["keys", "arguments", "commands", "commands_usec", "slowest_command", "slowest_command_usec"],
                &["client_addr", "client_name"],
            ];
            assert_eq!(field_names(call), fields.concat());
            assert_eq!((number(call, "id"), text(call, kind.word())), (0, callee.clone()));
            if kind == Kind::Function {
                let function = format!("redis.register_function('f', function(KEYS, ARGV) {body} end)");
                let version = Sha256::digest(source("f_lib", &function));
                let version: String = version.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!((text(call, "library"), text(call, "sha256")), ("f_lib".to_owned(), version));
            }
            assert_eq!(texts(call, "keys"), ["own", "second"]);
            assert_eq!(texts(call, "arguments"), ["value", "", "x\r\ny"]);
            assert_eq!((number(call, "commands"), text(call, "client_name")), (22, "me".to_owned()));
            let [all, inner, slowest] =
                ["usec", "commands_usec", "slowest_command_usec"].map(|field| number(call, field));
            assert!(slowest <= inner && inner <= all, "{call:?}");
            let own = own_entry(&mut client, kind);
            assert_eq!(own[4].text(), text(call, "client_addr"));
            assert_eq!(own[5].text(), text(call, "client_name"));
            assert!((number(call, "time") - own[1].text().parse::<i64>().expect("seconds")).abs() <= 1, "{own:?}");
            // The server's clock begins before and ends after.
            assert!(all <= own[2].text().parse::<i64>().expect("microseconds") * 101 / 100 + 100, "{all} of {own:?}");
        }
        assert_eq!(kind.info_number(&mut client, "slow_calls"), 1);
        let other = KINDS[usize::from(kind == Kind::Function)];
        assert_eq!((len(&mut client, other), other.info_number(&mut client, "slow_calls")), (0, 0));
    }
}

#[test]
fn the_slowest_command_is_named() {
    let server = start();
    let mut client = server.client();
    client.run("SETRANGE long 100000000 x");
    for kind in KINDS {
        let body = "redis.call('PING') redis.call('BitCount', 'long') redis.call('GET', 'none')";
        let callee = kind.prepare(&mut client, "f", body);
        kind.call(&mut client, &callee, &NONE, &NONE);
        let call = &slow_calls(&mut client, kind)[0];
        assert_eq!((text(call, "slowest_command"), number(call, "commands")), ("BitCount".to_owned(), 3));
        let (slowest, inner) = (number(call, "slowest_command_usec"), number(call, "commands_usec"));
        assert!(slowest * 2 > inner, "{slowest} of {inner}");
        let callee = kind.prepare(&mut client, "g", "return 1");
        kind.call(&mut client, &callee, &NONE, &NONE);
        let call = &slow_calls(&mut client, kind)[0];
        assert_eq!(call.field("slowest_command"), Some(Value::Null));
        assert_eq!(["commands", "commands_usec", "slowest_command_usec"].map(|field| number(call, field)), [0; 3]);
    }
}

#[test]
fn the_servers_settings_say_what_is_slow_and_how_much_is_kept() {
    let server = Server::start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end");
        let call = |client: &mut Client, rounds| kind.call(client, &callee, &NONE, &[rounds]);
        call(&mut client, "3000000");
        assert_eq!(len(&mut client, kind), 0, "-1 is for no log");
        // 9223372036854775807 is the greatest that the server takes.
        for none in ["9223372036854775807", "4611686018427387904", "36893488147419104"] {
            assert_eq!(client.run(&format!("CONFIG SET slowlog-log-slower-than {none}")).text(), "OK");
            call(&mut client, "1");
            assert_eq!(len(&mut client, kind), 0, "{none}");
        }
        client.run("CONFIG SET slowlog-log-slower-than 2000");
        wait_until("long calls are slow", || {
            call(&mut client, "10000000");
            len(&mut client, kind) > 0
        });
        kind.run(&mut client, "SLOWLOG RESET");
        for _ in 0..20 {
            call(&mut client, "1");
        }
        assert!(len(&mut client, kind) < 5, "short calls are not");
        client.run("CONFIG SET slowlog-log-slower-than 0");
        wait_until("all calls are slow", || {
            kind.run(&mut client, "SLOWLOG RESET");
            call(&mut client, "1");
            len(&mut client, kind) == 1
        });
        client.run("CONFIG SET slowlog-max-len 3");
        wait_until("three are kept", || {
            (0..5).for_each(|_| drop(call(&mut client, "1")));
            len(&mut client, kind) == 3
        });
        let kept = ids(&mut client, kind);
        assert!(kept[0] == kept[1] + 1 && kept[1] == kept[2] + 1, "{kept:?}");
        assert_eq!(client.info_number(&format!("{}slow_calls", kind.prefix())), kept[0] + 1);
        client.run("CONFIG SET slowlog-max-len 0");
        wait_until("none is kept", || {
            call(&mut client, "1");
            len(&mut client, kind) == 0
        });
        client.run("CONFIG SET slowlog-max-len 128");
        wait_until("they are kept again", || {
            call(&mut client, "1");
            len(&mut client, kind) > 0
        });
        client.run("CONFIG SET slowlog-log-slower-than -1");
        wait_until("nothing is slow", || {
            kind.run(&mut client, "SLOWLOG RESET");
            call(&mut client, "1");
            len(&mut client, kind) == 0
        });
    }
}

#[test]
fn what_is_asked_for_is_returned_the_last_first_and_ids_go_on() {
    let server = start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        for number in 0..12 {
            kind.call(&mut client, &callee, &NONE, &[number.to_string().as_str()]);
        }
        assert_eq!((len(&mut client, kind), ids(&mut client, kind)), (12, (0..12).rev().collect()));
        let count = |client: &mut Client, words: &str| kind.run(client, &format!("SLOWLOG {words}")).items().len();
        for (words, expected) in
            [("GET", 10), ("get 3", 3), ("GET 0", 0), ("GET 100", 12), ("Get -1", 12), ("GET 9223372036854775807", 12)]
        {
            assert_eq!(count(&mut client, words), expected, "{words}");
        }
        assert_eq!(texts(&slow_calls(&mut client, kind)[0], "arguments"), ["11"]);
        assert_eq!(kind.run(&mut client, "SLOWLOG RESET").text(), "OK");
        assert_eq!((len(&mut client, kind), count(&mut client, "GET")), (0, 0));
        kind.call(&mut client, &callee, &NONE, &NONE);
        assert_eq!(ids(&mut client, kind), [12]);
        client.run("SHADOW.FUNCTION RESETSTAT");
        assert_eq!(kind.info_number(&mut client, "slow_calls"), 0);
        kind.run(&mut client, "FLUSH SYNC");
        assert_eq!(ids(&mut client, kind), [12], "what was called may be gone");
    }
}

#[test]
fn texts_are_cut_as_in_the_servers_own_entry() {
    let server = start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        let words = |length: usize| "w".repeat(length);
        let (keys, arguments) = ([words(128), words(129)], [words(127), words(1 << 20), "\0\u{e9}".to_owned()]);
        kind.call(&mut client, &callee, &keys, &arguments);
        let own: Vec<Value> = own_entry(&mut client, kind)[3].items();
        let call = &slow_calls(&mut client, kind)[0];
        let items = |field| call.field(field).expect("words").items();
        assert_eq!([items("keys"), items("arguments")].concat(), own[3..]);
        for count in [31, 32, 33, 1_000] {
            let many: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            kind.call(&mut client, &callee, &many, &many);
            let own = own_entry(&mut client, kind)[3].items();
            let call = &slow_calls(&mut client, kind)[0];
            for field in ["keys", "arguments"] {
                let kept = texts(call, field);
                if count <= 32 {
                    assert_eq!(kept, many);
                    continue;
                }
                // Each of the two is cut as the server cuts the whole command.
                assert_eq!(kept.len(), own.len());
                assert_eq!(kept[..31], many[..31]);
                let last = |count: usize| format!("... ({} more arguments)", count - 31);
                assert_eq!(kept[31], last(count));
                assert_eq!(own[31].text(), last(3 + 2 * count));
            }
        }
    }
}

#[test]
fn secrets_are_hidden() {
    let server = Options::new().set("slowlog-log-slower-than", "0").module_arguments("hide-user-data yes").start();
    let mut client = server.client();
    for kind in KINDS {
        let body =
            "if ARGV[2] then redis.call('SET', 'own', 'x') redis.pcall('migrate', '127.0.0.1', 1, 'own', 0, 1) end";
        let callee = kind.prepare(&mut client, "f", body);
        client.run("CONFIG SET shadow.hide-user-data yes");
        kind.call(&mut client, &callee, &["secret1", "secret2"], &["secret3"]);
        let call = &slow_calls(&mut client, kind)[0];
        let hidden = |call: &Value| ["keys", "arguments"].map(|field| texts(call, field));
        assert_eq!(hidden(call), [vec!["(redacted)"; 2], vec!["(redacted)"]]);
        client.run("CONFIG SET shadow.hide-user-data no");
        kind.call(&mut client, &callee, &["open1"], &["open2"]);
        assert_eq!(hidden(&slow_calls(&mut client, kind)[0]), [["open1"], ["open2"]]);
        // MIGRATE takes the password of another server.
        kind.call(&mut client, &callee, &["own"], &["password", "x"]);
        assert_eq!(hidden(&slow_calls(&mut client, kind)[0]), [vec!["(redacted)"], vec!["(redacted)"; 2]]);
    }
}

#[test]
fn a_call_that_fails_is_slow_as_well_and_one_that_is_refused_is_not() {
    let server = start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "error('x')");
        assert!(kind.call(&mut client, &callee, &NONE, &NONE).is_error());
        assert_eq!(len(&mut client, kind), 1);
        client.call(&[kind.words(&callee, &NONE, &NONE)[0].as_slice(), callee.as_bytes(), b"5"]);
        assert_eq!(len(&mut client, kind), 1);
    }
}

#[test]
fn a_client_on_a_unix_socket_is_named_as_the_server_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s.sock");
    let socket = path.to_string_lossy().into_owned();
    let server = Options::new().set("slowlog-log-slower-than", "0").set("unixsocket", &socket).start();
    let mut client = server.client();
    for kind in KINDS {
        let callee = kind.prepare(&mut client, "f", "return 1");
        let mut stream = UnixStream::connect(&path).expect("the server accepts connections");
        stream.write_all(&encode(&kind.words(&callee, &NONE, &NONE))).expect("the command is written");
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(parse(&reply), Value::Integer(1));
        let own = own_entry(&mut client, kind);
        let call = &slow_calls(&mut client, kind)[0];
        // Valkey 9.1 puts it in brackets.
        assert!(own[4].text().contains(&socket), "{own:?}");
        assert_eq!(text(call, "client_addr"), own[4].text());
    }
}

#[test]
fn a_call_in_a_transaction_and_one_that_is_intercepted_are_logged() {
    let server = Options::new().set("slowlog-log-slower-than", "0").module_arguments("intercept all").start();
    let mut client = server.client();
    Kind::Function.prepare(&mut client, "f", "return 1");
    client.run("MULTI");
    client.run("FCALL f 1 own x");
    client.call(&["EVAL", "return 1", "1", "own", "x"]);
    assert_eq!(client.run("EXEC"), Value::Array(vec![Value::Integer(1); 2]));
    for kind in KINDS {
        let call = &slow_calls(&mut client, kind)[0];
        assert_eq!(["keys", "arguments"].map(|field| texts(call, field)), [["own"], ["x"]]);
    }
}

#[test]
fn a_wrong_word_is_refused_as_by_slowlog() {
    let server = start();
    let mut client = server.client();
    for kind in KINDS {
        for count in ["x", "-2", "", "1.5", "9223372036854775808", "+1", "01", " 1", "-0", "1x"] {
            let own = client.call(&["SLOWLOG", "GET", count]);
            assert!(own.is_error(), "{count}: {own:?}");
            assert_eq!(client.call(&[kind.container(), "SLOWLOG", "GET", count]), own, "{count}");
        }
        let wrong = |word: &str| {
            Value::Error(format!(
                "ERR unknown subcommand or wrong number of arguments for '{word}'. Try {} HELP.",
                kind.container()
            ))
        };
        for line in ["SLOWLOG NOSUCH", "SLOWLOG GET 1 2", "SLOWLOG LEN 1", "SLOWLOG RESET 1", "SLOWLOG HELP 1"] {
            assert_eq!(kind.run(&mut client, line), wrong("SLOWLOG"), "{line}");
        }
        let arity = format!("ERR wrong number of arguments for '{}|slowlog' command", kind.container().to_lowercase());
        assert_eq!(kind.run(&mut client, "SLOWLOG"), Value::Error(arity));
        let help = kind.run(&mut client, "SLOWLOG HELP").items();
        let head = format!("{} SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", kind.container());
        assert_eq!(help[0], Value::Simple(head));
        assert!(help.iter().all(|line| matches!(line, Value::Simple(_))), "{help:?}");
    }
}
