//! The flags of functions and scripts against the state of the server: each call and each subcommand is answered like
//! the server's own.

use crate::differential::scripts::states::compare_scripts;
use crate::differential::{Body, Pair};
use crate::support::library::{callback, load, source};
use crate::support::replicas::replica_of;
use crate::support::server::free_port;
use crate::support::{Client, Options, wait_until};

/// What the functions and scripts do, by the first word of their names.
const ACTIONS: &[(&str, &str)] = &[
    ("write", "return redis.call('set', KEYS[1], 'v')"),
    ("read", "return redis.call('get', KEYS[1])"),
    ("nothing", "return 'done'"),
    ("publish", "return redis.call('publish', 'channel', 'x')"),
    ("caught", "return redis.pcall('set', KEYS[1], 'v')"),
    ("lenient", "return redis.call('ping')"),
];

/// Their flags, by the rest of their names. A script without a first line has none, and is judged in another way than
/// one whose first line lists none.
const FLAGS: &[(&str, Option<&str>)] = &[
    ("", Some("")),
    ("_compat", None),
    ("_oom", Some("allow-oom")),
    ("_stale", Some("allow-stale")),
    ("_ro", Some("no-writes")),
    ("_ro_stale", Some("no-writes,allow-stale")),
    ("_oom_stale", Some("allow-oom,allow-stale")),
    ("_cross", Some("allow-cross-slot-keys")),
    ("_single", Some("no-cluster")),
    ("_single_ro", Some("no-cluster,no-writes")),
];

/// Every action with all flags.
fn bodies() -> Vec<Body> {
    let every = ACTIONS.iter().flat_map(|action| FLAGS.iter().map(move |flags| (action, flags)));
    every.map(|((action, code), (suffix, flags))| Body::new(&format!("{action}{suffix}"), *flags, code)).collect()
}

/// Waits until writing functions are refused for a failed save: the module looks for that ten times a second.
fn wait_for_refusal(client: &mut Client) {
    wait_until("functions are refused", || client.run("SHADOW.FCALL nothing 0").text().starts_with("MISCONF "));
}

/// A server whose registries hold every function, and whose caches every script.
fn start(options: Options) -> Pair {
    let mut pair = Pair::with(options.start());
    pair.load_bodies(&bodies());
    for body in bodies() {
        pair.compare_in(2, &["SCRIPT", "LOAD", &body.script()]);
    }
    pair
}

/// Compares everything in the state that the server is in now.
fn compare(mut pair: Pair) {
    let bodies = bodies();
    for body in &bodies {
        pair.compare(&["FCALL", body.name(), "1", "key"]);
        pair.compare(&["FCALL_RO", body.name(), "1", "key"]);
    }
    compare_scripts(&mut pair, &bodies);
    pair.compare(&["FCALL", "missing", "0"]);
    pair.compare(&["FCALL_RO", "missing", "0"]);
    pair.compare(&["FCALL", "read", "x"]);
    pair.compare(&["FUNCTION", "LIST", "LIBRARYNAME", "none"]);
    pair.compare(&["FUNCTION", "LIST", "nonsense"]);
    pair.compare(&["FUNCTION", "STATS"]);
    pair.compare(&["FUNCTION", "DELETE", "none"]);
    pair.compare(&["FUNCTION", "LOAD", "no library"]);
    pair.compare(&["FUNCTION", "LOAD", &source("late", "redis.register_function('late', function() end)")]);
    pair.compare(&["FUNCTION", "FLUSH", "BAD"]);
    pair.compare(&["FUNCTION", "FLUSH"]);
    pair.compare(&["FUNCTION", "NONE"]);
    pair.finish();
}

#[test]
fn in_a_normal_state() {
    compare(start(Options::new()));
}

#[test]
fn over_maxmemory() {
    let mut pair = start(Options::new());
    pair.command(&["CONFIG", "SET", "maxmemory", "1"]);
    compare(pair);
}

#[test]
fn on_a_read_only_replica() {
    let mut pair = start(Options::new());
    pair.command(&["REPLICAOF", "127.0.0.1", "1"]);
    compare(pair);
}

#[test]
fn on_a_writable_replica() {
    let mut pair = start(Options::new().set("replica-read-only", "no"));
    pair.command(&["REPLICAOF", "127.0.0.1", "1"]);
    compare(pair);
}

#[test]
fn on_a_stale_replica() {
    let mut pair = start(Options::new().set("replica-serve-stale-data", "no"));
    pair.command(&["REPLICAOF", "127.0.0.1", "1"]);
    compare(pair);
}

#[test]
fn on_a_stale_writable_replica() {
    let mut pair = start(Options::new().set("replica-serve-stale-data", "no").set("replica-read-only", "no"));
    pair.command(&["REPLICAOF", "127.0.0.1", "1"]);
    compare(pair);
}

#[test]
fn without_enough_replicas() {
    let mut pair = start(Options::new());
    pair.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    compare(pair);
}

/// The replica goes while the call runs, between its two writes. The server's own calls are the judge.
#[test]
fn what_has_written_goes_on_when_there_are_too_few_replicas() {
    let body = "redis.call('set', KEYS[1], 'first') \
                while not string.find(redis.call('info', 'replication'), 'connected_slaves:0') do end \
                return redis.call('set', KEYS[1], 'second')";
    let server = Options::new().set("busy-reply-threshold", "50").start();
    let (mut caller, mut other) = (server.client(), server.client());
    for command in ["FUNCTION", "SHADOW.FUNCTION"] {
        let reply = caller.call(&[command, "LOAD", &callback(body)]);
        assert_eq!(reply.text(), "mylib");
    }
    caller.run("CONFIG SET min-replicas-to-write 1");
    for [command, what] in [["FCALL", "f"], ["SHADOW.FCALL", "f"], ["EVAL", body], ["SHADOW.EVAL", body]] {
        let replica = replica_of(&server);
        wait_until("the replica counts", || other.info("min_slaves_good_slaves").as_deref() == Some("1"));
        caller.send(&[command, what, "1", "key"]);
        wait_until("the server is busy", || other.run("PING").text().starts_with("BUSY "));
        drop(replica);
        assert_eq!(caller.read().text(), "OK", "{command}");
        assert_eq!(caller.run("GET key").text(), "second", "{command}");
    }
}

/// A write that was refused is none.
#[test]
fn after_a_refused_write_the_next_is_refused_as_well() {
    let body = "redis.pcall('set', KEYS[1], 'v') redis.pcall('del', KEYS[1]) return redis.pcall('set', KEYS[1], 'v')";
    let server = Options::new().set("min-replicas-to-write", "1").start();
    let mut client = server.client();
    for command in ["EVAL", "SHADOW.EVAL"] {
        let reply = client.call(&[command, body, "1", "key"]);
        assert_eq!(reply.text(), "NOREPLICAS Not enough good replicas to write.", "{command}");
    }
}

#[test]
fn after_a_failed_save() {
    let pair = start(Options::new().set("save", "900 100000"));
    // A file cannot be renamed onto a directory.
    std::fs::create_dir(pair.server().directory().join("dump.rdb")).expect("a directory in the way");
    let mut client = pair.server().client();
    client.run("BGSAVE");
    wait_until("the save has failed", || client.info("rdb_last_bgsave_status").as_deref() == Some("err"));
    wait_for_refusal(&mut client);
    compare(pair);
}

/// Nothing has asked for it before the call.
#[test]
fn the_first_call_after_a_rest_finds_that_a_save_has_failed() {
    let mut pair = start(Options::new().set("save", "900 100000"));
    let mut client = pair.server().client();
    assert_eq!(client.run("SHADOW.FCALL nothing 0").text(), "done");
    pair.server().wait_until_at_rest();
    std::fs::create_dir(pair.server().directory().join("dump.rdb")).expect("a directory in the way");
    client.run("BGSAVE");
    wait_until("the save has failed", || client.info("rdb_last_bgsave_status").as_deref() == Some("err"));
    for function in ["nothing", "nothing_ro", "write", "nothing"] {
        pair.compare(&["FCALL", function, "1", "key"]);
    }
    // And that one has succeeded.
    std::fs::remove_dir(pair.server().directory().join("dump.rdb")).expect("the directory is empty");
    assert_eq!(client.run("SAVE").text(), "OK");
    pair.compare(&["FCALL", "write", "1", "key"]);
    pair.finish();
}

/// Whether writes are taken is asked for by a command that does not run.
#[test]
fn what_the_module_asks_leaves_no_trace() {
    let server = Options::new().start();
    let mut client = server.client();
    load(&mut client, &callback("return 'done'"));
    let changes = client.info_number("rdb_changes_since_last_save");
    client.run("CONFIG SET min-replicas-to-write 1");
    wait_until("functions are refused", || client.run("SHADOW.FCALL f 0").text() != "done");
    assert_eq!(client.run("SHADOW.FCALL f 0").text(), "NOREPLICAS Not enough good replicas to write.");
    client.run("CONFIG SET min-replicas-to-write 0");
    wait_until("functions are called", || client.run("SHADOW.FCALL f 0").text() == "done");
    let statistics = client.run("INFO commandstats").text();
    assert!(!statistics.contains("swapdb") && !statistics.contains("setrange"), "{statistics}");
    assert_eq!(client.info_number("rdb_changes_since_last_save"), changes);
}

#[test]
fn after_a_failed_append() {
    let pair = start(Options::new().set("appendonly", "yes").set("appendfsync", "everysec").file_limit(256));
    let mut client = pair.server().client();
    let long = "x".repeat(16 << 10);
    wait_until("an append has failed", || {
        client.call(&["SET", "key", &long]);
        client.info("aof_last_write_status").as_deref() == Some("err")
    });
    wait_for_refusal(&mut client);
    compare(pair);
}

/// A Valkey that is told to be like Redis calls itself so.
#[test]
fn a_server_that_goes_by_another_name_is_called_by_it() {
    let mut pair = start(Options::new().set("save", "900 100000").set("busy-reply-threshold", "50"));
    let mut client = pair.server().client();
    if client.run("CONFIG SET extended-redis-compatibility yes").is_error() {
        return;
    }
    std::fs::create_dir(pair.server().directory().join("dump.rdb")).expect("a directory in the way");
    client.run("BGSAVE");
    wait_until("the save has failed", || client.info("rdb_last_bgsave_status").as_deref() == Some("err"));
    wait_for_refusal(&mut client);
    pair.compare(&["FCALL", "write", "1", "key"]);
    pair.finish();

    let server = Options::new().set("busy-reply-threshold", "50").start();
    let (mut caller, mut other) = (server.client(), server.client());
    other.run("CONFIG SET extended-redis-compatibility yes");
    load(&mut caller, &callback("while true do end"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("the server is busy", || other.run("PING").text().starts_with("BUSY Redis is busy"));
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
}

#[test]
fn over_maxmemory_and_without_enough_replicas() {
    let mut pair = start(Options::new());
    pair.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    pair.command(&["CONFIG", "SET", "maxmemory", "1"]);
    compare(pair);
}

#[test]
fn in_a_transaction_queued_before_the_state_changed() {
    let pair = start(Options::new());
    let (mut client, mut other) = (pair.server().client(), pair.server().client());
    for command in ["MULTI", "SHADOW.FCALL write 1 key", "SHADOW.FCALL read_ro 1 key"] {
        client.run(command);
    }
    let get = "return redis.call('get', KEYS[1])";
    for script in [&*format!("#!lua\n{get}"), &format!("#!lua flags=no-writes\n{get}"), get] {
        client.call(&["SHADOW.EVAL", script, "1", "key"]);
    }
    other.run("CONFIG SET maxmemory 1");
    let replies = client.run("EXEC").items();
    let refused: Vec<bool> = replies.iter().map(|reply| reply.text().starts_with("OOM ")).collect();
    assert_eq!(refused, [true, false, true, false, false], "{replies:?}");
    assert!(!replies.iter().zip(&refused).any(|(reply, refused)| reply.is_error() != *refused), "{replies:?}");
    assert_eq!(client.run("EXISTS key").text(), "0");
}

/// A cluster of one node that serves every slot.
fn cluster() -> Pair {
    let options = Options::new().set("cluster-enabled", "yes").set("cluster-port", &free_port().to_string());
    let mut pair = start(options);
    pair.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let mut client = pair.server().client();
    wait_until("the cluster is complete", || client.run("CLUSTER INFO").text().contains("cluster_state:ok"));
    pair
}

#[test]
fn in_a_cluster() {
    compare(cluster());
}

#[test]
fn in_a_cluster_that_does_not_serve_every_slot() {
    let options = Options::new().set("cluster-enabled", "yes").set("cluster-port", &free_port().to_string());
    let mut pair = start(options);
    for function in ["nothing", "nothing_ro", "lenient", "nothing_single", "nothing_cross"] {
        pair.compare(&["FCALL", function, "0"]);
        pair.compare(&["FCALL", function, "1", "key"]);
    }
    pair.finish();
}

#[test]
fn across_the_slots_of_a_cluster() {
    let mut pair = cluster();
    let is_apart = pair.server().keeps_slots_apart();
    for function in ["read", "read_cross", "missing"] {
        pair.compare(&["FCALL", function, "2", "a", "b"]);
        pair.compare(&["FCALL", function, "2", "{a}1", "{a}2"]);
        pair.compare(&["FCALL_RO", function, "2", "a", "b"]);
    }
    for flags in
        [None, Some(""), Some("allow-cross-slot-keys"), Some("no-writes"), Some("no-writes,allow-cross-slot-keys")]
    {
        for code in [
            "return {redis.call('get', 'a'), redis.call('get', 'b')}",
            "return {redis.call('get', '{a}1'), redis.call('get', '{a}2')}",
            "return redis.call('mget', 'a', 'b')",
            "return redis.call('mget', '{a}1', '{a}2')",
            "return redis.pcall('mget', 'a', 'b')",
            "redis.call('ping') redis.call('get', 'a') return redis.pcall('get', 'b')",
        ] {
            pair.flush();
            pair.load_bodies(&[Body::new("f", flags, code)]);
            pair.compare(&["FCALL", "f", "0"]);
            // What is refused where slots are kept apart is in `nothing_is_read_or_written_in_the_wrong_slot`: keys of
            // another slot than the declared key. Keys in several slots are the server's to refuse.
            let crosses = is_apart && flags.is_none_or(|flags| flags.contains("cross"));
            let is_scattered = code.contains("'mget', 'a', 'b'");
            if !crosses || is_scattered || code.contains("{a}") {
                pair.compare(&["FCALL", "f", "1", "a"]);
            }
            if !crosses || is_scattered {
                pair.compare(&["FCALL", "f", "1", "c"]);
            }
        }
    }
    pair.finish();
}
