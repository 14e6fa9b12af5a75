//! Scripts of real packages as functions, called as the packages called them: `make recordings` has recorded that.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::Side;
use crate::summary::{Better, Pairs};
use crate::support::resp::{parse, read_reply};
use crate::support::{Client, Value};
use crate::trial::{Command, Rounds, calm};

/// Where tests/realcode/record.py leaves its recording.
const RECORDING: &str = "target/recordings/traffic.resp";

/// Scripts that have a row beside that of their package.
pub const SCRIPTS: [&str; 6] = [
    "bullmq/addStandardJob",
    "bullmq/moveToActive",
    "bullmq/moveToFinished",
    "limits/acquire_moving_window",
    "limits/acquire_sliding_window",
    "redis/lock:30",
];

/// What one package sends.
struct Traffic {
    package: String,
    sent: Vec<Sent>,
}

enum Sent {
    /// A call of a function: the name of its script, then the function, keys and arguments.
    Call {
        script: String,
        words: Command,
    },
    Other(Command),
}

/// What was recorded.
#[derive(Default)]
struct Recording {
    libraries: Vec<Vec<u8>>,
    packages: Vec<Traffic>,
}

impl Recording {
    /// None if nothing was recorded.
    fn read() -> Option<Self> {
        let file = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING)).ok()?;
        let mut source = BufReader::new(file);
        let mut recording = Self::default();
        loop {
            let line = match read_reply(&mut source) {
                Ok(line) => line,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Some(recording),
                Err(error) => panic!("{RECORDING}: {error}"),
            };
            let words = parse(&line).items().into_iter().map(|word| match word {
                Value::Bulk(bytes) => bytes,
                other => panic!("{RECORDING}: {other:?}"),
            });
            recording.add(words.collect());
        }
    }

    fn add(&mut self, words: Command) {
        let mut words = words.into_iter();
        let mut text = |what: &str| {
            let word = words.next().unwrap_or_else(|| panic!("{RECORDING}: {what} is missing"));
            String::from_utf8(word).unwrap_or_else(|_| panic!("{RECORDING}: {what} is no text"))
        };
        match &*text("the kind") {
            "LIBRARY" => {
                text("the name");
                self.libraries.extend(words);
            }
            kind => {
                let package = text("the package");
                let script = (kind == "CALL").then(|| text("the script"));
                if self.packages.last().is_none_or(|traffic| traffic.package != package) {
                    self.packages.push(Traffic { package, sent: Vec::new() });
                }
                let words = words.collect();
                let traffic = self.packages.last_mut().expect("it was pushed");
                traffic.sent.push(match script {
                    Some(script) => Sent::Call { script, words },
                    None => Sent::Other(words),
                });
            }
        }
    }
}

/// Microseconds in the server and calls, by the name of a row.
type Times = BTreeMap<String, (f64, usize)>;

impl Traffic {
    /// Sends it all by one side, to an empty server.
    fn replay(&self, client: &mut Client, side: Side) -> Times {
        client.run("FLUSHALL");
        let mut times = Times::new();
        for sent in &self.sent {
            match sent {
                Sent::Other(words) => drop(client.raw(words)),
                Sent::Call { script, words } => {
                    let took = timed(client, side, words);
                    let names = [&self.package, script];
                    for name in names.into_iter().filter(|name| *name == &self.package || is_shown(name)) {
                        let (usec, calls) = times.entry(name.clone()).or_default();
                        *usec += took;
                        *calls += 1;
                    }
                }
            }
        }
        times
    }

    fn total(&self, times: &Times) -> f64 {
        times[&self.package].0
    }
}

fn is_shown(script: &str) -> bool {
    SCRIPTS.contains(&script)
}

/// Calls a function once; microseconds in the server.
fn timed(client: &mut Client, side: Side, words: &Command) -> f64 {
    let call: Command = [side.fcall().as_bytes().to_vec()].into_iter().chain(words.iter().cloned()).collect();
    let [reset, info] = ["CONFIG RESETSTAT", "INFO commandstats"]
        .map(|line| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Command>());
    let replies = client.pipeline(&[reset, call, info]);
    let statistics = replies[2].text();
    let head = format!("cmdstat_{}:calls=1,usec=", side.fcall().to_ascii_lowercase());
    let line = statistics.lines().find_map(|line| line.strip_prefix(&head));
    let usec = line.and_then(|line| line.split(',').next()).unwrap_or_else(|| panic!("{head} in {statistics}"));
    usec.parse().expect("a number")
}

/// A row for each package, and for each of [`SCRIPTS`]: microseconds of a call in the server. None if nothing was
/// recorded.
pub fn measure(identity: &Identity, plan: &Plan) -> Option<(Vec<Row>, Rounds)> {
    let recording = Recording::read()?;
    let (mut rows, mut rounds) = (BTreeMap::new(), Rounds::default());
    for _ in 0..plan.call_starts {
        let server = identity.start();
        let mut client = server.client();
        for side in Side::BOTH {
            for library in &recording.libraries {
                // A script that two packages send is there twice.
                let words = [side.function().as_bytes(), b"LOAD", b"REPLACE", library];
                let reply = client.call(&words);
                assert!(!reply.is_error(), "{}", reply.text());
            }
        }
        for traffic in &recording.packages {
            let progress = Progress::of(&format!("package: {}", traffic.package));
            let mut replay = |side: Side| traffic.replay(&mut client, side);
            // A round to warm up: a function becomes machine code when it has been called often.
            (0..WARM_UP).for_each(|_| Side::BOTH.into_iter().for_each(|side| drop(replay(side))));
            let wanted = ROUNDS_FOR_ONE * plan.call_rounds;
            let (seen, taken) = calm(wanted, &progress, replay, |times| traffic.total(times));
            rounds = rounds + taken;
            for name in seen[0].stock[0].keys() {
                let mean = |times: &mut dyn Iterator<Item = &Times>| {
                    let (sum, calls) = times.fold((0.0, 0), |(sum, calls), times| {
                        let (usec, count) = times[name];
                        (sum + usec, calls + count)
                    });
                    sum / calls as f64
                };
                let stock = mean(&mut seen.iter().flat_map(|round| &round.stock));
                let shadow = mean(&mut seen.iter().map(|round| &round.shadow));
                rows.entry(name.clone()).or_insert_with(|| Pairs::of(Better::Lower)).push([stock, shadow]);
            }
        }
    }
    let rows = rows.into_iter().map(|(name, pairs)| Row { name, pairs, ..Row::default() });
    Some((rows.collect(), rounds))
}

/// How often a package's traffic is replayed before it is measured.
const WARM_UP: usize = 3;

/// So many rounds make up for each one of the calls that are measured in pipelines of many: here a round has few.
const ROUNDS_FOR_ONE: usize = 4;
