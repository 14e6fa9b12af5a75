//! Replicas whose link breaks in every phase: the master goes on, and in the end both have the same libraries.

use super::{arm, beside_neighbour, check_unharmed, library, results};
use crate::support::library::{load, load_many, numbered, source};
use crate::support::replicas::{replica_with, wait_in_step};
use crate::support::{Client, Options, Server, Value, wait_until};

const COUNT: usize = 200;

/// What a server says of its libraries, without what differs from server to server.
fn libraries(client: &mut Client) -> (Value, Vec<[String; 5]>, Value) {
    let versions = client.run("SHADOW.FUNCTION VERSIONS");
    let current = versions.items().into_iter().filter(|version| version.field("current") == Some(Value::Integer(1)));
    let named = |version: Value| {
        ["version", "sha256", "deployed_at_ms", "client", "user"]
            .map(|field| version.field(field).map(|value| value.text()).expect("a field"))
    };
    (client.run("SHADOW.FUNCTION LIST WITHCODE"), current.map(named).collect(), client.run("SHADOW.FUNCTION DUMP"))
}

/// Waits until both have run the same commands, and compares their libraries.
fn check_alike(master: &Server, replica: &Server) {
    wait_in_step(master, replica);
    let (above, below) = (libraries(&mut master.client()), libraries(&mut replica.client()));
    assert_eq!(sorted(&below.0), sorted(&above.0));
    assert_eq!(below.1, above.1);
    assert_eq!(text_length(&below.2), text_length(&above.2));
}

/// The libraries of a list: their order is the registry's own affair.
fn sorted(list: &Value) -> Vec<String> {
    let mut all: Vec<String> =
        list.items().iter().map(|library| library.field("library_code").expect("asked for").text()).collect();
    all.sort();
    all
}

fn text_length(dump: &Value) -> usize {
    match dump {
        Value::Bulk(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Cuts the links of all replicas.
fn cut(client: &mut Client) -> Value {
    client.run("CLIENT KILL TYPE replica")
}

fn deploy(version: &str, count: usize) -> Vec<String> {
    let head = ["SHADOW.FUNCTION", "DEPLOY", "VERSION", version].map(str::to_owned);
    head.into_iter().chain([library()]).chain((0..count).map(numbered)).collect()
}

/// Neither the handshake nor what follows it is finished.
#[test]
fn one_that_leaves_in_the_handshake_leaves_nothing() {
    let master = Options::new().start();
    let mut client = master.client();
    load(&mut client, &library());
    load_many(&mut client, COUNT);
    let steps = [
        "PING",
        "REPLCONF listening-port 1",
        "REPLCONF capa eof capa psync2",
        "PSYNC ? -1",
        "REPLCONF ACK 0",
        "PSYNC 0000000000000000000000000000000000000000 1",
    ];
    for last in 1..=steps.len() {
        let mut replica = master.client();
        for step in &steps[..last] {
            replica.send(&step.split(' ').collect::<Vec<_>>());
        }
        // The beginning of what the master says.
        assert!(replica.read_raw().is_ok());
        drop(replica);
        assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
    }
    wait_until("they are gone", || client.info_number("connected_clients") == 1);
    wait_until("the master has given up", || {
        client.info_number("connected_slaves") + client.info_number("rdb_bgsave_in_progress") == 0
    });
    check_alike(&master, &replica_with(Options::new(), &master));
    check_unharmed(&master);
}

#[test]
fn one_that_is_cut_off_while_the_file_is_written_or_loaded_gets_it_later() {
    for (diskless, load_way) in [("no", "disabled"), ("yes", "disabled"), ("yes", "swapdb")] {
        // Each key takes a while to be written.
        let master = Options::new().set("repl-diskless-sync", diskless).set("rdb-key-save-delay", "2000").start();
        let mut client = master.client();
        load(&mut client, &library());
        load_many(&mut client, COUNT);
        assert_eq!(client.run("DEBUG POPULATE 2000 key 100").text(), "OK");
        let options = Options::new().set("repl-diskless-load", load_way).set("repl-timeout", "10");
        let address = format!("127.0.0.1 {}", master.port());
        let mut replica = options.clone().set("replicaof", &address).start();
        for round in 0..2 {
            wait_until("the file is written", || client.info_number("rdb_bgsave_in_progress") == 1);
            if round == 0 {
                cut(&mut client);
            } else {
                replica.kill();
                replica.restart(&options.clone().set("replicaof", &address));
            }
            assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
            load(&mut client, &numbered(COUNT + round));
        }
        assert_eq!(client.call(&["CONFIG", "SET", "rdb-key-save-delay", "0"]).text(), "OK");
        // The child that still writes has the old delay.
        cut(&mut client);
        check_alike(&master, &replica);
        // Now in the middle of the load.
        let mut below = replica.client();
        assert_eq!(below.run("CONFIG SET key-load-delay 500 loading-process-events-interval-bytes 1024").text(), "OK");
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &numbered(1)]).text(), "lib1");
        for _ in 0..2 {
            // It needs all of it anew.
            assert_eq!(below.run("REPLICAOF NO ONE").text(), "OK");
            load(&mut below, &source("stale", "redis.register_function('stale', function() return 1 end)"));
            below.run(&format!("REPLICAOF {address}"));
            wait_until("it loads", || {
                ["loading", "async_loading"].iter().any(|field| below.info(field).as_deref() == Some("1"))
            });
            cut(&mut client);
            // From a file it loads to the end, which is no matter of the link.
            wait_until("the load has ended", || below.info("loading").as_deref() == Some("0"));
        }
        assert_eq!(below.run("CONFIG SET key-load-delay 0").text(), "OK");
        check_alike(&master, &replica);
        assert_eq!(below.run("SHADOW.FCALL stale 0").text(), "ERR Function not found");
        check_unharmed(&master);
    }
}

/// What a function writes is sent as one transaction when it has ended.
#[test]
fn one_that_is_cut_off_in_the_middle_of_a_function_has_all_that_it_wrote() {
    let master = beside_neighbour().start();
    let mut client = master.client();
    let replica = replica_with(Options::new(), &master);
    let body =
        "redis.call('SET', 'one', ARGV[1]) redis.call('SET', 'watched', ARGV[1]) redis.call('SET', 'two', ARGV[1])";
    load(&mut client, &source("mylib", &format!("redis.register_function('f', function(KEYS, ARGV) {body} end)")));
    wait_in_step(&master, &replica);
    arm(&mut client, "keyspace", "E", &["CLIENT", "KILL", "TYPE", "replica"]);
    for round in ["1", "2", "3"] {
        client.run(&format!("SHADOW.FCALL f 0 {round}"));
        client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &library()]);
        wait_in_step(&master, &replica);
        let mut below = replica.client();
        assert_eq!(["one", "watched", "two"].map(|key| below.run(&format!("GET {key}")).text()), [round; 3]);
    }
    assert!(results(&mut client).contains(&"keyspace: :1".to_owned()), "a link was cut");
    check_alike(&master, &replica);
    check_unharmed(&master);
}

#[test]
fn one_that_is_cut_off_while_a_deploy_is_on_its_way_gets_it_later() {
    // With a backlog that holds what it has missed, and with one that does not.
    for backlog in ["64mb", "16kb"] {
        let master = Options::new().set("repl-backlog-size", backlog).start();
        let mut client = master.client();
        let mut replica = replica_with(Options::new(), &master);
        load(&mut client, &library());
        for round in 0..4 {
            let version = format!("v{round}");
            let mut deployer = master.client();
            deployer.send(&deploy(&version, 2_000));
            match round {
                // While it is built; when it was just sent; while the replica builds it; with a replica that starts
                // anew.
                0 => drop(cut(&mut client)),
                1 => {
                    assert_eq!(deployer.read().text(), version);
                    cut(&mut client);
                }
                2 => {
                    let mut below = replica.client();
                    assert_eq!(deployer.read().text(), version);
                    wait_until("the replica has it", || {
                        below.info_number("shadow_deploys_pending") == 1
                            || below.info_number("shadow_deploys") >= 1 && below.run("SHADOW.FCALL_RO f1 0").is_error()
                            || libraries(&mut below).1.iter().any(|current| current[0] == version)
                    });
                    cut(&mut client);
                }
                _ => {
                    replica.kill();
                    assert_eq!(deployer.read().text(), version);
                    let address = format!("127.0.0.1 {}", master.port());
                    replica.restart(&Options::new().set("replicaof", &address));
                }
            }
            if round == 0 {
                assert_eq!(deployer.read().text(), version);
            }
            check_alike(&master, &replica);
            assert_eq!(libraries(&mut replica.client()).1[0][0], version, "{backlog}");
        }
        let cuts = client.info_number("sync_partial_ok") + client.info_number("sync_full");
        assert!(cuts >= 4, "{cuts}");
        check_unharmed(&master);
    }
}
