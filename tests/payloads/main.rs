//! Payloads that were tampered with, many of them, through a real server. None ends it, and none is taken by halves:
//! after an error everything is as it was, counters of functions included, and after `OK` there is exactly what the
//! payload holds beside what was to stay.
//!
//! `COUNT` is the number of payloads, `SEED` makes them the same again.

#[path = "../support/mod.rs"]
mod support;

mod mutate;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use shadow::registry::payload::{self, Rules, Versions};
use shadow::registry::shebang::{self, Quoting};

use mutate::{Mutation, function, seeds};
use support::{Client, Server, Value};

const DEFAULT_COUNT: usize = 5_000;
/// Payloads that are sent at once.
const BATCH: usize = 200;
/// The libraries are flushed when there are this many.
const CROWD: usize = 12;

const POLICIES: [&str; 4] = ["", "APPEND", "REPLACE", "FLUSH"];

/// Libraries by name, with their sources.
type Libraries = BTreeMap<String, Vec<u8>>;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// One payload on its way.
struct Attempt {
    payload: Vec<u8>,
    policy: &'static str,
}

impl Attempt {
    fn commands(&self) -> [Vec<Vec<u8>>; 3] {
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let mut restore = words("SHADOW.FUNCTION RESTORE");
        restore.push(self.payload.clone());
        restore.extend((!self.policy.is_empty()).then(|| self.policy.as_bytes().to_vec()));
        [restore, words("SHADOW.FUNCTION LIST WITHCODE"), words("SHADOW.FCALL count 0")]
    }

    /// What there must be after it was taken.
    fn taken(&self, before: &Libraries) -> Libraries {
        // The server has checked the footer: the test reads any.
        let rules = |versions| Rules { versions, pre_ga: true, unsealed: true };
        let records = payload::read(&self.payload, rules(Versions::Relaxed))
            .or_else(|_| payload::read(&self.payload, rules(Versions::Redis(u16::MAX))));
        let mut after = if self.policy == "FLUSH" { Libraries::new() } else { before.clone() };
        for source in records.expect("a right footer") {
            let source = source.expect("a record that can be read");
            let name = shebang::parse(&source, Quoting::Parts).expect("a right first line").name;
            let replaced = after.insert(name.to_string(), source.into_owned());
            assert!(replaced.is_none() || self.policy == "REPLACE", "{name} was replaced");
        }
        after
    }
}

fn libraries(list: &Value) -> Libraries {
    let one = |library: &Value| {
        let Some(Value::Bulk(code)) = library.field("library_code") else { panic!("{library:?} has no code") };
        (library.field("library_name").expect("a name").text(), code)
    };
    list.items().iter().map(one).collect()
}

/// What was seen.
#[derive(Default)]
struct Counts {
    taken: usize,
    refused: BTreeMap<String, usize>,
}

/// Loads what the payloads meet.
fn prepare(client: &mut Client) {
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    for code in [function("lib1", &["f1"]), function("live", &["l"]), mutate::counter()] {
        let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &code]);
        assert!(!reply.is_error(), "{reply:?}");
    }
}

/// Sends a batch and looks at what each of its payloads has done.
fn send(client: &mut Client, attempts: &[Attempt], counts: &mut Counts) {
    let commands: Vec<_> = attempts.iter().flat_map(Attempt::commands).collect();
    let mut before = client.run("SHADOW.FUNCTION LIST WITHCODE");
    let mut count = client.run("SHADOW.FCALL count 0");
    for (attempt, replies) in attempts.iter().zip(client.pipeline(&commands).chunks(3)) {
        let [reply, after, counted] = replies else { panic!("three replies each") };
        let described = || format!("{reply:?} to RESTORE {} {}", attempt.payload.escape_ascii(), attempt.policy);
        if let Value::Error(text) = reply {
            assert!(text.starts_with("ERR "), "{}", described());
            assert_eq!(*after, before, "{}", described());
            // A counter that was tampered with itself may say anything.
            if let Value::Integer(count) = count
                && libraries(after).get("counter").map(Vec::as_slice) == Some(mutate::counter().as_bytes())
            {
                assert_eq!(*counted, Value::Integer(count + 1), "{}", described());
            }
            let kind: Vec<_> = text.split(' ').take(4).filter(|word| word.chars().all(char::is_alphabetic)).collect();
            *counts.refused.entry(kind.join(" ")).or_default() += 1;
        } else {
            assert_eq!(reply.text(), "OK", "{}", described());
            assert_eq!(libraries(after), attempt.taken(&libraries(&before)), "{}", described());
            counts.taken += 1;
        }
        (before, count) = (after.clone(), counted.clone());
    }
    if before.items().len() > CROWD || before.items().is_empty() {
        prepare(client);
    }
}

#[test]
fn a_payload_that_was_tampered_with_is_taken_whole_or_not_at_all() {
    let count = number("COUNT").map_or(DEFAULT_COUNT, |count| count as usize);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let seed = number("SEED").unwrap_or_else(clock);
    println!("SEED={seed}, {count} payloads");
    let mut rng = Rng::with_seed(seed);
    let server = Server::start();
    let mut client = server.client();
    let started = Instant::now();
    let mutation = Mutation::new(seeds(), own_version(&mut client));
    let mut counts = Counts::default();
    prepare(&mut client);
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        let attempts: Vec<_> = (0..batch)
            .map(|_| Attempt { payload: mutation.payload(&mut rng), policy: POLICIES[rng.usize(..POLICIES.len())] })
            .collect();
        send(&mut client, &attempts, &mut counts);
        left -= batch;
    }
    let refused: usize = counts.refused.values().sum();
    println!("{} taken, {refused} refused, in {:.1} s", counts.taken, started.elapsed().as_secs_f64());
    for (text, times) in &counts.refused {
        println!("{times:8}  {text}");
    }
    assert!(counts.taken > count / 100 && refused > count / 10, "both must come up");
    let log = server.log();
    assert!(!log.contains("internal error") && !log.contains("panicked"), "{log}");
}

/// The version that the server writes into its payloads.
fn own_version(client: &mut Client) -> u16 {
    let Value::Bulk(dump) = client.run("SHADOW.FUNCTION DUMP") else { panic!("a payload") };
    payload::version(&dump).expect("a footer")
}
