//! What a full synchronisation does with the libraries of a replica, however the replica loads the file.

use crate::support::library::{load, load_many, names, numbered, source};
use crate::support::replicas::{follow, replica_with, wait_in_step};
use crate::support::{Client, Options, Server, wait_until};

/// How a file gets to a replica: `repl-diskless-sync` of the master, `repl-diskless-load` of the replica.
const WAYS: &[(&str, &str)] = &[
    ("no", "disabled"),
    ("yes", "disabled"),
    ("yes", "on-empty-db"),
    ("yes", "swapdb"),
    ("no", "on-empty-db"),
    ("no", "swapdb"),
];

/// Settings that have the file sent over a connection of its own, where the server has one of them.
const CHANNELS: &[&str] = &["repl-rdb-channel", "dual-channel-replication-enabled"];

/// Libraries that the replicas here have before they get those of their master.
const STALE: usize = 3;

fn way(load: &str) -> Options {
    Options::new().set("repl-diskless-load", load)
}

fn set(client: &mut Client, name: &str, value: &str) {
    let reply = client.call(&["CONFIG", "SET", name, value]);
    assert!(!reply.is_error(), "{name} {value}: {reply:?}");
}

/// Checks that a server with libraries of its own has those of `master` once it follows it, and frees the others.
fn check_takes_over(master: &Server, replica: &Server, way: &str) {
    let mut client = replica.client();
    let freed = client.info_number("shadow_freed_libraries");
    for number in 0..STALE {
        load(&mut client, &numbered(100 + number));
    }
    follow(replica, master);
    wait_in_step(master, replica);
    let expected = names(&mut master.client());
    assert_eq!(names(&mut client), expected, "{way}");
    if !expected.is_empty() {
        load(&mut master.client(), &numbered(1));
        wait_in_step(master, replica);
        assert_eq!(client.run("SHADOW.FCALL_RO only_here 0").text(), "master", "{way}");
    }
    assert_eq!(client.run("SHADOW.FCALL_RO f100 0").text(), "ERR Function not found", "{way}");
    assert_eq!(client.run("GET key").text(), "value", "{way}");
    wait_until("the old libraries are freed", || {
        client.info_number("shadow_freed_libraries") >= freed + STALE as i64
            && client.info_number("shadow_pending_libraries") == 0
    });
}

/// A library whose function may run on a read-only replica.
fn reader(name: &str, answer: &str) -> String {
    let body = format!(
        "redis.register_function{{function_name='{name}', flags={{'no-writes'}}, callback=function() return '{answer}' end}}"
    );
    source(&format!("lib_{name}"), &body)
}

fn master_with_libraries() -> Server {
    let master = Server::start();
    let mut client = master.client();
    client.run("SET key value");
    load(&mut client, &reader("only_here", "master"));
    master
}

#[test]
fn a_replica_gets_the_libraries_whichever_way_it_loads() {
    let master = master_with_libraries();
    for (sync, load) in WAYS {
        set(&mut master.client(), "repl-diskless-sync", sync);
        check_takes_over(&master, &way(load).start(), &format!("sync {sync}, load {load}"));
    }
}

#[test]
fn a_replica_gets_the_libraries_over_a_connection_of_their_own() {
    let master = master_with_libraries();
    set(&mut master.client(), "repl-diskless-sync", "yes");
    for channel in CHANNELS {
        if master.client().call(&["CONFIG", "SET", channel, "yes"]).is_error() {
            continue;
        }
        for load in ["disabled", "on-empty-db", "swapdb"] {
            let replica = way(load).set(channel, "yes").start();
            check_takes_over(&master, &replica, &format!("{channel}, load {load}"));
        }
    }
}

#[test]
fn a_replicas_libraries_vanish_when_the_master_has_none() {
    let master = Server::start();
    master.client().run("SET key value");
    for (sync, load) in WAYS {
        set(&mut master.client(), "repl-diskless-sync", sync);
        check_takes_over(&master, &way(load).start(), &format!("sync {sync}, load {load}"));
    }
}

#[test]
fn a_library_of_the_same_name_is_the_masters() {
    let master = master_with_libraries();
    for (sync, load_way) in WAYS {
        set(&mut master.client(), "repl-diskless-sync", sync);
        let replica = way(load_way).start();
        let mut client = replica.client();
        load(&mut client, &reader("only_here", "replica"));
        follow(&replica, &master);
        wait_in_step(&master, &replica);
        assert_eq!(client.run("SHADOW.FCALL_RO only_here 0").text(), "master", "sync {sync}, load {load_way}");
    }
}

#[test]
fn many_libraries_come_with_the_file() {
    let master = Server::start();
    load_many(&mut master.client(), 5_000);
    let replica = replica_with(way("swapdb"), &master);
    let mut client = replica.client();
    assert_eq!(client.info_number("shadow_libraries"), 5_000);
    load(&mut master.client(), &reader("late", "here"));
    wait_in_step(&master, &replica);
    assert_eq!(client.run("SHADOW.FCALL_RO late 0").text(), "here");
}

// ---- transfers that take long -----------------------------------------------------------------------------------

/// Bytes of a value: enough that each goes out by itself.
const VALUE: usize = 40_000;

/// A master of `keys` keys that sends a file slowly, `delay` microseconds for each key, from memory.
fn slow_master(keys: usize, delay: usize) -> Server {
    slow_master_of(VALUE, keys, delay)
}

/// [`slow_master`] of keys with so many bytes.
fn slow_master_of(bytes: usize, keys: usize, delay: usize) -> Server {
    let master = Options::new()
        .set("repl-diskless-sync", "yes")
        .set("rdbcompression", "no")
        .set("rdb-key-save-delay", &delay.to_string())
        .set("repl-backlog-size", "16384")
        .start();
    let mut client = master.client();
    let commands: Vec<Vec<Vec<u8>>> =
        (0..keys).map(|key| vec![b"SET".to_vec(), format!("key{key}").into_bytes(), vec![b'x'; bytes]]).collect();
    client.pipeline(&commands);
    master
}

/// A replica that looks after its clients often while it loads.
fn attentive(load: &str) -> Options {
    way(load).set("loading-process-events-interval-bytes", "1024").set("repl-timeout", "10")
}

fn wait_for_load(client: &mut Client, field: &str) {
    wait_until("the replica loads", || client.info(field).as_deref() == Some("1"));
}

fn wait_for_end_of_load(client: &mut Client) {
    wait_until("the load has ended", || client.info("loading").as_deref() == Some("0"));
}

/// A replica in step with a slow master that then gets other libraries and a full synchronisation: while this runs
/// the replica serves what it had.
fn serving_while_loading(keys: usize, delay: usize) -> (Server, Server) {
    let master = slow_master(keys, 0);
    let mut client = master.client();
    load(&mut client, &reader("old", "old"));
    let replica = replica_with(attentive("swapdb"), &master);
    set(&mut client, "rdb-key-save-delay", &delay.to_string());
    // In one transaction, so that nothing of it gets to the replica before the link is cut.
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    client.run("SHADOW.FUNCTION FLUSH");
    client.call(&["SHADOW.FUNCTION", "LOAD", &reader("new", "new")]);
    client.call(&["SHADOW.FUNCTION", "LOAD", &reader("newer", "newer")]);
    // More than the master keeps for replicas that come back.
    client.call(&["SET", "filler", &"x".repeat(100_000)]);
    let replies = client.run("EXEC").items();
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    (master, replica)
}

#[test]
fn with_swapdb_the_old_libraries_serve_until_the_new_ones_are_complete() {
    let (master, replica) = serving_while_loading(60, 10_000);
    let mut client = replica.client();
    wait_for_load(&mut client, "async_loading");
    let mut served = 0;
    loop {
        let answer = client.run("SHADOW.FCALL_RO old 0").text();
        let listed = names(&mut client);
        if client.info("async_loading").as_deref() != Some("1") {
            break;
        }
        assert_eq!((answer.as_str(), listed), ("old", vec!["lib_old".to_owned()]));
        served += 1;
    }
    assert!(served > 0, "the load was over before it was looked at");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut client), ["lib_new", "lib_newer"]);
    assert_eq!(client.run("SHADOW.FCALL_RO new 0").text(), "new");
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "ERR Function not found");
    wait_until("the old library is freed", || client.info_number("shadow_freed_libraries") == 1);
}

#[test]
fn with_swapdb_the_old_libraries_stay_when_the_master_dies_on_the_way() {
    let (mut master, replica) = serving_while_loading(500, 20_000);
    let mut client = replica.client();
    wait_for_load(&mut client, "async_loading");
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "old");
    master.kill_all();
    wait_for_end_of_load(&mut client);
    assert_eq!(names(&mut client), ["lib_old"]);
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "old");
    wait_until("what had been loaded is freed", || client.info_number("shadow_freed_libraries") == 2);
    assert_eq!(client.run("REPLICAOF NO ONE").text(), "OK");
    load(&mut client, &numbered(1));
    assert_eq!(names(&mut client), ["lib1", "lib_old"]);
}

#[test]
fn with_swapdb_and_another_history_the_old_libraries_stay_when_the_master_dies_on_the_way() {
    let mut master = slow_master(500, 20_000);
    load(&mut master.client(), &reader("new", "new"));
    let replica = attentive("swapdb").start();
    let mut client = replica.client();
    load(&mut client, &reader("old", "old"));
    follow(&replica, &master);
    wait_for_load(&mut client, "loading");
    assert_eq!(client.info("async_loading").as_deref(), Some("0"), "nothing is served of another history");
    master.kill_all();
    wait_for_end_of_load(&mut client);
    assert_eq!(names(&mut client), ["lib_old"]);
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "old");
    wait_until("what had been loaded is freed", || client.info_number("shadow_freed_libraries") == 1);
}

#[test]
fn writers_are_refused_as_ever_while_the_old_libraries_serve() {
    let (_master, replica) = serving_while_loading(500, 20_000);
    let mut client = replica.client();
    wait_for_load(&mut client, "async_loading");
    assert_eq!(
        client.call(&["SHADOW.FUNCTION", "LOAD", &numbered(1)]).text(),
        "READONLY You can't write against a read only replica."
    );
    set(&mut client, "replica-read-only", "no");
    load(&mut client, &numbered(1));
    set(&mut client, "replica-read-only", "yes");
    assert_eq!(client.run("SHADOW.FCALL f1 0").text(), "READONLY You can't write against a read only replica.");
}

#[test]
fn a_file_that_breaks_off_leaves_nothing_of_itself() {
    let mut master = slow_master(500, 20_000);
    load(&mut master.client(), &reader("new", "new"));
    let replica = attentive("on-empty-db").start();
    let mut client = replica.client();
    // Libraries without keys do not make a replica one that has data.
    load(&mut client, &reader("old", "old"));
    follow(&replica, &master);
    wait_for_load(&mut client, "loading");
    assert!(client.run("SHADOW.FCALL_RO old 0").text().starts_with("LOADING "));
    assert_eq!(client.run("SHADOW.FUNCTION RESETSTAT").text(), "OK");
    master.kill_all();
    wait_for_end_of_load(&mut client);
    assert_eq!(names(&mut client), [""; 0]);
}

#[test]
fn a_replica_keeps_serving_until_the_file_is_there() {
    let mut master = slow_master(500, 20_000);
    load(&mut master.client(), &reader("new", "new"));
    let replica = attentive("disabled").start();
    let mut client = replica.client();
    load(&mut client, &reader("old", "old"));
    follow(&replica, &master);
    wait_until("the file is on its way", || client.info("master_sync_in_progress").as_deref() == Some("1"));
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "old");
    master.kill_all();
    wait_until("the link is down", || client.info("master_sync_in_progress").as_deref() == Some("0"));
    assert_eq!(client.run("SHADOW.FCALL_RO old 0").text(), "old");
}

/// Checks that a replica that misses changes gets them with a full synchronisation.
fn check_second_sync(sync: &str, load_way: &str) {
    let master = Options::new().set("repl-diskless-sync", sync).set("repl-backlog-size", "16384").start();
    let mut client = master.client();
    load(&mut client, &numbered(1));
    let replica = replica_with(way(load_way), &master);
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    client.run("SHADOW.FUNCTION DELETE lib1");
    client.call(&["SHADOW.FUNCTION", "LOAD", &numbered(2)]);
    client.call(&["SET", "filler", &"x".repeat(100_000)]);
    let replies = client.run("EXEC").items();
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    wait_in_step(&master, &replica);
    assert_eq!(client.info_number("sync_full"), 2, "sync {sync}, load {load_way}");
    assert_eq!(names(&mut replica.client()), ["lib2"], "sync {sync}, load {load_way}");
}

#[test]
fn a_second_full_sync_brings_what_was_missed() {
    std::thread::scope(|scope| {
        for (sync, load) in WAYS {
            scope.spawn(move || check_second_sync(sync, load));
        }
    });
}

// ---- a function that runs when the file comes -------------------------------------------------------------------

/// A library whose function runs until somebody ends it.
fn endless() -> String {
    let body =
        "redis.register_function{function_name='spin', flags={'no-writes'}, callback=function() while true do end end}";
    source("endless", body)
}

/// Checks that a file which is sent while a function of the replica is running takes the place of all, and ends the
/// function if it cannot wait for it.
fn check_file_meets_a_running_function(libraries: &[&str], load_way: &str) {
    // All of the file goes out at its end, when the function is running.
    let master = slow_master_of(1, 20, 20_000);
    libraries.iter().for_each(|name| load(&mut master.client(), &reader(name, name)));
    let replica = way(load_way).set("busy-reply-threshold", "20").start();
    let (mut client, mut other) = (replica.client(), replica.client());
    load(&mut client, &endless());
    // Redis 8.2 reads a file while a function is running, others when it has ended, or when they let clients in.
    let reads_on = replica.version() >= (8, 2, 0);
    follow(&replica, &master);
    wait_until("the file is on its way", || other.info("master_sync_in_progress").as_deref() == Some("1"));
    client.send(&["SHADOW.FCALL_RO", "spin", "0"]);
    wait_until("the function keeps others waiting", || other.run("PING").text().starts_with("BUSY "));
    if !reads_on {
        master.wait_for_log("terminated with success");
        let reply = other.run("SHADOW.FUNCTION KILL").text();
        assert!(reply == "OK" || reply.starts_with("NOTBUSY "), "{load_way}, {libraries:?}: {reply}");
    }
    let reply = client.read().text();
    assert!(reply.starts_with("ERR ") && reply.contains(" script: "), "{load_way}, {libraries:?}: {reply}");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut other), names(&mut master.client()), "{load_way}, {libraries:?}");
    assert_eq!(other.run("SHADOW.FCALL_RO spin 0").text(), "ERR Function not found");
}

#[test]
fn a_file_that_meets_a_running_function_takes_its_place() {
    std::thread::scope(|scope| {
        for libraries in [[].as_slice(), &["new", "newer"]] {
            for load_way in ["disabled", "swapdb"] {
                scope.spawn(move || check_file_meets_a_running_function(libraries, load_way));
            }
        }
    });
}
