//! Clients that deploy and roll back, and clients that see whether two libraries are always of the same version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fastrand::Rng;

use crate::Servers;
use crate::drivers::pause;
use crate::library::{COUNT, pair, source};
use crate::replies::Replies;
use crate::support::{Client, Server, Value};

/// What a version is called whose libraries say `number`.
fn label(number: u32) -> String {
    format!("v{number}")
}

/// The two libraries that say their version, and some of the others.
fn codes(rng: &mut Rng, number: u32) -> Vec<String> {
    let others = rng.choose_multiple(0..COUNT, COUNT as usize / 2);
    let edition = number % 1000;
    pair(number).into_iter().chain(others.into_iter().map(|other| source(other, edition))).collect()
}

/// The words of a deploy.
fn deploy(rng: &mut Rng, options: &[&str]) -> Vec<String> {
    let number = rng.u32(..);
    let head = ["SHADOW.FUNCTION", "DEPLOY", "VERSION", &label(number)].map(str::to_owned);
    head.into_iter().chain(options.iter().map(|&word| word.to_owned())).chain(codes(rng, number)).collect()
}

/// Deploys, rolls back, tries, fails, and leaves before it is answered.
pub fn change(servers: &Servers, mut rng: Rng, until: Instant, replies: &Replies) {
    let mut client = servers.master.client();
    while Instant::now() < until {
        pause(&mut rng, 0..60, until);
        let (name, reply) = match rng.u8(..20) {
            0..8 => ("DEPLOY", client.call(&deploy(&mut rng, &[]))),
            8..14 => ("ROLLBACK", client.run("SHADOW.FUNCTION ROLLBACK")),
            14 => ("DEPLOY TRY", client.call(&deploy(&mut rng, &["TRY"]))),
            15 => ("DEPLOY IFVERSION", client.call(&deploy(&mut rng, &["IFVERSION", "another"]))),
            16 => {
                let mut words = deploy(&mut rng, &[]);
                words.push("#!lua name=lib\nreturn".to_owned());
                ("DEPLOY of a bad library", client.call(&words))
            }
            17 | 18 => ("VERSIONS", client.run("SHADOW.FUNCTION VERSIONS")),
            _ => {
                client.send(&deploy(&mut rng, &[]));
                client = servers.master.client();
                continue;
            }
        };
        replies.take(&format!("SHADOW.FUNCTION {name}"), &reply);
    }
}

/// Asks both libraries and the server for the version in one transaction. What each says; None if the transaction was
/// refused.
fn ask(client: &mut Client, fcall: &str) -> Option<[Value; 3]> {
    let lines = ["MULTI", &format!("{fcall} version_one 0"), &format!("{fcall} version_two 0"), STATS, "EXEC"];
    let commands: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let last = client.pipeline(&commands).pop().expect("a reply to each");
    let Value::Array(replies) = last else {
        client.run("DISCARD");
        return None;
    };
    let [one, two, stats]: [Value; 3] = replies.try_into().expect("as many replies as commands");
    let version = stats.field("version").unwrap_or(Value::Null);
    Some([one, two, version])
}

const STATS: &str = "SHADOW.FUNCTION STATS";

/// # Panics
/// When the two libraries are of different versions.
fn check([one, two, _]: &[Value; 3]) {
    let says = |reply: &Value| (!reply.is_error()).then(|| reply.text());
    assert_eq!(says(one), says(two), "the libraries are of different versions: {one:?}, {two:?}");
}

fn look_at(server: &Server, fcall: &str, until: Instant, replies: &Replies) {
    let mut client = server.client();
    while Instant::now() < until {
        if let Some(said) = ask(&mut client, fcall) {
            check(&said);
            said[..2].iter().for_each(|reply| replies.take(&format!("MULTI, {fcall}"), reply));
        }
    }
}

/// Sees whether the libraries agree while everything else goes on as well.
pub fn look(servers: &Servers, _: Rng, until: Instant, replies: &Replies) {
    look_at(&servers.master, "SHADOW.FCALL", until, replies);
}

/// The same on the replica.
pub fn look_at_replica(servers: &Servers, _: Rng, until: Instant, replies: &Replies) {
    look_at(&servers.replica, "SHADOW.FCALL_RO", until, replies);
}

/// What was done while nothing but deploys changed the libraries.
#[derive(Default)]
pub struct Counts {
    pub deploys: AtomicU64,
    pub rollbacks: AtomicU64,
    pub on_master: AtomicU64,
    pub on_replica: AtomicU64,
}

/// Deploys, and fails if that fails.
pub fn deploy_one(client: &mut Client, rng: &mut Rng) {
    let words = deploy(rng, &[]);
    assert_eq!(client.call(&words).text(), words[3]);
}

/// Deploys and rolls back.
pub fn deploy_only(servers: &Servers, mut rng: Rng, until: Instant, counts: &Counts) {
    let mut client = servers.master.client();
    while Instant::now() < until {
        pause(&mut rng, 0..300, until);
        if rng.u8(..4) == 0 {
            let reply = client.run("SHADOW.FUNCTION ROLLBACK");
            assert!(matches!(reply, Value::Bulk(_)), "{reply:?}");
            counts.rollbacks.fetch_add(1, Ordering::Relaxed);
        } else {
            deploy_one(&mut client, &mut rng);
            counts.deploys.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Calls without an end: none fails, and all that a transaction hears is of one version.
pub fn call_only(server: &Server, fcall: &str, until: Instant, count: &AtomicU64) {
    let mut client = server.client();
    while Instant::now() < until {
        let [one, two, version] = ask(&mut client, fcall).expect("nothing stands against a transaction");
        assert!(!one.is_error() && !two.is_error(), "{one:?}, {two:?}");
        assert_eq!([&one, &two].map(Value::text), [(); 2].map(|()| version.text()[1..].to_owned()));
        count.fetch_add(2, Ordering::Relaxed);
    }
}
