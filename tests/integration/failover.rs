//! A replica takes the place of its master.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::library::{load, names, numbered, source};
use crate::support::replicas::{follow, replica_of, wait_in_step};
use crate::support::server::{free_port, server_binary};
use crate::support::{Client, Server, Value, wait_until};

/// A Sentinel that decides alone. It ends with this value.
struct Sentinel {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Sentinel {
    fn start() -> Self {
        let directory = TempDir::with_prefix("shadow-").expect("a temporary directory");
        // It keeps what it learns there.
        File::create(directory.path().join("sentinel.conf")).expect("a file");
        let port = free_port();
        let mut command = Command::new(server_binary());
        command.current_dir(directory.path()).args(["sentinel.conf", "--sentinel", "--bind", "127.0.0.1", "--port"]);
        command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the server's binary starts as a Sentinel");
        wait_until("the Sentinel answers", || Client::connect(port).is_ok());
        Self { child, port, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::connect(self.port).expect("the Sentinel answers")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A function that writes.
fn counter() -> String {
    source("counter", "redis.register_function('count', function() return redis.call('incr', 'n') end)")
}

fn master() -> Server {
    let master = Server::start();
    let mut client = master.client();
    load(&mut client, &counter());
    load(&mut client, &numbered(1));
    master
}

/// Checks that a server is a master with everything in place.
fn check_serves(client: &mut Client, count: i64) {
    assert_eq!(names(client), ["counter", "lib1"]);
    assert_eq!(client.run("SHADOW.FCALL count 0").text(), count.to_string());
    assert_eq!(client.run("SHADOW.FCALL f1 0").text(), "1");
}

fn role(client: &mut Client) -> String {
    client.info("role").unwrap_or_default()
}

#[test]
fn a_promoted_replica_keeps_everything() {
    let master = master();
    let replica = replica_of(&master);
    let mut client = replica.client();
    assert_eq!(client.run("SHADOW.FCALL count 0").text(), "READONLY You can't write against a read only replica.");
    assert_eq!(client.run("REPLICAOF NO ONE").text(), "OK");
    check_serves(&mut client, 1);
    load(&mut client, &numbered(2));
    assert_eq!(names(&mut client), ["counter", "lib1", "lib2"]);
    assert_eq!(names(&mut master.client()), ["counter", "lib1"], "what was its master is not concerned");
}

#[test]
fn the_failover_command_swaps_the_two() {
    let master = master();
    let replica = replica_of(&master);
    let (mut old, mut new) = (master.client(), replica.client());
    check_serves(&mut old, 1);
    assert_eq!(old.run("FAILOVER").text(), "OK");
    wait_until("the replica is the master", || role(&mut new) == "master" && role(&mut old) == "slave");
    wait_in_step(&replica, &master);
    assert_eq!(old.info_number("sync_full"), 1);
    assert_eq!(new.info_number("sync_full"), 0, "the link went on where it was");
    check_serves(&mut new, 2);
    load(&mut new, &numbered(2));
    new.run("SHADOW.FUNCTION DELETE lib1");
    wait_in_step(&replica, &master);
    assert_eq!(names(&mut old), ["counter", "lib2"]);
    assert_eq!(old.run("GET n").text(), "2");
    assert_eq!(old.run("SHADOW.FCALL count 0").text(), "READONLY You can't write against a read only replica.");
}

#[test]
fn the_other_replicas_follow_a_promoted_one_without_a_full_sync() {
    let master = master();
    let replicas = [replica_of(&master), replica_of(&master)];
    let [mut new, mut other] = [replicas[0].client(), replicas[1].client()];
    wait_in_step(&master, &replicas[0]);
    drop(master);
    assert_eq!(new.run("REPLICAOF NO ONE").text(), "OK");
    check_serves(&mut new, 1);
    follow(&replicas[1], &replicas[0]);
    load(&mut new, &numbered(2));
    wait_in_step(&replicas[0], &replicas[1]);
    assert_eq!(new.info_number("sync_full"), 0, "the link went on where it was");
    assert_eq!(names(&mut other), ["counter", "lib1", "lib2"]);
}

#[test]
fn a_master_that_comes_back_empty_is_filled_by_its_successor() {
    let first = master();
    let replica = replica_of(&first);
    drop(first);
    let mut new = replica.client();
    new.run("REPLICAOF NO ONE");
    load(&mut new, &numbered(2));
    let back = Server::start();
    let mut client = back.client();
    load(&mut client, &numbered(3));
    follow(&back, &replica);
    wait_in_step(&replica, &back);
    assert_eq!(names(&mut client), ["counter", "lib1", "lib2"]);
}

#[test]
fn a_replica_that_sentinel_promotes_keeps_everything() {
    let master = master();
    let replica = replica_of(&master);
    wait_in_step(&master, &replica);
    let sentinel = Sentinel::start();
    let mut watcher = sentinel.client();
    watcher.run(&format!("SENTINEL MONITOR main 127.0.0.1 {} 1", master.port()));
    // An attempt for which it does not trust the replica yet is repeated after twice the second time.
    for (name, value) in [("down-after-milliseconds", "1000"), ("failover-timeout", "2000")] {
        assert_eq!(watcher.run(&format!("SENTINEL SET main {name} {value}")).text(), "OK");
    }
    wait_until("it knows the replica", || watcher.run("SENTINEL REPLICAS main").items().len() == 1);
    drop(master);
    let promoted = ["127.0.0.1".to_owned(), replica.port().to_string()];
    wait_until("it names the replica as master", || match watcher.run("SENTINEL GET-MASTER-ADDR-BY-NAME main") {
        Value::Array(address) => address.iter().map(Value::text).eq(promoted.iter().cloned()),
        _ => false,
    });
    check_serves(&mut replica.client(), 1);
}
