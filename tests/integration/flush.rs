//! SHADOW.FUNCTION FLUSH: what the module is for.

use crate::support::library::{callback, load, load_command, load_many, names, numbered, source};
use crate::support::{Client, Options, Server, Value, wait_until};

fn ok() -> Value {
    Value::Simple("OK".to_owned())
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The server's used_memory. Asked for by its section: a reply that is longer would make the server keep a larger
/// buffer for the client, which counts.
fn used_memory(client: &mut Client) -> i64 {
    let text = client.run("INFO memory").text();
    let value = text.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("the field");
    value.parse().expect("a number")
}

/// Waits until used_memory is within one percent of `before`.
fn wait_for_memory(client: &mut Client, before: i64) {
    wait_until(&format!("used_memory is back at {before}"), || used_memory(client) - before <= before / 100);
}

/// Loads and flushes once, so that everything that is made once is there before memory is measured.
fn settle(client: &mut Client) -> i64 {
    load(client, &numbered(0));
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    wait_until("the worker is idle", || {
        client.info_number("shadow_pending_libraries") == 0 && client.info_number("shadow_spare_ready") == 1
    });
    used_memory(client)
}

#[test]
fn every_mode_empties_the_registry() {
    let server = Server::start();
    let mut client = server.client();
    for command in ["SHADOW.FUNCTION FLUSH", "SHADOW.FUNCTION FLUSH ASYNC", "shadow.function flush sync"] {
        load_many(&mut client, 100);
        assert_eq!(client.run(command), ok(), "{command}");
        assert_eq!(names(&mut client), [""; 0], "{command}");
        assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Error("ERR Function not found".to_owned()), "{command}");
    }
}

#[test]
fn any_other_word_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 3);
    for word in ["BAD", "", "ASYNCX", "SYN", "a\r\nb", "ASYN\0C"] {
        assert_eq!(
            client.call(&["SHADOW.FUNCTION", "FLUSH", word]),
            Value::Error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option".to_owned()),
            "{word:?}"
        );
    }
    assert!(client.run("SHADOW.FUNCTION FLUSH ASYNC SYNC").is_error());
    assert_eq!(names(&mut client).len(), 3);
    assert_eq!(client.info_number("shadow_flushes"), 0);
}

#[test]
fn functions_loaded_after_a_flush_work() {
    let server = Server::start();
    let mut client = server.client();
    for mode in ["SYNC", "ASYNC"] {
        for round in 0..50 {
            load(&mut client, &callback(&format!("return {{redis.call('ping').ok, {round}, #string.rep('x', 10)}}")));
            let reply = client.run("SHADOW.FCALL f 0");
            assert_eq!(reply.items().iter().map(Value::text).collect::<Vec<_>>(), ["PONG", &round.to_string(), "10"]);
            assert_eq!(client.run(&format!("SHADOW.FUNCTION FLUSH {mode}")), ok());
        }
    }
}

#[test]
fn state_of_a_library_does_not_outlive_a_flush() {
    let server = Server::start();
    let mut client = server.client();
    let counter = source("mylib", "local n=0 redis.register_function('f', function() n=n+1 return n end)");
    for mode in ["SYNC", "ASYNC"] {
        load(&mut client, &counter);
        client.run("SHADOW.FCALL f 0");
        client.run(&format!("SHADOW.FUNCTION FLUSH {mode}"));
        load(&mut client, &counter);
        assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1), "{mode}");
    }
}

#[test]
fn flush_async_returns_memory_to_where_it_was() {
    let server = Server::start();
    let mut client = server.client();
    let before = settle(&mut client);
    // By a client that leaves: the server keeps larger buffers for a client that has sent this much.
    load_many(&mut server.client(), 25_000);
    let loaded = used_memory(&mut client);
    assert!(loaded > before + 5_000_000, "25,000 libraries count in used_memory: {before} to {loaded}");
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC"), ok());
    wait_for_memory(&mut client, before);
}

#[test]
fn flush_async_returns_what_the_libraries_had_built() {
    let server = Server::start();
    let mut client = server.client();
    let before = settle(&mut client);
    for number in 0..50 {
        let body = format!(
            "local t = {{1,2,3}} for i = 1, 10000 do t[i] = 'text number ' .. i end \
             redis.register_function('f{number}', function() return #t end)"
        );
        load(&mut client, &source(&format!("lib{number}"), &body));
    }
    assert!(used_memory(&mut client) > before + 10_000_000);
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC"), ok());
    wait_for_memory(&mut client, before);
}

#[test]
fn flush_sync_returns_memory_at_once() {
    let server = Server::start();
    let mut client = server.client();
    let before = settle(&mut client);
    load_many(&mut client, 5_000);
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH SYNC"), ok());
    wait_for_memory(&mut client, before);
    assert_eq!(client.info_number("shadow_pending_libraries"), 0);
}

#[test]
fn memory_stays_level_over_many_flushes() {
    let server = Server::start();
    let mut client = server.client();
    let before = settle(&mut client);
    for round in 0..200 {
        let mut commands: Vec<_> = (0..20).map(|number| load_command(&numbered(number))).collect();
        commands.push(words(if round % 2 == 0 { "SHADOW.FUNCTION FLUSH ASYNC" } else { "SHADOW.FUNCTION FLUSH SYNC" }));
        assert!(client.pipeline(&commands).iter().all(|reply| !reply.is_error()));
    }
    wait_until("the worker is idle", || client.info_number("shadow_pending_libraries") == 0);
    wait_for_memory(&mut client, before);
}

#[test]
fn thousands_of_loads_around_two_flushes_go_through_in_one_write() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..3 {
        let mut commands = Vec::new();
        for _ in 0..2 {
            commands.extend((0..5000).map(|number| load_command(&numbered(number))));
            commands.push(words("SHADOW.FUNCTION FLUSH ASYNC"));
        }
        let refused = client.pipeline(&commands).into_iter().find(Value::is_error);
        assert_eq!(refused, None);
    }
    assert_eq!(names(&mut client), [""; 0]);
    assert_eq!(client.run("PING").text(), "PONG");
}

#[test]
fn loads_flushes_and_calls_interleave_by_the_thousand() {
    let server = Server::start();
    let mut client = server.client();
    let mut commands = Vec::new();
    let mut expected = Vec::new();
    for round in 0..2000_i64 {
        commands.push(load_command(&callback(&format!("return {{{round}, redis.call('incr', 'counter')}}"))));
        expected.push(Value::Bulk(b"mylib".to_vec()));
        commands.push(words("SHADOW.FCALL f 0"));
        expected.push(Value::Array(vec![Value::Integer(round), Value::Integer(round + 1)]));
        commands.push(words("SHADOW.FUNCTION FLUSH ASYNC"));
        expected.push(ok());
        commands.push(words("SHADOW.FCALL f 0"));
        expected.push(Value::Error("ERR Function not found".to_owned()));
    }
    let replies = client.pipeline(&commands);
    let wrong = replies.iter().zip(&expected).position(|(reply, expected)| reply != expected);
    assert_eq!(wrong, None, "{:?}", wrong.map(|at| &replies[at]));
}

#[test]
fn several_clients_load_flush_and_call_at_once() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for client_number in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                let code = source(
                    &format!("lib{client_number}"),
                    &format!("redis.register_function('f{client_number}', function() return {client_number} end)"),
                );
                let call = format!("SHADOW.FCALL f{client_number} 0");
                let mut commands = Vec::new();
                for round in 0..300 {
                    commands.push(["SHADOW.FUNCTION", "LOAD", "REPLACE", &code].map(str::to_owned).to_vec());
                    commands.push(words(&call));
                    if round % 3 == 0 {
                        commands.push(words("SHADOW.FUNCTION FLUSH ASYNC"));
                    }
                }
                for (reply, command) in client.pipeline(&commands).into_iter().zip(&commands) {
                    match command[0].as_str() {
                        "SHADOW.FCALL" => assert!(
                            reply == Value::Integer(client_number) || reply.text() == "ERR Function not found",
                            "{reply:?}"
                        ),
                        _ => assert!(!reply.is_error(), "{reply:?}"),
                    }
                }
            });
        }
    });
}

#[test]
fn without_a_mode_the_servers_setting_decides_at_each_flush() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    assert_eq!(client.run("SHADOW.DEBUG RECLAIM-HOLD"), ok());
    for (lazy, pending) in [("no", 0), ("yes", 10), ("no", 10)] {
        client.call(&["CONFIG", "SET", "lazyfree-lazy-user-flush", lazy]);
        load_many(&mut client, 10);
        assert_eq!(client.run("SHADOW.FUNCTION FLUSH"), ok());
        assert_eq!(client.info_number("shadow_pending_libraries"), pending, "after {lazy}");
        assert_eq!(client.info_number("shadow_libraries"), 0);
    }
    assert_eq!(client.run("SHADOW.DEBUG RECLAIM-RELEASE"), ok());
    wait_until("the worker has freed them", || client.info_number("shadow_pending_libraries") == 0);
}

#[test]
fn a_mode_overrides_the_servers_setting() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    client.run("CONFIG SET lazyfree-lazy-user-flush yes");
    load_many(&mut client, 10);
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    assert_eq!(client.info_number("shadow_pending_libraries"), 0);
    client.run("CONFIG SET lazyfree-lazy-user-flush no");
    load_many(&mut client, 10);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.info_number("shadow_pending_libraries"), 10);
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
}

#[test]
fn an_empty_registry_is_not_swapped() {
    let server = Server::start();
    let mut client = server.client();
    for command in ["SHADOW.FUNCTION FLUSH ASYNC", "SHADOW.FUNCTION FLUSH SYNC", "SHADOW.FUNCTION FLUSH"] {
        for _ in 0..10 {
            assert_eq!(client.run(command), ok());
        }
    }
    assert_eq!(client.info_number("shadow_flushes"), 0);
    assert_eq!(client.info_number("shadow_spares_missed"), 0);
    load_many(&mut client, 1);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.info_number("shadow_flushes"), 1);
}

/// The body of a library that needs more than a megabyte.
const LARGE: &str =
    "local t = {} for i = 1, 1e5 do t[i] = {} end redis.register_function('f', function() return #t end)";

/// All libraries as a payload.
fn dump(client: &mut Client) -> Vec<u8> {
    let reply = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let start = 2 + reply.windows(2).position(|end| end == b"\r\n").expect("a length");
    reply[start..reply.len() - 2].to_vec()
}

#[test]
fn what_fails_or_finds_nothing_is_not_counted_as_a_flush() {
    let server = Options::new().module_arguments("reclaim-queue 1 enable-debug-command yes").start();
    let mut client = server.client();
    load(&mut client, &source("large", LARGE));
    let payload = dump(&mut client);
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    // One with the worker, one in the queue, one in place.
    for waiting in [0, 1, 1] {
        load_many(&mut client, 1);
        assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC"), ok());
        wait_until("the worker has the first", || client.info_number("shadow_reclaim_queue") == waiting);
    }
    let counted =
        |client: &mut Client| ["shadow_flushes", "shadow_flushes_in_place"].map(|field| client.info_number(field));
    let before = counted(&mut client);
    assert_eq!(before, [3, 1]);
    assert_eq!(client.call(&["CONFIG", "SET", "shadow.memory-limit", "1mb"]), ok());
    for _ in 0..3 {
        let restore: [&[u8]; 4] = [b"SHADOW.FUNCTION", b"RESTORE", &payload, b"FLUSH"];
        assert!(client.call(&restore).text().starts_with("OOM "), "there is no room for it");
    }
    assert_eq!(counted(&mut client), before, "nothing was flushed");
    assert_eq!(client.call(&["CONFIG", "SET", "shadow.memory-limit", "0"]), ok());
    let restore: [&[u8]; 4] = [b"SHADOW.FUNCTION", b"RESTORE", &payload, b"FLUSH"];
    assert_eq!(client.call(&restore), ok());
    assert_eq!(counted(&mut client), before, "there was nothing to flush");
    assert_eq!(client.call(&restore), ok());
    assert_eq!(counted(&mut client), [before[0] + 1, before[1] + 1]);
}

#[test]
fn what_a_failed_restore_leaves_goes_to_the_worker() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("large", LARGE));
    let payload = dump(&mut client);
    assert_eq!(client.call(&["CONFIG", "SET", "shadow.memory-limit", "1mb"]), ok());
    let restore: [&[u8]; 4] = [b"SHADOW.FUNCTION", b"RESTORE", &payload, b"FLUSH"];
    assert!(client.call(&restore).text().starts_with("OOM "), "there is no room for it");
    wait_until("the worker has taken it", || client.info_number("shadow_reclaim_queue") == 0);
    assert_eq!(client.info_number("shadow_libraries"), 1);
}

#[test]
fn a_full_queue_frees_in_place() {
    let server = Options::new().module_arguments("reclaim-queue 2 enable-debug-command yes").start();
    let mut client = server.client();
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    const FLUSHES: i64 = 10;
    for round in 0..FLUSHES {
        load_many(&mut client, 3);
        assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC"), ok());
        assert_eq!(client.info_number("shadow_libraries"), 0, "in round {round}");
    }
    let waiting = client.info_number("shadow_reclaim_queue");
    let pending = client.info_number("shadow_pending_libraries");
    let in_place = client.info_number("shadow_flushes_in_place");
    assert_eq!(waiting, 2, "the queue is full");
    // One more may be in the hands of the worker, which is held before it begins.
    assert!(pending == 6 || pending == 9, "{pending}");
    assert_eq!(in_place, FLUSHES - pending / 3);
    assert!(client.info_number("shadow_spares_missed") > 0, "a held worker builds no spare");
    load(&mut client, &numbered(7));
    assert_eq!(client.run("SHADOW.FCALL f7 0"), Value::Integer(7));

    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    wait_until("the worker has freed the rest", || client.info_number("shadow_pending_libraries") == 0);
    assert_eq!(client.info_number("shadow_reclaim_queue"), 0);
    wait_until("a spare is ready", || client.info_number("shadow_spare_ready") == 1);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.info_number("shadow_flushes_in_place"), in_place, "the queue has room again");
}

#[test]
fn time_of_flush_async_does_not_grow_with_the_registry() {
    let server = Server::start();
    let mut client = server.client();
    let mut measure = |count: usize| {
        settle(&mut client);
        load_many(&mut client, count);
        client.run("CONFIG RESETSTAT");
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
        client.command_stat("shadow.function|flush", "usec")
    };
    let few = (0..3).map(|_| measure(10)).fold(f64::MAX, f64::min);
    let many = (0..3).map(|_| measure(5_000)).fold(f64::MAX, f64::min);
    // Freeing 5,000 libraries takes milliseconds; the bound leaves room for a busy machine.
    assert!(many < few + 500.0, "{few} us for 10 libraries, {many} us for 5,000");
}

#[test]
fn a_flush_in_a_transaction_takes_effect_in_its_place() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("MULTI");
    client.run("SHADOW.FCALL f1 0");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.run("SHADOW.FCALL f1 0");
    client.call(&["SHADOW.FUNCTION", "LOAD", &numbered(2)]);
    client.run("SHADOW.FCALL f2 0");
    assert_eq!(
        client.run("EXEC").items(),
        [
            Value::Integer(1),
            ok(),
            Value::Error("ERR Function not found".to_owned()),
            Value::Bulk(b"lib2".to_vec()),
            Value::Integer(2)
        ]
    );
}
