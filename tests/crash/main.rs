//! What is left after a crash. A server is killed at random moments while it changes its libraries and its scripts, and
//! is started again on the files that it has left: with an append only file, everything that it had acknowledged must
//! be there; with snapshots, the last one that was completed; and with a replica that takes its place, everything that
//! the replica had acknowledged.
//!
//! `ROUNDS` is the number of crashes over all modes together, `SEED` makes the stream of commands the same again. The
//! moments of the crashes are those of the clock.

#[path = "../support/mod.rs"]
mod support;

mod model;
mod stream;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use model::{Contents, KEPT};
use stream::Stream;
use support::replicas::{follow, replica_with, wait_in_step};
use support::{Client, Options, Server, wait_until};

/// Each of them takes its share of the rounds.
const MODES: usize = 5;
const DEFAULT_ROUNDS: usize = 25;

/// The longest that a server lives before it is killed.
const LONGEST_LIFE: Duration = Duration::from_millis(80);

/// What the stream does beside changing libraries and scripts.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Nothing: every change is in the append only file before it is acknowledged.
    AppendOnly,
    /// It has that file rewritten over and over.
    Rewrites,
    /// It saves snapshots, and nothing else is written.
    Snapshots,
    /// It waits for a replica, which takes the server's place after the crash.
    Failovers,
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    number("SEED").unwrap_or_else(clock)
}

/// Looks for the end of its children five hundred times a second, so that it can start the next one.
fn often() -> Options {
    Options::new().set("hz", "500").module_arguments(&format!("keep-scripts yes keep-generations {KEPT}"))
}

fn append_only() -> Options {
    often().set("appendonly", "yes").set("appendfsync", "always").set("auto-aof-rewrite-percentage", "0")
}

/// Crashes in each mode.
fn rounds() -> usize {
    number("ROUNDS").map_or(DEFAULT_ROUNDS, |rounds| rounds as usize).div_ceil(MODES)
}

/// # Panics
/// When the server has something else than one of what is expected.
fn check(found: &Contents, expected: &[Contents], of: impl FnOnce() -> String) {
    assert!(
        expected.contains(found),
        "{}: after the crash there is\n  {found:?}\nbut expected was one of\n{}",
        of(),
        expected.iter().map(|contents| format!("  {contents:?}\n")).collect::<String>()
    );
}

/// Crashes a server of this kind over and over.
fn crash(name: &str, mode: Mode, options: &Options) {
    let seed = seed();
    let rounds = rounds();
    println!("{name}: SEED={seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let mut server = options.clone().start();
    server.client().run("SET key value");
    let mut stream = Stream::new(mode, rng.fork());
    let (mut busy, mut with_children) = (0, 0);
    for round in 0..rounds {
        let life = LONGEST_LIFE.mul_f64(rng.f64());
        // A child that writes a snapshot may outlive the server, or fall with it.
        let children_too = rng.bool();
        with_children += usize::from(children_too);
        run_and_kill(&mut server, &mut stream, life, children_too);
        server.restart(options);
        let found = Contents::of(&mut server.client());
        if mode != Mode::Snapshots {
            assert_eq!(server.client().run("GET key").text(), "value");
        }
        let expected = stream.expected();
        check(&found, &expected, || format!("{name}: SEED={seed}, round {round}"));
        busy += usize::from(expected.len() > 1);
        stream.go_on_from(found);
    }
    println!(
        "{name}: {rounds} crashes, {busy} of them with changes on their way, {with_children} with the server's children; {}",
        stream.counts()
    );
}

/// Crashes a master over and over; its replica takes its place each time, and it comes back as the replica.
fn fail_over(options: &Options) {
    let (name, seed, rounds) = ("failovers", seed(), rounds());
    println!("{name}: SEED={seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let mut master = options.clone().start();
    let mut replica = replica_with(options.clone(), &master);
    let mut stream = Stream::new(Mode::Failovers, rng.fork());
    for round in 0..rounds {
        let life = LONGEST_LIFE.mul_f64(rng.f64());
        run_and_kill(&mut master, &mut stream, life, false);
        let mut client = replica.client();
        assert_eq!(client.run("REPLICAOF NO ONE").text(), "OK");
        forget_versions(&mut client);
        let found = Contents::of(&mut client);
        check(&found, &stream.expected(), || format!("{name}: SEED={seed}, round {round}"));
        stream.go_on_from(found);
        master.restart(options);
        follow(&master, &replica);
        wait_in_step(&replica, &master);
        std::mem::swap(&mut master, &mut replica);
    }
    println!("{name}: {rounds} failovers; {}", stream.counts());
}

/// A replica keeps versions of its own: those that its master's deploys have replaced there. They go.
fn forget_versions(client: &mut Client) {
    for kept in [0, KEPT] {
        assert_eq!(client.run(&format!("CONFIG SET shadow.keep-generations {kept}")).text(), "OK");
        wait_until("nothing is kept", || client.info_number("shadow_kept_versions") == 0);
    }
}

/// Lets the stream run until the server is gone, which is soon.
fn run_and_kill(server: &mut Server, stream: &mut Stream, life: Duration, children_too: bool) {
    let mut client = server.client();
    std::thread::scope(|scope| {
        let started = Instant::now();
        let driver = scope.spawn(move || stream.run(&mut client));
        while started.elapsed() < life && !driver.is_finished() {
            std::thread::sleep(Duration::from_micros(200));
        }
        if children_too {
            server.kill_all()
        } else {
            server.kill()
        }
        driver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn an_append_only_file_loses_nothing_acknowledged() {
    crash("append only", Mode::AppendOnly, &append_only());
}

#[test]
fn a_rewrite_with_a_preamble_loses_nothing_acknowledged() {
    crash("rewrites with a preamble", Mode::Rewrites, &append_only().set("aof-use-rdb-preamble", "yes"));
}

#[test]
fn a_rewrite_without_a_preamble_loses_nothing_acknowledged() {
    crash("rewrites without a preamble", Mode::Rewrites, &append_only().set("aof-use-rdb-preamble", "no"));
}

#[test]
fn the_last_completed_snapshot_is_what_comes_back() {
    crash("snapshots", Mode::Snapshots, &often());
}

#[test]
fn a_replica_that_takes_over_has_what_it_acknowledged() {
    fail_over(&often().set("save", ""));
}
