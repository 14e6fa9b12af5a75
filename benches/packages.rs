//! Scripts of real packages as functions, called as the packages called them: `make recordings` has recorded that.

use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::{Side, per_call};
use crate::summary::{Better, Pairs};
use crate::support::resp::{parse, read_reply};
use crate::support::{Client, Value};
use crate::trial::{Command, Rounds, calm, command as command_of, medians};

/// Where tests/realcode/record.py leaves its recording.
const RECORDING: &str = "target/recordings/traffic.resp";

/// Calls in a round, at least.
const CALLS: usize = 500;

/// What one package sends.
struct Traffic {
    package: String,
    sent: Vec<Sent>,
}

/// A command, or what follows the name of the command that calls a function.
enum Sent {
    Call(Command),
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
                let is_call = kind == "CALL";
                if is_call {
                    text("the script");
                }
                if self.packages.last().is_none_or(|traffic| traffic.package != package) {
                    self.packages.push(Traffic { package, sent: Vec::new() });
                }
                let words = words.collect();
                let traffic = self.packages.last_mut().expect("it was pushed");
                traffic.sent.push(if is_call { Sent::Call(words) } else { Sent::Other(words) });
            }
        }
    }
}

impl Traffic {
    /// How many of it are calls of functions.
    fn calls(&self) -> usize {
        self.sent.iter().filter(|sent| matches!(sent, Sent::Call(_))).count()
    }

    /// What one side sends in a round: all of it to an empty server, as often as it takes to have some [`CALLS`].
    fn commands(&self, side: Side) -> (Vec<Command>, usize) {
        let command = |sent: &Sent| match sent {
            Sent::Call(words) => [side.fcall().as_bytes().to_vec()].iter().chain(words).cloned().collect(),
            Sent::Other(words) => words.clone(),
        };
        let times = CALLS.div_ceil(self.calls());
        let once: Vec<Command> = [command_of(["FLUSHALL"])].into_iter().chain(self.sent.iter().map(command)).collect();
        (vec![once; times].concat(), times * self.calls())
    }
}

/// Microseconds in the server for each call of a function among commands.
fn timed(client: &mut Client, side: Side, (commands, calls): &(Vec<Command>, usize)) -> f64 {
    client.run("CONFIG RESETSTAT");
    // Some are errors, as they were for the package.
    client.pipeline(commands);
    per_call(client, &side.fcall().to_ascii_lowercase(), *calls)
}

/// A row for each package: microseconds of a call in the server, in the mean of all its calls. None if nothing was
/// recorded.
pub fn measure(identity: &Identity, plan: &Plan) -> Option<(Vec<Row>, Rounds)> {
    let recording = Recording::read()?;
    let mut all = vec![Pairs::of(Better::Lower); recording.packages.len()];
    let mut rounds = Rounds::default();
    for _ in 0..plan.call_starts {
        let server = identity.start();
        let mut client = server.client();
        for side in Side::BOTH {
            for library in &recording.libraries {
                // A script that two packages send is there twice.
                let reply = client.call(&[side.function().as_bytes(), b"LOAD", b"REPLACE", library]);
                assert!(!reply.is_error(), "{}", reply.text());
            }
        }
        for (traffic, pairs) in recording.packages.iter().zip(&mut all) {
            let progress = Progress::of(&format!("package: {}", traffic.package));
            let commands = Side::BOTH.map(|side| traffic.commands(side));
            let mut time = |side: Side| timed(&mut client, side, &commands[usize::from(side == Side::Shadow)]);
            // To warm up: a function becomes machine code when it has been called often.
            Side::BOTH.into_iter().for_each(|side| _ = time(side));
            let (seen, taken) = calm(plan.call_rounds, &progress, time);
            rounds = rounds + taken;
            pairs.push(medians(&seen));
        }
    }
    let names = recording.packages.iter().map(|traffic| traffic.package.clone());
    let rows = names.zip(all).map(|(name, pairs)| Row { name, pairs, ..Row::default() });
    Some((rows.collect(), rounds))
}
