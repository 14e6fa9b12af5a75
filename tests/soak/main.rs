//! Everything at once, for as long as it is asked: clients change libraries and call them, functions run away and are
//! ended, files are written, the replica loses its link and its history; and at the end nothing is left of it all:
//! master and replica have the same, no memory, thread or descriptor more than before, and nothing in the logs that
//! should not be there.
//!
//! And deploys and rollbacks without anything else, under calls: none of these may fail, and none may see two versions.
//!
//! `TIME` is the number of seconds, `SEED` makes the clients' choices the same again; how they meet is up to the clock.

#[path = "../support/mod.rs"]
mod support;

mod deploys;
mod drivers;
mod library;
mod log;
mod replies;
mod state;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use deploys::{Counts, call_only, deploy_one, deploy_only};
use drivers::Drive;
use replies::Replies;
use state::{Footprint, contents, digest, scripts, version};
use support::{Client, Options, Server, holds_within, wait_until};

const DEFAULT_TIME: u64 = 6;

/// Memory that may be more at the end than at the beginning: what the server keeps of its own about commands and errors
/// that it had not seen at the beginning, and the buffers of a client. One generation that is not freed takes more than
/// three times as much.
const TOLERANCE: i64 = 128 * 1024;

/// How long the servers may take to come to rest.
const SETTLING: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// A server whose memory tells what is loaded, and little else. Its scripts are on the replica as well.
fn options() -> Options {
    Options::new()
        .module_arguments("keep-scripts yes")
        .set("hz", "100")
        .set("busy-reply-threshold", "30")
        .set("repl-backlog-size", "16384")
        .set("slowlog-max-len", "0")
        .set("latency-tracking", "no")
        .set("auto-aof-rewrite-percentage", "0")
        .set("save", "")
}

/// The two servers.
pub struct Servers {
    master: Server,
    replica: Server,
}

impl Servers {
    fn start() -> Self {
        let servers = Self { master: options().set("appendonly", "yes").start(), replica: options().start() };
        servers.follow();
        servers.wait_for_link();
        servers
    }

    /// Makes the replica one.
    fn follow(&self) {
        let reply = self.replica.client().run(&format!("REPLICAOF 127.0.0.1 {}", self.master.port()));
        assert!(!reply.is_error(), "{reply:?}");
    }

    fn is_linked(&self, client: &mut Client) -> bool {
        client.info("master_link_status").as_deref() == Some("up")
    }

    fn wait_for_link(&self) {
        let mut client = self.replica.client();
        assert!(holds_within(SETTLING, || self.is_linked(&mut client)), "the replica has no link");
    }

    /// Waits until the replica has had all that the master has done.
    fn wait_for_replica(&self) {
        let mut clients = [self.master.client(), self.replica.client()];
        assert!(
            holds_within(SETTLING, || {
                let [master, replica] = &mut clients;
                // A replica that found its master busy has asked in the old way, which knows no offsets: it asks anew.
                if replica.info("slave_repl_offset").as_deref() == Some("-1") {
                    replica.run("CLIENT KILL TYPE master");
                }
                self.is_linked(replica)
                    && replica.info_number("slave_repl_offset") == master.info_number("master_repl_offset")
            }),
            "the replica does not keep up"
        );
    }

    fn both(&self) -> [&Server; 2] {
        [&self.master, &self.replica]
    }

    /// Empties both. What had been there is gone for good then.
    fn empty(&self) {
        let mut client = self.master.client();
        for command in ["FLUSHALL SYNC", "SHADOW.FUNCTION FLUSH SYNC", "SHADOW.SCRIPT FLUSH SYNC"] {
            assert_eq!(client.run(command).text(), "OK", "{command}");
        }
        self.wait_for_replica();
        for server in self.both() {
            let mut client = server.client();
            for field in [
                "rdb_bgsave_in_progress",
                "aof_rewrite_in_progress",
                "shadow_pending_libraries",
                "shadow_scripts_pending",
                "shadow_deploys_pending",
                "shadow_kept_versions",
            ] {
                assert!(holds_within(SETTLING, || client.info_number(field) == 0), "{field} is not 0");
            }
            for field in ["shadow_spare_ready", "shadow_scripts_spare_ready"] {
                wait_until("a spare is ready", || client.info_number(field) == 1);
            }
        }
    }

    /// Uses everything once, so that what is made at the first use is there.
    fn warm_up(&self, rng: &mut Rng) {
        let mut client = self.master.client();
        for _ in 0..4 {
            deploy_one(&mut client, rng);
        }
        for command in ["SHADOW.FUNCTION ROLLBACK", "SHADOW.FUNCTION FLUSH"] {
            assert!(!client.run(command).is_error(), "{command}");
        }
        for command in ["SET key value", "BGREWRITEAOF"] {
            client.run(command);
            wait_until("it is written", || client.info_number("aof_rewrite_in_progress") == 0);
        }
        client.run("BGSAVE");
        for number in 0..library::COUNT {
            let code = library::source(number, 1);
            assert!(!client.call(&["SHADOW.FUNCTION", "LOAD", &code]).is_error());
            client.run(&format!("SHADOW.FCALL write{number} 1 key value"));
        }
        for number in 0..library::SCRIPTS {
            client.call(&["SHADOW.EVAL", &library::script(number), "1", "key", "value"]);
        }
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
        client.run("SHADOW.SCRIPT FLUSH ASYNC");
        self.empty();
    }
}

/// Runs the clients until the time is over. What they were answered.
fn run(servers: &Servers, rng: &mut Rng, time: Duration) -> Replies {
    let until = Instant::now() + time;
    let all = Replies::default();
    std::thread::scope(|scope| {
        let start = |drive: Drive, rng: Rng| {
            let replies = &all;
            scope.spawn(move || drive(servers, rng, until, replies));
        };
        for (count, drive) in drivers::ALL {
            for _ in 0..*count {
                start(*drive, rng.fork());
            }
        }
    });
    all
}

fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    number("SEED").unwrap_or_else(clock)
}

fn time() -> Duration {
    Duration::from_secs(number("TIME").unwrap_or(DEFAULT_TIME))
}

#[test]
fn nothing_is_left_of_it_all() {
    let (seed, time) = (seed(), time());
    println!("SEED={seed}, {} s", time.as_secs());
    let mut rng = Rng::with_seed(seed);
    let servers = Servers::start();
    servers.warm_up(&mut rng);
    let before = servers.both().map(Footprint::of);

    let replies = run(&servers, &mut rng, time);
    replies.print();
    replies.check();

    servers.wait_for_link();
    servers.wait_for_replica();
    let [on_master, on_replica] = servers.both().map(contents);
    println!("{} libraries at the end", on_master.len());
    assert_eq!(on_master, on_replica, "SEED={seed}");
    let [on_master, on_replica] = servers.both().map(version);
    assert_eq!(on_master, on_replica, "SEED={seed}");
    let [on_master, on_replica] = servers.both().map(digest);
    assert_eq!(on_master, on_replica, "SEED={seed}");
    let [on_master, on_replica] = servers.both().map(scripts);
    println!("{} scripts at the end", on_master.len());
    assert_eq!(on_master, on_replica, "SEED={seed}");

    check_end(&servers, before);
}

/// Checks that nothing is left once all was flushed.
fn check_end(servers: &Servers, before: [Footprint; 2]) {
    servers.empty();
    for (server, before) in servers.both().into_iter().zip(before) {
        Footprint::wait_for(server, &before, TOLERANCE);
        log::check(server);
    }
}

/// Clients that call while another deploys: on the master, and on the replica.
const CALLERS: [usize; 2] = [3, 2];

#[test]
fn no_call_sees_a_deploy() {
    let (seed, time) = (seed(), time());
    println!("deploys: SEED={seed}, {} s", time.as_secs());
    let mut rng = Rng::with_seed(seed);
    let servers = Servers::start();
    servers.warm_up(&mut rng);
    let before = servers.both().map(Footprint::of);

    // So that there is something to call, and something to roll back to.
    for _ in 0..2 {
        deploy_one(&mut servers.master.client(), &mut rng);
    }
    servers.wait_for_replica();
    let (until, counts) = (Instant::now() + time, Counts::default());
    std::thread::scope(|scope| {
        let (servers, counts) = (&servers, &counts);
        scope.spawn(move || deploy_only(servers, rng, until, counts));
        for _ in 0..CALLERS[0] {
            scope.spawn(|| call_only(&servers.master, "SHADOW.FCALL", until, &counts.on_master));
        }
        for _ in 0..CALLERS[1] {
            scope.spawn(|| call_only(&servers.replica, "SHADOW.FCALL_RO", until, &counts.on_replica));
        }
    });
    let Counts { deploys, rollbacks, on_master, on_replica } = counts;
    let [deploys, rollbacks, on_master, on_replica] =
        [deploys, rollbacks, on_master, on_replica].map(AtomicU64::into_inner);
    println!(
        "{deploys} deploys and {rollbacks} rollbacks under {on_master} calls on the master and {on_replica} on the replica"
    );
    assert!(deploys > 0 && on_master > 0 && on_replica > 0, "SEED={seed}");

    servers.wait_for_replica();
    let [on_master, on_replica] = servers.both().map(version);
    assert_eq!(on_master, on_replica, "SEED={seed}");
    check_end(&servers, before);
}
