//! Functions and scripts in a cluster of several nodes.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::differential::{Body, Pair, library};
use crate::support::library::{load, names, numbered};
use crate::support::server::free_port;
use crate::support::{Client, Options, Server, Value, wait_until};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// Keys by the master that serves them: the first, the second and the third of the slots' thirds.
const KEYS: [[&str; 2]; MASTERS] = [["b", "{b}2"], ["e", "{e}2"], ["a", "{a}2"]];

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A node and the port at which other nodes reach it.
struct Node {
    server: Server,
    bus: u16,
}

impl Node {
    fn start(options: Options) -> Self {
        let bus = free_port();
        Self { server: Self::options(options, bus).start(), bus }
    }

    fn options(options: Options, bus: u16) -> Options {
        options.set("cluster-enabled", "yes").set("cluster-port", &bus.to_string()).set("cluster-node-timeout", "5000")
    }

    /// Starts the node anew, on what it knows of the cluster and has saved.
    fn restart(&mut self, options: Options) {
        self.server.restart(&Self::options(options, self.bus));
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn id(&self) -> String {
        self.client().run("CLUSTER MYID").text()
    }

    fn serve(&self, first: usize, last: usize) {
        ok(&mut self.client(), &format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
    }
}

fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.run(line).text(), "OK", "{line}");
}

/// Makes the nodes know each other.
fn meet(nodes: &[&Node]) {
    // A node takes an epoch only while it knows no other: all of them before the first meets another.
    for (number, node) in nodes.iter().enumerate() {
        ok(&mut node.client(), &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
    }
    for node in nodes {
        let mut client = node.client();
        for other in nodes.iter().filter(|other| other.bus != node.bus) {
            ok(&mut client, &format!("CLUSTER MEET {LOCALHOST} {} {}", other.server.port(), other.bus));
        }
    }
    for node in nodes {
        let mut client = node.client();
        wait_until("every node knows every other", || {
            let list = client.run("CLUSTER NODES").text();
            list.lines().count() == nodes.len() && !list.contains("handshake") && !list.contains("disconnected")
        });
    }
}

fn wait_for_state(nodes: &[&Node]) {
    for node in nodes {
        let mut client = node.client();
        wait_until("the cluster is complete", || client.run("CLUSTER INFO").text().contains("cluster_state:ok"));
    }
}

/// Three masters that serve a third of the slots each, and a replica of the first.
struct Cluster {
    masters: Vec<Node>,
    replica: Node,
}

impl Cluster {
    fn start() -> Self {
        let masters: Vec<Node> = (0..MASTERS).map(|_| Node::start(Options::new())).collect();
        let replica = Node::start(Options::new());
        for (number, node) in masters.iter().enumerate() {
            node.serve(SLOTS * number / MASTERS, SLOTS * (number + 1) / MASTERS - 1);
        }
        let cluster = Self { masters, replica };
        let nodes = cluster.nodes();
        meet(&nodes);
        wait_for_state(&nodes);
        let mut client = cluster.replica.client();
        ok(&mut client, &format!("CLUSTER REPLICATE {}", cluster.masters[0].id()));
        cluster.wait_for_replica(&cluster.masters[0], &cluster.replica);
        for node in &nodes {
            let mut client = node.client();
            wait_until("every node knows the replica", || client.run("CLUSTER NODES").text().contains("slave"));
        }
        // Whatever is done with the cluster comes after this. Valkey 9 runs no inner command any more once it has seen
        // such keys.
        for node in &cluster.masters {
            let mut client = node.client();
            load(&mut client, &functions());
            for function in ["mget", "mget_cross"] {
                let reply = client.run(&format!("SHADOW.FCALL {function} 0 a b"));
                assert!(reply.is_error(), "{function} takes keys in several slots: {reply:?}");
            }
            assert_eq!(client.run("SHADOW.FCALL ping 0").text(), "PONG");
            ok(&mut client, "SHADOW.FUNCTION FLUSH");
        }
        cluster
    }

    fn nodes(&self) -> Vec<&Node> {
        self.masters.iter().chain([&self.replica]).collect()
    }

    fn wait_for_replica(&self, master: &Node, replica: &Node) {
        crate::support::replicas::wait_in_step(&master.server, &replica.server);
    }
}

/// What functions and scripts are and do, by name.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("get", "", "redis.call('get', KEYS[1])"),
    ("set", "", "redis.call('set', KEYS[1], 'x')"),
    ("ro", "no-writes", "redis.call('get', KEYS[1])"),
    ("both", "", "{redis.call('get', ARGV[1]), redis.call('get', ARGV[2])}"),
    ("both_cross", "allow-cross-slot-keys", "{redis.call('get', ARGV[1]), redis.call('get', ARGV[2])}"),
    ("mget", "", "redis.call('mget', ARGV[1], ARGV[2])"),
    ("mget_cross", "allow-cross-slot-keys", "redis.call('mget', ARGV[1], ARGV[2])"),
    ("caught", "", "redis.pcall('get', ARGV[1])"),
    ("retried", "", "{redis.pcall('get', ARGV[1]), redis.pcall('get', ARGV[2])}"),
    ("single", "no-cluster", "1"),
    ("single_ro", "no-cluster,no-writes", "1"),
    ("nothing", "", "#KEYS"),
    ("ping", "", "redis.call('ping')"),
    ("protected", "", "redis.pcall(unpack(ARGV))"),
    ("protected_cross", "allow-cross-slot-keys", "redis.pcall(unpack(ARGV))"),
];

/// Scripts of these names have no first line.
const COMPAT: &[(&str, &str)] = &[("get_compat", "get"), ("set_compat", "set"), ("both_compat", "both")];

fn bodies() -> Vec<Body> {
    let find = |name: &str| FUNCTIONS.iter().find(|function| function.0 == name).expect("a function");
    let flagged = FUNCTIONS.iter().map(|(name, flags, result)| Body::flagged(name, flags, &format!("return {result}")));
    let plain = COMPAT.iter().map(|(name, like)| Body::plain(name, &format!("return {}", find(like).2)));
    flagged.chain(plain).collect()
}

fn functions() -> String {
    library("mylib", &bodies())
}

/// Compares what a node answers to calls by the keys of every master, beside FCALL.
fn compare_calls(pair: &mut Pair) {
    for [key, neighbour] in KEYS {
        for function in ["get", "set", "get_compat", "set_compat", "ro", "single", "single_ro", "nothing", "missing"] {
            pair.compare(&["FCALL", function, "1", key]);
            pair.compare(&["FCALL", function, "2", key, neighbour]);
            pair.compare(&["FCALL_RO", function, "1", key]);
        }
    }
    pair.compare(&["FCALL", "nothing", "0"]);
    pair.compare(&["FCALL", "single", "0"]);
    pair.compare(&["FCALL_RO", "single_ro", "0"]);
    for (one, other) in [("a", "b"), ("b", "e"), ("b", "c"), ("e", "b")] {
        pair.compare(&["FCALL", "nothing", "2", one, other]);
        pair.compare(&["FCALL", "both_cross", "2", one, other]);
        pair.compare(&["FCALL_RO", "ro", "2", one, other]);
    }
}

/// Compares how a node treats keys that a call did not declare.
fn compare_undeclared_keys(pair: &mut Pair) {
    for function in ["both", "both_compat", "both_cross", "caught", "retried", "mget", "mget_cross"] {
        for [key, neighbour] in KEYS {
            pair.compare(&["FCALL", function, "0", key, neighbour]);
            for [other, _] in KEYS.iter().filter(|[other, _]| *other == key || !function.starts_with("mget")) {
                pair.compare(&["FCALL", function, "0", key, other]);
            }
        }
    }
}

/// Commands with keys in several slots.
const SCATTERED: &[&str] = &[
    "mget a b",
    "MGET a b e",
    "mset a 1 b 2",
    "del a b",
    "eval x 2 a b",
    "fcall ping 2 a b",
    "sinterstore a b e",
    "sort a store b",
    "zunion 2 a b",
    "xread streams a b 0 0",
    "blpop a b 0",
    "rename a b",
];

/// Compares what is said of one command with keys in several slots. After that Valkey 9 refuses every inner command of
/// its own functions: nothing else can be compared.
fn compare_scattered_keys(pair: &mut Pair) {
    for command in SCATTERED {
        for function in ["protected", "protected_cross"] {
            let words: Vec<&str> = ["FCALL", function, "0"].into_iter().chain(command.split(' ')).collect();
            pair.compare(&words);
        }
    }
    for function in ["mget", "mget_cross"] {
        for [key, _] in KEYS {
            for [other, _] in KEYS.iter().filter(|[other, _]| *other != key) {
                pair.compare(&["FCALL", function, "0", key, other]);
            }
        }
    }
    // What the caller may not do comes first.
    let rules = "on nopass resetkeys ~a +fcall +shadow.fcall +eval +shadow.eval +mget +del";
    pair.command(&["ACL", "SETUSER", "ann"].into_iter().chain(rules.split(' ')).collect::<Vec<_>>());
    pair.log_in("ann");
    for command in SCATTERED.iter().chain(&["mget b a"]) {
        let words: Vec<&str> = ["FCALL", "protected", "0"].into_iter().chain(command.split(' ')).collect();
        pair.compare(&words);
    }
}

/// Two keys of the first master in slots of their own.
fn two_slots_of_the_first(client: &mut Client) -> [String; 2] {
    let mut slot = |key: &str| client.run(&format!("CLUSTER KEYSLOT {key}")).text().parse::<usize>().expect("a slot");
    let mut found = (0..).map(|number| format!("k{number}")).filter(|key| slot(key) < SLOTS / MASTERS);
    [found.next().expect("a key"), found.next().expect("a key")]
}

#[test]
fn every_node_answers_calls_like_the_servers_own() {
    let Cluster { masters, replica } = Cluster::start();
    let mut probe = masters[0].client();
    let own = two_slots_of_the_first(&mut probe);
    // What is refused there is in `nothing_is_read_or_written_in_the_wrong_slot`.
    let is_apart = masters[0].server.keeps_slots_apart();
    for (number, node) in masters.into_iter().enumerate() {
        let mut pair = Pair::with(node.server);
        pair.load_bodies(&bodies());
        compare_calls(&mut pair);
        compare_undeclared_keys(&mut pair);
        if number == 0 {
            for function in ["both", "both_compat", "both_cross", "mget", "mget_cross"] {
                pair.compare(&["FCALL", function, "1", &own[0], &own[0], &own[0]]);
            }
            for function in ["both", "both_compat", "both_cross", "mget", "mget_cross"] {
                pair.compare(&["FCALL", function, "0", &own[0], &own[1]]);
                if !is_apart || !["both_compat", "both_cross"].contains(&function) {
                    pair.compare(&["FCALL", function, "1", &own[0], &own[0], &own[1]]);
                }
            }
        }
        compare_scattered_keys(&mut pair);
        pair.finish();
    }
    drop(replica);
}

#[test]
fn a_node_answers_calls_while_a_slot_moves_like_the_servers_own() {
    let Cluster { masters, replica: _replica } = Cluster::start();
    let (from, to) = (&masters[0], &masters[1]);
    let (mut source, mut target) = (from.client(), to.client());
    let slot = source.run("CLUSTER KEYSLOT b").text();
    ok(&mut source, "SET {b}here x");
    let address = format!("{LOCALHOST}:{}", to.server.port());
    ok(&mut target, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id()));
    ok(&mut source, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id()));

    load(&mut source, &functions());
    load(&mut target, &functions());
    assert_eq!(source.run("SHADOW.FCALL get 1 {b}here").text(), "x");
    assert_eq!(source.run("SHADOW.FCALL get 1 {b}moved").text(), format!("ASK {slot} {address}"));
    assert_eq!(source.run("SHADOW.FCALL_RO ro 1 {b}moved").text(), format!("ASK {slot} {address}"));
    assert!(source.run("SHADOW.FCALL nothing 2 {b}here {b}moved").text().starts_with("TRYAGAIN "));
    let moved = format!("MOVED {slot} {LOCALHOST}:{}", from.server.port());
    assert_eq!(target.run("SHADOW.FCALL set 1 {b}moved").text(), moved);
    ok(&mut target, "ASKING");
    assert_eq!(target.run("SHADOW.FCALL set 1 {b}moved").text(), "OK");
    assert_eq!(target.run("SHADOW.FCALL set 1 {b}moved").text(), moved, "asking holds for one command");
    // What a call that asks has not declared is there as well.
    ok(&mut target, "ASKING");
    assert_eq!(target.run("SHADOW.FCALL caught 0 {b}moved"), {
        ok(&mut target, "ASKING");
        assert!(!target.call(&["FUNCTION", "LOAD", "REPLACE", &functions()]).is_error());
        ok(&mut target, "ASKING");
        target.run("FCALL caught 0 {b}moved")
    });

    let mut pair = Pair::with(masters.into_iter().next().expect("the first master").server);
    pair.load_bodies(&bodies());
    for keys in [["{b}here", "{b}here"], ["{b}moved", "{b}moved"], ["{b}here", "{b}moved"]] {
        for function in ["both", "both_compat", "both_cross", "mget", "mget_cross", "caught"] {
            pair.compare(&["FCALL", function, "0", keys[0], keys[1]]);
            pair.compare(&["FCALL", function, "1", "{b}here", keys[0], keys[1]]);
        }
        for function in ["get", "get_compat", "ro", "nothing", "single"] {
            pair.compare(&["FCALL", function, "2", keys[0], keys[1]]);
        }
    }
    pair.finish();
}

/// Valkey refuses that as soon as a module is loaded that does not allow it.
#[test]
fn a_node_moves_slots_in_one_step_where_the_server_can() {
    let Cluster { masters, replica: _replica } = Cluster::start();
    let (from, to) = (&masters[0], &masters[1]);
    let (mut source, mut target) = (from.client(), to.client());
    if source.run("CLUSTER GETSLOTMIGRATIONS").is_error() {
        return;
    }
    load(&mut source, &functions());
    load(&mut target, &functions());
    ok(&mut source, "SET b x");
    let slot = source.run("CLUSTER KEYSLOT b").text();
    ok(&mut source, &format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {}", to.id()));
    wait_until("the slot has moved", || target.run("SHADOW.FCALL get 1 b").text() == "x");
    let moved = format!("MOVED {slot} {LOCALHOST}:{}", to.server.port());
    wait_until("the node knows it", || source.run("SHADOW.FCALL get 1 b").text() == moved);
    assert_eq!(source.run("SHADOW.FCALL nothing 0"), Value::Integer(0));
}

#[test]
fn libraries_belong_to_a_node_and_its_replica() {
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = cluster.nodes().iter().map(|node| node.client()).collect();
    load(&mut clients[0], &numbered(1));
    load(&mut clients[1], &numbered(2));
    cluster.wait_for_replica(&cluster.masters[0], &cluster.replica);
    assert_eq!(clients.iter_mut().map(names).collect::<Vec<_>>(), [vec!["lib1"], vec!["lib2"], vec![], vec!["lib1"]]);
    clients[1].run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(names(&mut clients[0]), ["lib1"]);
}

#[test]
fn a_replica_answers_calls_like_the_servers_own() {
    let cluster = Cluster::start();
    let mut client = cluster.masters[0].client();
    load(&mut client, &functions());
    assert!(!client.call(&["FUNCTION", "LOAD", &functions()]).is_error());
    ok(&mut client, "SET b x");
    cluster.wait_for_replica(&cluster.masters[0], &cluster.replica);
    let Cluster { masters: _masters, replica } = cluster;
    let mut pair = Pair::with(replica.server);
    pair.send_as_scripts(&bodies());
    compare_calls(&mut pair);
    pair.command(&["READONLY"]);
    for [key, _] in KEYS {
        for function in ["get", "set", "get_compat", "set_compat", "ro", "single_ro"] {
            pair.compare_in(2, &["FCALL", function, "1", key]);
            pair.compare_in(2, &["FCALL_RO", function, "1", key]);
        }
        pair.compare_in(2, &["FCALL", "caught", "0", key]);
        pair.compare_in(2, &["FCALL_RO", "ro", "0", key]);
    }
    pair.finish();
}

#[test]
fn a_replica_that_takes_over_serves_its_masters_libraries() {
    let cluster = Cluster::start();
    let (old, new) = (&cluster.masters[0], &cluster.replica);
    let (mut before, mut after) = (old.client(), new.client());
    load(&mut before, &functions());
    load(&mut before, &numbered(1));
    ok(&mut before, "SET b x");
    cluster.wait_for_replica(old, new);
    ok(&mut after, "CLUSTER FAILOVER");
    wait_until("the replica is the master", || {
        after.info("role").as_deref() == Some("master") && before.info("role").as_deref() == Some("slave")
    });
    cluster.wait_for_replica(new, old);
    assert_eq!(names(&mut after), ["lib1", "mylib"]);
    assert_eq!(after.run("SHADOW.FCALL get 1 b").text(), "x");
    ok(&mut after, "SHADOW.FUNCTION DELETE lib1");
    load(&mut after, &numbered(2));
    assert_eq!(after.run("SHADOW.FCALL set 1 {b}2").text(), "OK");
    cluster.wait_for_replica(new, old);
    assert_eq!(names(&mut before), ["lib2", "mylib"]);
    let address = format!("{LOCALHOST}:{}", new.server.port());
    assert!(before.run("SHADOW.FCALL set 1 b").text().ends_with(&address), "clients are sent to the new master");
    let mut other = cluster.masters[1].client();
    load(&mut other, &functions());
    wait_until("the others know", || other.run("SHADOW.FCALL get 1 b").text().ends_with(&address));

    // The same without the master's help: it is dead.
    let Cluster { mut masters, replica } = cluster;
    let old = masters.remove(0);
    drop((before, replica));
    let mut client = old.client();
    ok(&mut client, "CLUSTER FAILOVER TAKEOVER");
    wait_until("it serves again", || client.run("SHADOW.FCALL get 1 b").text() == "x");
    assert_eq!(names(&mut client), ["lib2", "mylib"]);
}

/// The libraries in the server's own registry, and in the module's.
fn both_registries(client: &mut Client) -> [Vec<String>; 2] {
    ["FUNCTION", "SHADOW.FUNCTION"].map(|command| {
        let list = client.call(&[command, "LIST"]).items();
        list.iter().map(|library| library.field("library_name").expect("a name").text()).collect()
    })
}

/// Loads a library into both registries of the cluster's first master and waits for its replica.
fn load_both(cluster: &Cluster) {
    let mut client = cluster.masters[0].client();
    for command in ["FUNCTION", "SHADOW.FUNCTION"] {
        assert!(!client.call(&[command, "LOAD", "REPLACE", &numbered(1)]).is_error());
    }
    cluster.wait_for_replica(&cluster.masters[0], &cluster.replica);
    let both = [vec!["lib1".to_owned()], vec!["lib1".to_owned()]];
    assert_eq!(both_registries(&mut cluster.replica.client()), both);
}

#[test]
fn a_node_that_is_reset_keeps_or_drops_libraries_like_the_servers_own() {
    for how in ["SOFT", "HARD"] {
        let cluster = Cluster::start();
        load_both(&cluster);
        let mut client = cluster.replica.client();
        ok(&mut client, &format!("CLUSTER RESET {how}"));
        let [own, shadow] = both_registries(&mut client);
        assert!(own.is_empty(), "a replica drops them");
        assert_eq!(own, shadow, "{how}");
        load(&mut client, &numbered(2));
        // It is a master now.
        ok(&mut client, &format!("CLUSTER RESET {how}"));
        assert_eq!(names(&mut client), ["lib2"]);
        let mut master = cluster.masters[0].client();
        ok(&mut master, &format!("CLUSTER RESET {how}"));
        let [own, shadow] = both_registries(&mut master);
        assert_eq!(own, ["lib1"], "a master keeps them");
        assert_eq!(own, shadow, "{how}");
    }
}

#[test]
fn a_reset_in_a_transaction_drops_the_libraries_of_a_replica() {
    let cluster = Cluster::start();
    load_both(&cluster);
    let mut client = cluster.replica.client();
    for command in ["MULTI", "PING", "CLUSTER RESET", "PING"] {
        assert!(!client.run(command).is_error(), "{command}");
    }
    client.run("EXEC");
    let [own, shadow] = both_registries(&mut client);
    assert_eq!(own, shadow);
    assert!(shadow.is_empty());
}

/// What the module is told of these looks like a reset.
#[test]
fn a_replica_that_takes_over_and_is_emptied_at_once_keeps_its_libraries() {
    for emptying in ["FLUSHALL", "FLUSHALL SYNC", "DEBUG RELOAD"] {
        let cluster = Cluster::start();
        load_both(&cluster);
        let mut client = cluster.replica.client();
        let commands = ["CLUSTER FAILOVER TAKEOVER", emptying].map(|line| line.split(' ').collect());
        for reply in client.pipeline(&commands) {
            assert!(!reply.is_error(), "{emptying}: {reply:?}");
        }
        let [own, shadow] = both_registries(&mut client);
        assert_eq!(own, ["lib1"], "{emptying}");
        assert_eq!(own, shadow, "{emptying}");
    }
}

/// The program that adds nodes to clusters, if it is there.
fn command_line() -> Option<String> {
    let program = std::env::var("CLI").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "redis-cli".to_owned());
    Command::new(&program).arg("--version").output().ok().map(|_| program)
}

/// Adds a node to the cluster of another, and returns what is said meanwhile.
fn add_node(program: &str, node: &Node, cluster: &Node) -> String {
    let address = |node: &Node| format!("{LOCALHOST}:{}", node.server.port());
    let output = Command::new(program)
        .args(["--cluster", "add-node", &address(node), &address(cluster)])
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_node_that_is_added_gets_the_libraries() {
    let Some(program) = command_line() else {
        eprintln!("skipped: there is no redis-cli (set CLI to its path)");
        return;
    };
    let intercepting = || Node::start(Options::new().module_arguments("intercept yes"));
    let [cluster, occupied, new] = [(); 3].map(|()| intercepting());
    cluster.serve(0, SLOTS - 1);
    wait_for_state(&[&cluster]);
    load(&mut cluster.client(), &functions());
    load(&mut cluster.client(), &numbered(1));

    load(&mut occupied.client(), &numbered(2));
    let said = add_node(&program, &occupied, &cluster);
    assert!(said.contains("New node already contains functions"), "{said}");
    assert_eq!(names(&mut occupied.client()), ["lib2"]);

    let said = add_node(&program, &new, &cluster);
    assert_eq!(names(&mut new.client()), ["lib1", "mylib"], "{said}");
    assert_eq!(new.client().run("FCALL nothing 0"), Value::Integer(0));
    assert_eq!(new.client().info_number("number_of_libraries"), 0, "the server's own registry stays empty");
}

/// When it starts, a node knows its part before it knows where its master is.
#[test]
fn a_replica_that_starts_anew_does_not_load_the_libraries_of_its_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("a.lua"), numbered(1)).expect("a file");
    let options = Options::new().module_arguments(&format!("library-dir {}", directory.path().display()));
    let (mut master, mut replica) = (Node::start(options.clone()), Node::start(Options::new()));
    master.serve(0, SLOTS - 1);
    meet(&[&master, &replica]);
    wait_for_state(&[&master, &replica]);
    ok(&mut replica.client(), &format!("CLUSTER REPLICATE {}", master.id()));
    crate::support::replicas::wait_in_step(&master.server, &replica.server);
    assert_eq!(names(&mut replica.client()), ["lib1"]);
    std::fs::write(directory.path().join("b.lua"), numbered(2)).expect("a file");
    for saved in [true, false] {
        if saved {
            ok(&mut replica.client(), "SAVE");
        } else {
            std::fs::remove_file(replica.server.directory().join("dump.rdb")).expect("there is a snapshot");
        }
        replica.restart(options.clone());
        assert!(replica.server.log().contains("those of a replica come from its master"), "{}", replica.server.log());
        crate::support::replicas::wait_in_step(&master.server, &replica.server);
        assert_eq!(names(&mut replica.client()), ["lib1"]);
    }
    master.restart(options);
    assert_eq!(names(&mut master.client()), ["lib1", "lib2"], "a master does");
}

/// Servers that keep the keys of each slot apart look for a key in the slot of the client whose command is running.
#[test]
fn nothing_is_read_or_written_in_the_wrong_slot() {
    const OTHER: &str = "keys of another slot than its declared keys";
    const UNKNOWN: &str = "undeclared keys in a transaction";
    let node = Node::start(Options::new());
    node.serve(0, SLOTS - 1);
    wait_for_state(&[&node]);
    let mut client = node.client();
    let set = "return redis.call('set', ARGV[1], 'x')";
    load(
        &mut client,
        &library("mylib", &[Body::flagged("set", "", set), Body::flagged("cross", "allow-cross-slot-keys", set)]),
    );
    let is_apart = node.server.keeps_slots_apart();
    for (call, refusal) in [
        (vec!["SHADOW.FCALL", "cross", "1", "a", "b"], OTHER),
        (vec!["SHADOW.EVAL", set, "1", "a", "b"], OTHER),
        (vec!["SHADOW.FCALL", "cross", "1", "{b}2", "b"], ""),
        (vec!["SHADOW.EVAL", set, "1", "{b}2", "b"], ""),
        (vec!["SHADOW.FCALL", "cross", "0", "b"], ""),
        (vec!["SHADOW.FCALL", "set", "0", "b"], ""),
        (vec!["SHADOW.EVAL", set, "0", "b"], ""),
    ] {
        ok(&mut client, "FLUSHALL");
        let reply = client.call(&call);
        check_written(&mut client, &reply, if is_apart { refusal } else { "" }, &call);
    }
    for call in [
        vec!["SHADOW.FCALL", "cross", "0", "b"],
        vec!["SHADOW.FCALL", "set", "0", "b"],
        vec!["SHADOW.EVAL", set, "0", "b"],
    ] {
        ok(&mut client, "FLUSHALL");
        ok(&mut client, "MULTI");
        client.run("GET a");
        client.call(&call);
        let reply = client.run("EXEC").items().swap_remove(1);
        check_written(&mut client, &reply, if is_apart { UNKNOWN } else { "" }, &call);
    }
}

/// Checks that a call was refused with a text that has `refusal` in it, or else has written the key `b`, where clients
/// find it; and nothing else.
fn check_written(client: &mut Client, reply: &Value, refusal: &str, call: &[&str]) {
    if refusal.is_empty() {
        assert_eq!(reply.text(), "OK", "{call:?}");
        assert_eq!(client.run("GET b").text(), "x", "{call:?}");
        assert_eq!(client.run("DBSIZE"), Value::Integer(1), "{call:?}");
    } else {
        assert!(reply.is_error() && reply.text().contains(refusal), "{reply:?} {call:?}");
        assert_eq!(client.run("DBSIZE"), Value::Integer(0), "{call:?}");
    }
}
