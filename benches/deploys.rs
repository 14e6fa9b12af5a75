//! Deploys and rollbacks: how long they keep the main thread, what other clients see of them, and what they leave in
//! memory.

use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::memory::{self, MEBIBYTE};
use crate::number::count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::scale::ping_for;
use crate::servers::Identity;
use crate::side::{Kind, Mode, Side, settle};
use crate::summary::Spread;
use crate::support::{Client, Server, Value, wait_until};

/// How long the other client sends its PINGs at least.
const WINDOW: Duration = Duration::from_millis(300);

/// Between two looks at whether it may stop.
const LOOK: Duration = Duration::from_millis(5);

/// What is measured, in the order of [`observe`]'s result: microseconds in the server, then the slowest PINGs of
/// another client in microseconds, then memory.
pub const TIMES: [&str; 7] = [
    "FUNCTION RESTORE FLUSH",
    "DEPLOY: the command",
    "DEPLOY: the swap",
    "DEPLOY DIR: the command",
    "DEPLOY DIR: the swap",
    "ROLLBACK",
    "FLUSH ASYNC",
];
pub const PINGS: [&str; 7] =
    ["nothing", "FUNCTION RESTORE FLUSH", "an ECHO with as much", "DEPLOY", "DEPLOY DIR", "ROLLBACK", "FLUSH ASYNC"];
pub const MEMORY: [&str; 3] = ["used_memory, MiB", "what INFO says, MiB", "difference, %"];

/// Places in these.
pub const SWAPS: [usize; 2] = [2, 4];
pub const ROLLBACK: usize = 5;
pub const FLUSH: usize = 6;
pub const WHILE_ECHOED: usize = 2;
pub const WHILE_DEPLOYED: usize = 3;
pub const WHILE_FILES_DEPLOYED: usize = 4;
pub const WHILE_FLUSHED: usize = 6;
pub const DIFFERENCE: usize = 2;

const SIGHTS: usize = TIMES.len() + PINGS.len() + MEMORY.len();

/// What was measured with a number of libraries.
pub struct Deploys {
    pub libraries: usize,
    sights: [Spread; SIGHTS],
}

impl Deploys {
    pub fn times(&self) -> &[Spread] {
        &self.sights[..TIMES.len()]
    }

    pub fn pings(&self) -> &[Spread] {
        &self.sights[TIMES.len()..][..PINGS.len()]
    }

    pub fn memory(&self) -> &[Spread] {
        &self.sights[TIMES.len() + PINGS.len()..]
    }
}

/// With each number of libraries of the plan; each round in fresh servers.
pub fn measure(identity: &Identity, plan: &Plan) -> Vec<Deploys> {
    plan.deploys.iter().map(|&(libraries, rounds)| measure_size(identity, libraries, rounds)).collect()
}

fn measure_size(identity: &Identity, libraries: usize, rounds: usize) -> Deploys {
    let progress = Progress::of(&format!("DEPLOY and ROLLBACK of {} libraries", count(libraries)));
    let rounds: Vec<[f64; SIGHTS]> = (0..rounds)
        .map(|_| {
            let seen = observe(identity, libraries);
            progress.step();
            seen
        })
        .collect();
    let sights = std::array::from_fn(|sight| Spread::of(&rounds.iter().map(|round| round[sight]).collect::<Vec<_>>()));
    Deploys { libraries, sights }
}

fn observe(identity: &Identity, libraries: usize) -> [f64; SIGHTS] {
    let (restore, while_restored) = restore(&identity.start(), libraries);
    let server = identity.start_for_files();
    // From the first library on there is a spare, and for the first deploy the server makes a client, which it keeps.
    Side::Shadow.fill(&mut server.client(), 1);
    expect(&server.client().call(&words("SHADOW.FUNCTION DEPLOY TRY VERSION v0", 1)), "v0");
    let (used_before, told_before) = memory_of(&server);
    let mut client = server.client();
    let time = |client: &mut Client, subcommand: &str| client.command_stat(&Side::Shadow.statistic(subcommand), "usec");
    // With this many, what is kept would be too much.
    expect(&client.run("CONFIG SET shadow.keep-generations-bytes 0"), "OK");
    // On connections of their own, whose buffers go with them. The third deploy makes the first generation leave.
    for version in ["v1", "v2"] {
        deploy(&mut server.client(), version, libraries);
    }
    let quiet = slowest_ping(&server, || {});
    let while_echoed = slowest_ping(&server, || {
        // It takes one word only: the server reads all of them, refuses them and frees them.
        let reply = server.client().call(&words("ECHO", libraries));
        assert!(matches!(reply, Value::Error(_)), "{reply:?}");
    });
    client.run("CONFIG RESETSTAT");
    let while_deployed = slowest_ping(&server, || deploy(&mut server.client(), "v3", libraries));
    let command = time(&mut client, "deploy");
    let swap = client.info_number("shadow_last_deploy_usec") as f64;
    settle(&mut client);
    for number in 0..libraries {
        let path = server.directory().join(format!("{number}.lua"));
        fs::write(path, Kind::Libraries.source(number)).expect("a file can be written");
    }
    let while_files_deployed = slowest_ping(&server, || {
        expect(&server.client().run("SHADOW.FUNCTION DEPLOY DIR VERSION v4"), "v4");
    });
    let files_command = time(&mut client, "deploy") - command;
    let files_swap = client.info_number("shadow_last_deploy_usec") as f64;
    drop(client);
    let (used_after, told_after) = memory_of(&server);
    let (used, told) = ((used_after - used_before) / MEBIBYTE, (told_after - told_before) / MEBIBYTE);
    let mut client = server.client();
    let while_rolled_back = slowest_ping(&server, || expect(&client.run("SHADOW.FUNCTION ROLLBACK"), "v3"));
    let rollback = time(&mut client, "rollback");
    expect(&client.run("CONFIG SET shadow.keep-generations 0"), "OK");
    wait_until("nothing is kept", || client.info_number("shadow_kept_versions") == 0);
    settle(&mut client);
    let while_flushed = slowest_ping(&server, || Side::Shadow.flush(&mut client, Mode::Async));
    let flush = time(&mut client, "flush");
    let times = [restore, command, swap, files_command, files_swap, rollback, flush];
    let pings =
        [quiet, while_restored, while_echoed, while_deployed, while_files_deployed, while_rolled_back, while_flushed];
    let memory = [used, told, 100.0 * (used - told).abs() / told];
    let all: Vec<f64> = [&times[..], &pings, &memory].concat();
    all.try_into().expect("as many as there are names")
}

/// Microseconds in the server that its own RESTORE of as many libraries takes in the place of others, and the slowest
/// PING meanwhile.
fn restore(server: &Server, libraries: usize) -> (f64, f64) {
    let mut client = server.client();
    Side::Stock.fill(&mut server.client(), libraries);
    let Value::Bulk(payload) = client.run("FUNCTION DUMP") else { panic!("a payload") };
    client.run("CONFIG RESETSTAT");
    let words = [b"FUNCTION".as_slice(), b"RESTORE", &payload, b"FLUSH"];
    let slowest = slowest_ping(server, || expect(&client.call(&words), "OK"));
    (client.command_stat("function|restore", "usec"), slowest)
}

fn deploy(client: &mut Client, version: &str, libraries: usize) {
    let head = format!("{} DEPLOY VERSION {version}", Side::Shadow.function());
    expect(&client.call(&words(&head, libraries)), version);
}

/// The words of a command that is given all sources.
fn words(head: &str, libraries: usize) -> Vec<String> {
    let head = head.split_whitespace().map(str::to_owned);
    head.chain((0..libraries).map(|number| Kind::Libraries.source(number))).collect()
}

/// Panics at another reply: nothing after it would be worth measuring.
fn expect(reply: &Value, text: &str) {
    assert_eq!(reply.text(), text);
}

/// `used_memory`, and what INFO says that the libraries take, those that are kept included; once all is freed. Asked
/// on a new connection: the server frees buffers of one that is there for longer.
fn memory_of(server: &Server) -> (f64, f64) {
    let mut client = server.client();
    settle(&mut client);
    let fields = ["shadow_registry_bytes", "shadow_vm_bytes", "shadow_kept_versions_bytes"];
    let told = fields.iter().map(|field| client.info_number(field) as f64).sum();
    (memory::bytes(&mut client), told)
}

/// The slowest of another client's PINGs until `meanwhile` is done, and for a moment longer.
fn slowest_ping(server: &Server, meanwhile: impl FnOnce()) -> f64 {
    let mut other = server.client();
    let (start, is_done) = (Barrier::new(2), AtomicBool::new(false));
    let slowest = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            ping_for(&mut other, WINDOW / 20);
            start.wait();
            let mut slowest = Duration::ZERO;
            while !is_done.load(Ordering::Acquire) {
                slowest = slowest.max(ping_for(&mut other, LOOK).into_iter().max().unwrap_or_default());
            }
            slowest.max(ping_for(&mut other, WINDOW).into_iter().max().unwrap_or_default())
        });
        start.wait();
        meanwhile();
        is_done.store(true, Ordering::Release);
        pings.join().expect("the other client is answered")
    });
    slowest.as_secs_f64() * 1e6
}
