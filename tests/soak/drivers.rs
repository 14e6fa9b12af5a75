//! The clients. Each does one kind of thing until the time is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::deploys;
use crate::library::{COUNT, SCRIPTS, script, source};
use crate::replies::Replies;
use crate::support::scripts::digest;
use crate::support::{Client, Value, wait_until};
use crate::{SETTLING, Servers};

/// A client, or two of them that belong together.
pub type Drive = fn(&Servers, Rng, Instant, &Replies);

/// All of them, and how many there are of each.
pub const ALL: &[(usize, Drive)] = &[
    (2, change),
    (3, call),
    (2, evaluate),
    (1, read_replica),
    (1, run_away),
    (1, run_away_on_replica),
    (1, deploys::change),
    (1, deploys::look),
    (1, deploys::look_at_replica),
    (1, administer),
    (1, resync),
];

/// Payloads that are kept to be restored.
const PAYLOADS: usize = 4;

fn pick<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.usize(..words.len())]
}

/// Sends a line of words and counts the reply.
fn ask(client: &mut Client, line: &str, replies: &Replies) -> Value {
    let reply = client.run(line);
    let words: Vec<&str> =
        line.split(' ').take_while(|word| word.chars().all(|c| c.is_uppercase() || ".-_".contains(c))).collect();
    replies.take(&words.join(" "), &reply);
    reply
}

/// Lets a moment go by, so that not everything comes at once.
pub fn pause(rng: &mut Rng, milliseconds: std::ops::Range<u64>, until: Instant) {
    let pause = Duration::from_millis(rng.u64(milliseconds));
    std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
}

/// Changes libraries.
fn change(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.master.client();
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    while Instant::now() < until {
        let number = rng.u32(..COUNT);
        match rng.u8(..100) {
            0..55 => {
                let code = source(number, rng.u32(..1000));
                let reply = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &code]);
                replies.take("SHADOW.FUNCTION LOAD REPLACE", &reply);
            }
            55..72 => {
                let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &source(number, rng.u32(..1000))]);
                replies.take("SHADOW.FUNCTION LOAD", &reply);
            }
            72..78 => {
                ask(&mut client, &format!("SHADOW.FUNCTION DELETE lib{number}"), replies);
            }
            78..81 => {
                let mode = pick(&mut rng, &["", " ASYNC", " ASYNC", " SYNC"]);
                ask(&mut client, &format!("SHADOW.FUNCTION FLUSH{mode}"), replies);
            }
            81..86 => {
                let looks = ["LIST WITHCODE", "LIST", "LIST WITHSTATS", "RESETSTAT"];
                ask(&mut client, &format!("SHADOW.FUNCTION {}", pick(&mut rng, &looks)), replies);
            }
            86..93 => {
                if let Value::Bulk(payload) = ask(&mut client, "SHADOW.FUNCTION DUMP", replies) {
                    payloads.truncate(PAYLOADS - 1);
                    payloads.insert(0, payload);
                }
            }
            _ => {
                if let Some(payload) = rng.choice(&payloads) {
                    let policy = pick(&mut rng, &["APPEND", "REPLACE", "FLUSH"]);
                    let words = [b"SHADOW.FUNCTION", b"RESTORE".as_slice(), payload, policy.as_bytes()];
                    replies.take("SHADOW.FUNCTION RESTORE", &client.call(&words));
                }
            }
        }
    }
}

/// Calls functions that read, write, fail and take their time.
fn call(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.master.client();
    if rng.bool() {
        client.hello3();
    }
    while Instant::now() < until {
        let kind = match rng.u8(..100) {
            0..40 => "read",
            40..80 => "write",
            80..98 => "fail",
            _ => "slow",
        };
        let number = rng.u32(..COUNT);
        ask(&mut client, &format!("SHADOW.FCALL {kind}{number} 1 key{} value{number}", rng.u8(..)), replies);
    }
}

/// Runs scripts, caches them and deletes them.
fn evaluate(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.master.client();
    while Instant::now() < until {
        let script = script(rng.u32(..SCRIPTS));
        let sha = digest(&script);
        let key = format!("script{}", rng.u8(..));
        let (name, words) = match rng.u8(..100) {
            0..40 => ("SHADOW.EVAL", vec!["SHADOW.EVAL", &script, "1", &key, "value"]),
            40..80 => ("SHADOW.EVALSHA", vec!["SHADOW.EVALSHA", &sha, "1", &key, "value"]),
            80..90 => ("SHADOW.SCRIPT LOAD", vec!["SHADOW.SCRIPT", "LOAD", &script]),
            90..94 => ("SHADOW.SCRIPT EXISTS", vec!["SHADOW.SCRIPT", "EXISTS", &sha]),
            94..98 => ("SHADOW.SCRIPT LIST", vec!["SHADOW.SCRIPT", "LIST", "WITHCODE", "WITHSTATS"]),
            98 => ("SHADOW.SCRIPT FLUSH ASYNC", vec!["SHADOW.SCRIPT", "FLUSH", "ASYNC"]),
            _ => ("SHADOW.SCRIPT FLUSH SYNC", vec!["SHADOW.SCRIPT", "FLUSH", "SYNC"]),
        };
        replies.take(name, &client.call(&words));
    }
}

/// Reads on the replica.
fn read_replica(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.replica.client();
    while Instant::now() < until {
        let number = rng.u32(..COUNT);
        match rng.u8(..20) {
            0 => ask(&mut client, "SHADOW.FUNCTION LIST WITHCODE", replies),
            1 => ask(&mut client, "SHADOW.FUNCTION DUMP", replies),
            2 => ask(&mut client, &format!("SHADOW.FCALL_RO slow{number} 0"), replies),
            3 => ask(&mut client, "INFO EVERYTHING", replies),
            _ => ask(&mut client, &format!("SHADOW.FCALL_RO read{number} 1 key{}", rng.u8(..)), replies),
        };
    }
}

/// Calls a function that never ends, and ends it.
fn run_away(servers: &Servers, rng: Rng, until: Instant, replies: &Replies) {
    run_away_in([servers.master.client(), servers.master.client()], rng, until, replies);
}

fn run_away_on_replica(servers: &Servers, rng: Rng, until: Instant, replies: &Replies) {
    run_away_in([servers.replica.client(), servers.replica.client()], rng, until, replies);
}

fn run_away_in([mut caller, mut killer]: [Client; 2], mut rng: Rng, until: Instant, replies: &Replies) {
    while Instant::now() < until {
        pause(&mut rng, 100..1000, until);
        let number = rng.u32(..COUNT);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ask(&mut caller, &format!("SHADOW.FCALL_RO spin{number} 0"), replies);
                ended.store(true, Ordering::Release);
            });
            wait_until("it is ended", || {
                ask(&mut killer, "SHADOW.FUNCTION STATS", replies);
                ask(&mut killer, "SHADOW.FUNCTION KILL", replies);
                ended.load(Ordering::Acquire)
            });
        });
    }
}

/// Has files written and settings changed.
fn administer(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.master.client();
    while Instant::now() < until {
        pause(&mut rng, 20..150, until);
        let line = pick(
            &mut rng,
            &[
                "BGSAVE",
                "BGREWRITEAOF",
                "INFO EVERYTHING",
                "SHADOW.FUNCTION STATS",
                "COMMAND COUNT",
                "CONFIG SET aof-use-rdb-preamble yes",
                "CONFIG SET aof-use-rdb-preamble no",
                "CONFIG SET shadow.memory-limit 64mb",
                "CONFIG SET shadow.memory-limit 0",
                "CONFIG SET rdbcompression yes",
                "CONFIG SET rdbcompression no",
                "CONFIG SET busy-reply-threshold 10",
                "CONFIG SET busy-reply-threshold 60",
                "CONFIG SET lazyfree-lazy-user-flush yes",
                "CONFIG SET lazyfree-lazy-user-flush no",
                "CONFIG SET repl-diskless-sync yes",
                "CONFIG SET repl-diskless-sync no",
            ],
        );
        ask(&mut client, line, replies);
    }
}

/// Takes the replica's link away, or its history, and waits until it has found back.
fn resync(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let (mut master, mut replica) = (servers.master.client(), servers.replica.client());
    while Instant::now() < until {
        pause(&mut rng, 100..800, until);
        match rng.u8(..4) {
            0 => {
                ask(&mut replica, "CLIENT KILL TYPE master", replies);
            }
            1 => {
                ask(&mut master, "CLIENT KILL TYPE replica", replies);
            }
            2 => {
                ask(&mut master, "DEBUG CHANGE-REPL-ID", replies);
                ask(&mut master, "CLIENT KILL TYPE replica", replies);
            }
            _ => {
                // Refused while a function runs there.
                let alone = || !ask(&mut replica, "REPLICAOF NO ONE", replies).is_error();
                wait_until("the replica stands alone", alone);
                // Only now: Redis 7.0 looks at the setting in the middle of a transfer as well, and then writes to a
                // file that it has not opened, or leaves one open.
                let load = pick(&mut rng, &["disabled", "on-empty-db", "swapdb"]);
                ask(&mut replica, &format!("CONFIG SET repl-diskless-load {load}"), replies);
                let back = format!("REPLICAOF 127.0.0.1 {}", servers.master.port());
                wait_until("it follows again", || !ask(&mut replica, &back, replies).is_error());
            }
        }
        let linked = Instant::now() + SETTLING;
        while !servers.is_linked(&mut replica) {
            assert!(Instant::now() < linked, "the replica does not find back");
            pause(&mut rng, 1..5, linked);
        }
    }
}
