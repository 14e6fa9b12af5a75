//! Files that cannot be written: the server's limit for its files stands in for a full disk.

use super::{check_unharmed, library};
use crate::support::library::{load, names, source};
use crate::support::{Client, Options, Server, wait_until};

/// What fits into a file, in KiB.
const LIMIT: u32 = 512;

/// A library that does not fit, whatever the file is compressed by.
fn large(name: &str) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(900_000).collect();
    source(name, &format!("redis.register_function('{name}', function() return 1 end) --{text}"))
}

fn set(client: &mut Client, name: &str, value: &str) {
    assert_eq!(client.call(&["CONFIG", "SET", name, value]).text(), "OK");
}

fn wait_for_child(client: &mut Client) {
    wait_until("the child has ended", || {
        client.info_number("rdb_bgsave_in_progress")
            + client.info_number("aof_rewrite_in_progress")
            + client.info_number("aof_rewrite_scheduled")
            == 0
    });
}

/// Saves in the background; whether that succeeds.
fn saves(client: &mut Client) -> bool {
    let reply = client.run("BGSAVE");
    assert!(!reply.is_error(), "{reply:?}");
    wait_for_child(client);
    client.info("rdb_last_bgsave_status").as_deref() == Some("ok")
}

/// Rewrites the append-only file; whether that succeeds.
fn rewrites(client: &mut Client) -> bool {
    let reply = client.run("BGREWRITEAOF");
    assert!(!reply.is_error(), "{reply:?}");
    wait_for_child(client);
    client.info("aof_last_bgrewrite_status").as_deref() == Some("ok")
}

#[test]
fn a_snapshot_that_does_not_fit_fails_and_the_next_one_is_written() {
    let options = Options::new();
    let mut server = options.clone().file_limit(LIMIT).start();
    let mut client = server.client();
    load(&mut client, &library());
    assert_eq!(client.run("SAVE").text(), "OK");
    for round in 0..2 {
        load(&mut client, &large("large"));
        let libraries = client.run("SHADOW.FUNCTION LIST WITHCODE");
        assert!(client.run("SAVE").is_error(), "round {round}");
        assert!(!saves(&mut client), "round {round}");
        assert_eq!(client.run("SHADOW.FUNCTION LIST WITHCODE"), libraries);
        assert_eq!(client.run("SHADOW.FCALL large 0").text(), "1");
        // No save point is set: writes go on.
        assert_eq!(client.run("SHADOW.FCALL set 1 key").text(), "OK");
        assert_eq!(client.run("SHADOW.FUNCTION DELETE large").text(), "OK");
        assert!(saves(&mut client), "round {round}");
        assert_eq!(client.run("SAVE").text(), "OK", "round {round}");
    }
    check_unharmed(&server);
    load(&mut client, &library());
    assert_eq!(client.run("SAVE").text(), "OK");
    load(&mut client, &large("large"));
    assert!(client.run("SAVE").is_error());
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib"], "the last file that was whole");
}

#[test]
fn while_snapshots_fail_calls_are_refused_as_the_servers_own() {
    let server = Options::new().file_limit(LIMIT).set("save", "3600 1000000").start();
    let mut client = server.client();
    super::load_both(&mut client);
    load(&mut client, &large("large"));
    assert!(!saves(&mut client));
    let expected = client.run("FCALL set 1 key");
    assert!(expected.text().starts_with("MISCONF "), "{expected:?}");
    wait_until("the module knows", || client.run("SHADOW.FCALL set 1 key") == expected);
    assert_eq!(client.run("SHADOW.FUNCTION DELETE large").text(), expected.text(), "nor are libraries changed");
    set(&mut client, "stop-writes-on-bgsave-error", "no");
    assert_eq!(client.run("SHADOW.FUNCTION DELETE large").text(), "OK");
    set(&mut client, "stop-writes-on-bgsave-error", "yes");
    assert!(saves(&mut client));
    assert_eq!(client.run("SHADOW.FCALL set 1 key").text(), "OK");
    check_unharmed(&server);
}

#[test]
fn a_rewrite_that_does_not_fit_fails_and_the_next_one_is_written() {
    for preamble in ["yes", "no"] {
        let options = Options::new().set("appendonly", "yes").set("aof-use-rdb-preamble", preamble);
        // What is appended fits.
        let mut server = options.clone().file_limit(4 * LIMIT).start();
        let mut client = server.client();
        load(&mut client, &library());
        // Each file of commands is begun with a rewrite, be it one that fails.
        for name in ["one", "two", "three"] {
            load(&mut client, &large(name));
            let fits = name != "three";
            assert_eq!(rewrites(&mut client), fits, "{name} {preamble}");
        }
        let all = names(&mut client);
        assert_eq!(all, ["lib", "one", "three", "two"]);
        assert_eq!(client.run("SHADOW.FCALL three 0").text(), "1");
        server.restart(&options.clone().file_limit(4 * LIMIT));
        let mut client = server.client();
        assert_eq!(names(&mut client), all, "the files of before hold all of it");
        assert_eq!(client.run("SHADOW.FUNCTION DELETE one").text(), "OK");
        assert!(rewrites(&mut client), "{preamble}");
        server.restart(&options);
        assert_eq!(names(&mut server.client()), ["lib", "three", "two"]);
        check_unharmed(&server);
    }
}

/// A replica that cannot write the file which its master sends has what it had, and gets it later.
#[test]
fn a_replica_without_room_for_the_file_gets_it_when_there_is_room() {
    use crate::support::replicas::{follow, wait_in_step};
    let master = Options::new().set("repl-diskless-sync", "yes").start();
    let mut client = master.client();
    load(&mut client, &library());
    load(&mut client, &large("large"));
    let replica = Options::new().set("repl-diskless-load", "disabled").file_limit(LIMIT).start();
    let mut below = replica.client();
    load(&mut below, &source("old", "redis.register_function('old', function() return 1 end)"));
    follow(&replica, &master);
    let failed = |server: &Server| server.log().to_lowercase().contains("write error or short write");
    wait_until("it has failed to write the file", || failed(&replica));
    assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
    set(&mut below, "repl-diskless-load", "swapdb");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut below), ["large", "lib"]);
    check_unharmed(&master);
}
