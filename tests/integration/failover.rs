//! A replica takes the place of its master.

use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use shadow::registry::Digest;
use tempfile::TempDir;

use crate::support::library::{load, names, numbered, source};
use crate::support::replicas::{follow, replica_of, replica_with, wait_in_step};
use crate::support::server::{free_port, server_binary};
use crate::support::{Client, Options, Server, Value, resp, wait_until};

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

// ---- scripts under `shadow.keep-scripts` ----------------------------------------------------------------------------

/// Failovers of each kind; `FAILOVERS` gives another number.
fn failovers() -> usize {
    let given = std::env::var("FAILOVERS").ok().filter(|text| !text.is_empty());
    given.map_or(3, |text| text.parse().expect("FAILOVERS is a number"))
}

/// Of what EVAL brought, the last ones that no server has evicted yet.
const EVALUATED: usize = 300;

/// Clients that bring scripts to whatever server is the master.
struct Load {
    port: AtomicU16,
    ends: AtomicBool,
    /// Whether a script counts once the replica has it.
    waits: bool,
    /// Digests that were acknowledged, and whether LOAD brought them.
    acknowledged: Mutex<Vec<(String, bool)>>,
}

impl Load {
    fn count(&self) -> usize {
        self.acknowledged.lock().expect("nobody panics").len()
    }

    /// Waits until this many more were acknowledged.
    fn wait_for_more(&self, more: usize) {
        let before = self.count();
        wait_until("scripts are acknowledged", || self.count() >= before + more);
    }

    fn drive(&self) {
        let mut client = None;
        while !self.ends.load(Ordering::Relaxed) {
            let Some(mut connected) = client.take().or_else(|| Client::connect(self.port.load(Ordering::Relaxed)).ok())
            else {
                continue;
            };
            let number = fastrand::u64(..);
            let by_load = fastrand::bool();
            let code = format!("redis.call('incr', 'n') return '{number}'");
            // A server that is not the master any more, or is gone, is left.
            if self.bring(&mut connected, &code, by_load).unwrap_or(false) {
                let digest = Digest::of(code.as_bytes()).to_string();
                self.acknowledged.lock().expect("nobody panics").push((digest, by_load));
                client = Some(connected);
            }
        }
    }

    /// Brings a script; whether that is acknowledged by the master. A replica takes one for itself, so LOAD comes with
    /// a command that a replica refuses.
    fn bring(&self, client: &mut Client, code: &str, by_load: bool) -> io::Result<bool> {
        let mut ask = |words: &[&str]| client.try_raw(words).map(|reply| resp::parse(&reply));
        let reply = if by_load {
            ask(&["MULTI"])?;
            ask(&["INCR", "n"])?;
            ask(&["SHADOW.SCRIPT", "LOAD", code])?;
            ask(&["EXEC"])?
        } else {
            ask(&["SHADOW.EVAL", code, "0"])?
        };
        let taken = match reply {
            Value::Array(replies) => !replies.iter().any(Value::is_error),
            Value::Bulk(_) => true,
            _ => false,
        };
        Ok(taken && (!self.waits || matches!(ask(&["WAIT", "1", "5000"])?, Value::Integer(1..))))
    }

    /// Checks that a server has what was acknowledged.
    fn check(&self, server: &Server, what: &str) {
        let acknowledged = self.acknowledged.lock().expect("nobody panics");
        let by_eval = || acknowledged.iter().filter(|(_, by_load)| !by_load);
        let evaluated = by_eval().skip(by_eval().count().saturating_sub(EVALUATED));
        let digests: Vec<&str> = acknowledged
            .iter()
            .filter(|(_, by_load)| *by_load)
            .chain(evaluated)
            .map(|(digest, _)| digest.as_str())
            .collect();
        let words: Vec<&str> = ["SHADOW.SCRIPT", "EXISTS"].into_iter().chain(digests.iter().copied()).collect();
        let found = server.client().call(&words).items();
        let missing = found.iter().filter(|found| **found != Value::Integer(1)).count();
        assert_eq!(missing, 0, "{what}: of {} acknowledged scripts", digests.len());
        let reply = server.client().call(&["SHADOW.EVALSHA_RO", digests[0], "0"]);
        assert!(!reply.text().starts_with("NOSCRIPT"), "{what}: {reply:?}");
    }
}

/// Has `fail_over` make another server the master over and over, under load. Every acknowledged script must be there.
fn check_failovers(waits: bool, mut fail_over: impl FnMut(Server, Server, &Load) -> (Server, Server)) {
    let keeping = || Options::new().module_arguments("keep-scripts yes");
    let mut master = keeping().start();
    let mut replica = replica_with(keeping(), &master);
    let acknowledged = Mutex::default();
    let mut load = Load { port: AtomicU16::new(master.port()), ends: AtomicBool::new(false), waits, acknowledged };
    for round in 0..failovers() {
        load.ends = AtomicBool::new(false);
        (master, replica) = std::thread::scope(|scope| {
            /// Ends the clients however this ends.
            struct End<'a>(&'a Load);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.ends.store(true, Ordering::Relaxed);
                }
            }
            let load = &load;
            let _end = End(load);
            (0..2).for_each(|_| drop(scope.spawn(|| load.drive())));
            load.wait_for_more(30);
            let servers = fail_over(master, replica, load);
            load.wait_for_more(30);
            servers
        });
        wait_in_step(&master, &replica);
        load.check(&master, &format!("the master after failover {round}"));
        load.check(&replica, &format!("the replica after failover {round}"));
    }
    println!("{} failovers, {} scripts acknowledged", failovers(), load.count());
}

#[test]
fn no_acknowledged_script_is_missing_after_a_failover() {
    check_failovers(false, |old, new, load| {
        let (mut client, mut other) = (old.client(), new.client());
        // Refused while the last one is not over everywhere.
        wait_until("the failover begins", || client.run("FAILOVER").text() == "OK");
        wait_until("the replica is the master", || role(&mut other) == "master" && role(&mut client) == "slave");
        load.port.store(new.port(), Ordering::Relaxed);
        (new, old)
    });
}

#[test]
fn no_script_that_the_replica_has_acknowledged_is_missing_after_a_crash() {
    check_failovers(true, |mut old, new, load| {
        old.kill_all();
        assert_eq!(new.client().run("REPLICAOF NO ONE").text(), "OK");
        load.port.store(new.port(), Ordering::Relaxed);
        let next = Options::new().module_arguments("keep-scripts yes").start();
        follow(&next, &new);
        (new, next)
    });
}
