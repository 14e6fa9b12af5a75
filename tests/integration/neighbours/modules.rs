//! Another module that runs commands of this one, wherever the server lets it.

use super::{arm, as_stock, beside_neighbour, check_unharmed, library, load_both, results, wait_until_busy};
use crate::support::library::{names, source};
use crate::support::{Client, Flavour, KINDS, Kind, Options, Server, Value, wait_until};

const OTHER: &str = "#!lua name=other\nredis.register_function('other', function(keys, args) return args end)";

/// Commands for functions and scripts that leave all as they found it, in this order.
fn commands() -> Vec<Vec<String>> {
    let library = library();
    let lines: [&[&str]; 18] = [
        &["SHADOW.FCALL", "get", "0"],
        &["SHADOW.FCALL", "set", "1", "key"],
        &["SHADOW.FCALL", "set", "-1"],
        &["SHADOW.FCALL_RO", "get", "0"],
        &["SHADOW.EVAL", "return {KEYS[1], 1, false, redis.call('SET', KEYS[1], 'v')}", "1", "key"],
        &["SHADOW.EVAL", "return redis.call('NOSUCH')", "0"],
        &["SHADOW.EVALSHA", "00", "0"],
        &["SHADOW.SCRIPT", "LOAD", "return 1"],
        &["SHADOW.SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"],
        &["SHADOW.FUNCTION", "LOAD", OTHER],
        &["SHADOW.FUNCTION", "LOAD", OTHER],
        &["SHADOW.FCALL", "other", "1", "key", "one", "two"],
        &["SHADOW.FUNCTION", "DELETE", "other"],
        &["SHADOW.FUNCTION", "DELETE", "other"],
        &["SHADOW.FUNCTION", "FLUSH"],
        &["SHADOW.FCALL", "get", "0"],
        &["SHADOW.FUNCTION", "LOAD", &library],
        &["SHADOW.FUNCTION", "KILL"],
    ];
    lines.iter().map(|words| words.iter().map(|&word| word.to_owned()).collect()).collect()
}

/// The words of the server's own command.
fn stock(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.strip_prefix("SHADOW.").unwrap_or(word).to_owned()).collect()
}

/// Runs one of the neighbour's commands that takes a command.
fn run(client: &mut Client, place: &str, flags: &str, words: &[String]) -> Value {
    let head = [place.to_owned(), flags.to_owned()];
    client.call(&[&head, words].concat())
}

#[test]
fn in_commands_threads_and_timers_it_gets_the_replies_of_the_servers_own() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    for flags in ["E", "E!", "ES", "EM", "EC", "E3", "E!C3"] {
        for words in commands() {
            for place in ["NEIGHBOUR.CALL", "NEIGHBOUR.THREAD"] {
                let reply = run(&mut client, place, flags, &words);
                let expected = run(&mut client, place, flags, &stock(&words));
                assert_eq!(as_stock(&format!("{reply:?}")), format!("{expected:?}"), "{place} {flags} {words:?}");
            }
        }
    }
    for words in commands() {
        // A timer has no user to run them as.
        for words in [words.clone(), stock(&words)] {
            assert_eq!(run(&mut client, "NEIGHBOUR.TIMER", "E!", &words).text(), "OK");
        }
        let mut replies = Vec::new();
        wait_until("both timers have run", || {
            replies.extend(results(&mut client));
            replies.len() == 2
        });
        assert_eq!(as_stock(&replies[0]), replies[1], "{words:?}");
    }
    check_unharmed(&server);
}

#[test]
fn in_filters_events_and_jobs_it_gets_them_as_well() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    let mut places = vec![
        ("keyspace", "SET watched 1"),
        ("filter:echo", "ECHO said"),
        ("event:flushdb", "FLUSHALL"),
        ("event:client", "CLIENT ID"),
        ("event:cron", "PING"),
    ];
    if server.version() >= (7, 2, 0) {
        places.extend([("job", "SET watched 1"), ("event:config", "CONFIG SET maxmemory-samples 6")]);
    }
    for (place, trigger) in places {
        for words in commands() {
            for words in [words.clone(), stock(&words)] {
                arm(&mut client, place, "E!", &words.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        assert!(!client.run(trigger).is_error());
        // Events of the timer and of clients come by themselves, or with a new one.
        let passed = || server.log().contains(&format!("> {place}: "));
        wait_until("the server came by", || server.client().run("PING").text() == "PONG" && passed());
        let replies = results(&mut client);
        assert_eq!(replies.len() % (2 * commands().len()), 0, "{place}");
        for (number, pair) in replies.chunks(2).enumerate() {
            let words = &commands()[number % commands().len()];
            assert_eq!(as_stock(&pair[0]), pair[1], "{place} {words:?}");
        }
    }
    check_unharmed(&server);
}

/// What runs in the middle of a function or a script. The server's own ends itself when it is called there.
fn check_in_the_middle_of(server: &Server, kind: Kind) {
    let mut client = server.client();
    load_both(&mut client);
    assert_eq!(client.call(&["SHADOW.FUNCTION", "DEPLOY", "VERSION", "one", &library()]).text(), "one");
    let payload = "a payload";
    let library = library();
    let refused: [&[&str]; 16] = [
        &["SHADOW.FCALL", "get", "0"],
        &["SHADOW.FCALL_RO", "get", "0"],
        &["SHADOW.EVAL", "return 1", "0"],
        &["SHADOW.EVALSHA", "00", "0"],
        &["SHADOW.EVAL_RO", "return 1", "0"],
        &["SHADOW.SCRIPT", "LOAD", "return 1"],
        &["SHADOW.SCRIPT", "FLUSH"],
        &["SHADOW.FUNCTION", "LOAD", "REPLACE", &library],
        &["SHADOW.FUNCTION", "LOAD", OTHER],
        &["SHADOW.FUNCTION", "DELETE", "lib"],
        &["SHADOW.FUNCTION", "FLUSH"],
        &["SHADOW.FUNCTION", "FLUSH", "ASYNC"],
        &["SHADOW.FUNCTION", "RESTORE", payload, "FLUSH"],
        &["SHADOW.FUNCTION", "DEPLOY", &library],
        &["SHADOW.FUNCTION", "ROLLBACK"],
        &["MODULE", "UNLOAD", "shadow"],
    ];
    let answered: [&[&str]; 17] = [
        &["SHADOW.FUNCTION", "LIST"],
        &["SHADOW.FUNCTION", "VERSIONS"],
        &["SHADOW.FUNCTION", "DUMP"],
        &["SHADOW.FUNCTION", "SLOWLOG", "GET"],
        &["SHADOW.SCRIPT", "LIST"],
        &["SHADOW.METRICS"],
        &["INFO", "everything"],
        &["CONFIG", "SET", "shadow.jit", "always"],
        &["CONFIG", "SET", "shadow.jit", "off"],
        &["CONFIG", "SET", "shadow.jit", "hot"],
        &["CONFIG", "SET", "shadow.memory-limit", "1mb"],
        &["CONFIG", "SET", "shadow.memory-limit", "0"],
        &["CONFIG", "SET", "shadow.keep-scripts", "yes"],
        &["CONFIG", "SET", "shadow.keep-scripts", "no"],
        &["CONFIG", "SET", "shadow.keep-generations", "0"],
        &["CONFIG", "SET", "shadow.call-path", "rm-call"],
        &["CONFIG", "SET", "shadow.call-path", "auto"],
    ];
    let mut check = |place: &str, body: &str| {
        let callee = kind.prepare(&mut client, "middle", body);
        let libraries = client.run("SHADOW.FUNCTION LIST WITHCODE");
        for words in refused.iter().chain(&answered) {
            arm(&mut client, place, "E!", words);
        }
        let reply = kind.call(&mut client, &callee, &["watched"], &[]);
        assert_eq!(reply.text(), "at the end", "{place}: {reply:?}");
        let results = results(&mut client);
        assert_eq!(results.len(), refused.len() + answered.len(), "{results:?}");
        for (number, line) in results.iter().enumerate() {
            let is_refused = line.starts_with(&format!("{place}: -"));
            assert_eq!(is_refused, number < refused.len(), "{kind:?} {line}");
        }
        assert_eq!(client.run("SHADOW.FUNCTION LIST WITHCODE"), libraries);
    };
    check("keyspace", "redis.call('SET', KEYS[1], 1) return 'at the end'");
    check("filter:echo", "redis.call('ECHO', 'said') return 'at the end'");
    check_unharmed(server);
}

#[test]
fn in_the_middle_of_a_function_or_a_script_nothing_is_called_or_changed() {
    for kind in KINDS {
        // As the setting that the callbacks change.
        for jit in ["hot", "always"] {
            let server = beside_neighbour().module_arguments(&format!("jit {jit}")).start();
            check_in_the_middle_of(&server, kind);
        }
    }
}

#[test]
fn what_is_killed_by_what_it_sets_off_ends_or_returns() {
    let server = beside_neighbour().set("busy-reply-threshold", "100").start();
    let mut client = server.client();
    for kind in KINDS {
        let kill = [kind.container(), "KILL"];
        arm(&mut client, "filter:echo", "E!", &kill);
        let short = kind.prepare(&mut client, "short", "return redis.call('ECHO', 'said')");
        assert_eq!(kind.call::<&str>(&mut client, &short, &[], &[]).text(), "said");
        let long = kind.prepare(&mut client, "long", "redis.call('ECHO', 'said') while true do end");
        let reply = kind.call::<&str>(&mut client, &long, &[], &[]);
        assert!(reply.text().starts_with("ERR Script killed by user"), "{reply:?}");
        assert_eq!(results(&mut client), ["filter:echo: +OK", "filter:echo: +OK"]);
    }
    check_unharmed(&server);
}

#[test]
fn what_the_servers_own_scripts_set_off_may_call_functions_and_scripts() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    arm(&mut client, "keyspace", "E!", &["SHADOW.FCALL", "get", "0"]);
    arm(&mut client, "keyspace", "E!", &["SHADOW.EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "key"]);
    arm(&mut client, "keyspace", "E!", &["SHADOW.FUNCTION", "LOAD", "REPLACE", OTHER]);
    let script = "redis.call('SET', 'watched', 1) return redis.call('GET', 'key')";
    assert_eq!(client.call(&["EVAL", script, "0"]).text(), "v");
    assert_eq!(client.run("FCALL set 1 watched").text(), "OK");
    let once = ["keyspace: $3 got", "keyspace: +OK", "keyspace: $5 other"];
    assert_eq!(results(&mut client), [once, once].concat());
    check_unharmed(&server);
}

/// The module asks the server for settings while it has its own state in its hands. Whoever runs commands there is
/// refused what would change it.
#[test]
fn while_the_module_asks_the_server_nothing_is_changed() {
    let server = beside_neighbour().set("busy-reply-threshold", "50").start();
    let mut client = server.client();
    load_both(&mut client);
    for command in ["config", "info", "command", "function"] {
        let place = format!("filter:{command}");
        arm(&mut client, &place, "E!", &["SHADOW.FCALL", "get", "0"]);
        arm(&mut client, &place, "E!", &["SHADOW.FUNCTION", "LOAD", "REPLACE", &library()]);
    }
    for _ in 0..3 {
        assert_eq!(client.run("SHADOW.FCALL set 1 key").text(), "OK");
        client.run("SHADOW.FUNCTION DUMP");
        assert_eq!(client.run("CONFIG SET slowlog-max-len 100").text(), "OK");
        let (mut caller, mut other) = (server.client(), server.client());
        // The threshold is asked for when it has passed.
        caller.run("SHADOW.FCALL get 0");
        caller.send(&["SHADOW.FCALL", "loop", "0"]);
        wait_until_busy(&mut other);
        assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
        assert!(caller.read().text().starts_with("ERR Script killed by user"));
    }
    let results = results(&mut client);
    assert!(!results.is_empty());
    let busy = ["$3 got", "$3 lib", "-ERR A function cannot be called while", "-ERR The function registry cannot be"];
    for line in &results {
        let (_, reply) = line.split_once(": ").expect("a place and a reply");
        assert!(busy.iter().any(|expected| reply.starts_with(expected)), "{line}");
    }
    check_unharmed(&server);
}

/// The row `dynamic-flags`.
#[test]
fn without_writes_it_may_call_what_the_flags_of_the_command_do_not_forbid() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    let refused = client.run("NEIGHBOUR.CALL EW FCALL get 0");
    assert_eq!(refused.text(), "ERR Write command 'fcall' was called while write is not allowed.");
    assert_eq!(client.run("NEIGHBOUR.CALL EW SHADOW.FCALL get 0").text(), "got");
    for command in ["FUNCTION FLUSH", "SHADOW.FUNCTION FLUSH"] {
        let refused = client.run(&format!("NEIGHBOUR.CALL EW {command}"));
        assert_eq!(
            as_stock(&refused.text()),
            "ERR Write command 'function|flush' was called while write is not allowed."
        );
    }
}

#[test]
fn only_what_it_asks_to_replicate_is_replicated() {
    let server = beside_neighbour().set("appendonly", "yes").set("appendfsync", "always").start();
    let mut client = server.client();
    load_both(&mut client);
    for (prefix, name) in [("", "stock"), ("SHADOW.", "module")] {
        for (flags, kept) in [("E", "lost"), ("E!", "kept")] {
            for place in ["CALL", "THREAD"] {
                let key = format!("{name}-{kept}-{place}");
                let command = format!("NEIGHBOUR.{place} {flags} {prefix}FCALL set 1 {key}");
                assert_eq!(client.run(&command).text(), "OK");
            }
        }
    }
    let written = server.aof();
    let mut keys: Vec<&str> =
        written.iter().filter(|words| words[0].eq_ignore_ascii_case("set")).map(|words| &*words[1]).collect();
    keys.sort_unstable();
    let all = |name: &str| -> Vec<String> {
        ["kept-CALL", "kept-THREAD", "lost-CALL", "lost-THREAD"].iter().map(|key| format!("{name}-{key}")).collect()
    };
    let of = |name: &str| keys.iter().filter_map(|key| key.strip_prefix(name)).collect::<Vec<_>>();
    assert_eq!(of("module"), of("stock"));
    for key in all("module") {
        assert_eq!(client.run(&format!("GET {key}")).text(), "value");
    }
    assert!(of("module").contains(&"-kept-CALL"), "{keys:?}");
}

#[test]
fn as_a_user_it_may_call_what_the_user_may() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    let rules = "on nopass ~mine* +neighbour.call +fcall +shadow.fcall +set +auth";
    assert_eq!(client.run(&format!("ACL SETUSER ann {rules}")).text(), "OK");
    let mut ann = server.client();
    assert_eq!(ann.run("AUTH ann x").text(), "OK");
    for call in ["FCALL set 1 mine", "FCALL set 1 other", "FCALL get 0", "FUNCTION FLUSH", "EVAL return 0"] {
        for flags in ["EC", "E", "E!C"] {
            let expected = ann.run(&format!("NEIGHBOUR.CALL {flags} {call}"));
            if flags == "E" && call.contains("FLUSH") {
                load_both(&mut client);
            }
            let reply = ann.run(&format!("NEIGHBOUR.CALL {flags} SHADOW.{call}"));
            assert_eq!(as_stock(&reply.text()), expected.text(), "{flags} {call}");
            load_both(&mut client);
        }
    }
}

/// From 7.2 on a module can have a command wait: it is told what has come of it.
#[test]
fn a_deploy_that_it_waits_for_is_built_by_the_worker() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    let mut deploy = |flags: &str, version: &str| {
        client.call(&["NEIGHBOUR.CALL", flags, "SHADOW.FUNCTION", "DEPLOY", "VERSION", version, &library()]).text()
    };
    assert_eq!(deploy("E!", "v1"), "v1");
    if server.version() >= (7, 2, 0) {
        assert_eq!(deploy("E!K", "v2"), "v2");
        assert_eq!(deploy("E!K", "v3"), "v3");
    }
    assert_eq!(names(&mut server.client()), ["lib"]);
    check_unharmed(&server);
}

/// Valkey 9.1 ended itself: it was asked for the address of a caller that has no connection.
#[test]
fn its_slow_calls_are_noted_without_an_address() {
    let server = beside_neighbour().set("slowlog-log-slower-than", "0").start();
    let mut client = server.client();
    load_both(&mut client);
    arm(&mut client, "keyspace", "E!", &["SHADOW.FCALL", "get", "0"]);
    let mut noted = |count: usize| {
        let mut calls = Vec::new();
        wait_until("all are noted", || {
            calls = client.run("SHADOW.FUNCTION SLOWLOG GET 10").items();
            calls.len() == count
        });
        calls
    };
    let mut caller = server.client();
    for (number, place) in ["CALL", "TIMER"].iter().enumerate() {
        assert!(!caller.run(&format!("NEIGHBOUR.{place} E SHADOW.FCALL get 0")).is_error());
        noted(number + 1);
    }
    caller.run("SET watched 1");
    for call in noted(3) {
        assert_eq!(call.field("client_addr").map(|address| address.text()).as_deref(), Some(""), "{call:?}");
    }
    // On Valkey a caller may have the number that the one of a thread has left: that of a client.
    assert_eq!(caller.run("NEIGHBOUR.THREAD E SHADOW.FCALL get 0").text(), "got");
    for count in 5..8 {
        caller.run("SET watched 1");
        noted(count);
    }
    assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
    let last = &client.run("SHADOW.FUNCTION SLOWLOG GET 1").items()[0];
    assert!(last.field("client_addr").is_some_and(|address| address.text().starts_with("127.0.0.1:")), "{last:?}");
}

#[test]
fn in_its_threads_functions_that_run_long_can_be_ended() {
    let server = beside_neighbour().set("busy-reply-threshold", "50").start();
    let mut client = server.client();
    load_both(&mut client);
    for _ in 0..3 {
        let (mut caller, mut other) = (server.client(), server.client());
        caller.send(&["NEIGHBOUR.THREAD", "E", "SHADOW.FCALL", "loop", "0"]);
        wait_until_busy(&mut other);
        assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
        assert!(caller.read().text().starts_with("ERR Script killed by user"));
    }
    // Nearly as deep as sources may nest. The threads have a stack of 1 MiB.
    let levels = 1_700;
    for (script, is_error) in [
        (format!("return {} 1 {}", "function() return ".repeat(levels), " end".repeat(levels)), false),
        ("local function f(n) return (('x'):gsub('x', function() f(n + 1) end)) end return f(1)".to_owned(), true),
        ("local function f(n) table.sort({2, 1}, function() f(n + 1) end) end return f(1)".to_owned(), true),
        ("local function f(n) return coroutine.wrap(f)(n + 1) end return f(1)".to_owned(), true),
        ("return cjson.encode(cjson.decode(('['):rep(900) .. (']'):rep(900)))".to_owned(), false),
    ] {
        let reply = client.call(&["NEIGHBOUR.THREAD", "E", "SHADOW.EVAL", &script, "0"]);
        assert_eq!(reply.is_error(), is_error, "{reply:?} for {script:.80}");
    }
    check_unharmed(&server);
}

/// A process that was forked to save has none of the module's threads. Whatever they were doing when it was forked, it
/// waits for nothing of theirs.
#[test]
fn in_the_process_that_saves_it_does_what_it_likes() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    let library = library();
    let errands: [&[&str]; 6] = [
        &["SHADOW.FCALL", "get", "0"],
        &["SHADOW.EVAL", "return 1", "0"],
        &["SHADOW.FUNCTION", "FLUSH", "ASYNC"],
        &["SHADOW.FUNCTION", "LOAD", &library],
        &["SHADOW.FUNCTION", "DEPLOY", &library],
        &["SHADOW.FUNCTION", "FLUSH", "SYNC"],
    ];
    for words in errands {
        arm(&mut client, "event:persistence", "E", words);
    }
    for round in 1..=8 {
        // The worker has something to do.
        let load = client.call(&["SHADOW.FUNCTION", "LOAD", OTHER]);
        assert_eq!(load.text(), "other");
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
        client.call(&["SHADOW.FUNCTION", "LOAD", &library]);
        assert!(!client.run("BGSAVE").is_error());
        wait_until("it is saved", || client.info_number("rdb_bgsave_in_progress") == 0);
        assert_eq!(client.info("rdb_last_bgsave_status").as_deref(), Some("ok"));
        let said = server.log().matches("event:persistence: $3 got").count();
        assert!(said >= round, "{said} of {round}");
        assert_eq!(names(&mut client), ["lib"]);
    }
    assert_eq!(results(&mut client), [""; 0], "it is the child that did it");
    check_unharmed(&server);
}

/// Whether its event of the end comes before that of the module or after it.
#[test]
fn at_the_end_of_the_server_it_does_what_it_likes() {
    for first in [true, false] {
        let options = if first { beside_neighbour() } else { Options::new() };
        let mut server = options.start();
        let mut client = server.client();
        if !first {
            let path = crate::support::server::neighbour_path();
            let path = path.to_str().expect("a path of UTF-8");
            assert_eq!(client.call(&["MODULE", "LOAD", path]).text(), "OK");
        }
        load_both(&mut client);
        let library = library();
        let errands: [&[&str]; 6] = [
            &["SHADOW.FCALL", "get", "0"],
            &["SHADOW.FUNCTION", "FLUSH", "ASYNC"],
            &["SHADOW.FUNCTION", "LOAD", &library],
            &["SHADOW.FUNCTION", "DEPLOY", &library],
            &["SHADOW.SCRIPT", "FLUSH", "ASYNC"],
            &["SHADOW.FUNCTION", "FLUSH"],
        ];
        for words in errands {
            arm(&mut client, "event:shutdown", "E", words);
        }
        client.send(&["SHUTDOWN", "NOSAVE"]);
        assert!(server.wait_for_exit().success(), "{}", server.log());
        assert!(server.log().contains("event:shutdown: $3 got"), "{}", server.log());
        assert!(!server.log().contains("internal error"), "{}", server.log());
    }
}

/// Interception rewrites what clients type, and on servers that do not tell who sent a command, what modules run.
#[test]
fn beside_interception_it_gets_replies_of_the_one_or_the_other() {
    let server = beside_neighbour().module_arguments("intercept all").start();
    let mut client = server.client();
    let other = source("theirs", "redis.register_function('mine', function() return 'of the module' end)");
    assert_eq!(client.call(&["FUNCTION", "LOAD", &other]).text(), "theirs");
    let reply = client.run("NEIGHBOUR.CALL E FCALL mine 0").text();
    let expected = match (server.flavour(), server.version() >= (7, 2, 0)) {
        (Flavour::Redis, false) => "of the module",
        _ => "ERR Function not found",
    };
    assert_eq!(reply, expected);
    assert_eq!(client.run("NEIGHBOUR.CALL E SHADOW.FCALL mine 0").text(), "of the module");
    check_unharmed(&server);
}
