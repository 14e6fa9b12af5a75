//! Commands of both sides, measured beside each other in several servers.
//!
//! Where a process lies in memory moves the times of a call by a fifth, so each command is measured in several starts
//! of the server, and what is shown are medians over these. Whatever else runs on the machine moves them, too: each
//! round measures the server's own command twice, and one in which that differs from itself is repeated.

use std::iter::Sum;
use std::ops::Add;

use crate::instructions::Instructions;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::{Side, per_call};
use crate::summary::{Better, Pairs, Spread};
use crate::support::Client;

/// The words of a command.
pub type Command = Vec<Vec<u8>>;

/// A round is disturbed when the server's own command takes more than this part longer than the same just before or
/// after.
pub const DISTURBED: f64 = 0.05;

/// At most so many rounds are measured for each that counts.
pub const PATIENCE: usize = 2;

/// In a sample for the count of instructions there is one call for so many in a sample of times.
const COUNTED: usize = 50;

/// What is measured.
pub struct Subject {
    pub name: String,
    /// The server's own command, and the module's.
    pub commands: [Command; 2],
    /// The same inner commands without a function or a script.
    pub floor: Option<Command>,
    /// Calls in a sample.
    pub calls: usize,
}

/// What was measured.
pub struct Found<const PARTS: usize> {
    /// The rows of each part.
    pub parts: [Vec<Row>; PARTS],
    pub rounds: Rounds,
}

/// How many rounds there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounds {
    /// Those that count.
    pub counted: usize,
    /// Of these, the ones that are disturbed: there were no calm ones in their place.
    pub disturbed: usize,
    /// Those that were measured again.
    pub repeated: usize,
}

impl Add for Rounds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            counted: self.counted + other.counted,
            disturbed: self.disturbed + other.disturbed,
            repeated: self.repeated + other.repeated,
        }
    }
}

impl Sum for Rounds {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Measures what `prepare` gives for a fresh server, in several.
pub fn measure<const PARTS: usize>(
    identity: &Identity,
    plan: &Plan,
    prepare: impl Fn(&mut Client) -> [Vec<Subject>; PARTS],
) -> Found<PARTS> {
    let mut rounds = Rounds::default();
    let mut starts = Vec::new();
    for _ in 0..plan.call_starts {
        let server = identity.start();
        let mut client = server.client();
        let parts = prepare(&mut client).map(|subjects| {
            let measure = |subject: &Subject| subject.measure(&mut client, plan, &mut rounds);
            subjects.iter().map(measure).collect::<Vec<_>>()
        });
        starts.push(parts);
    }
    let mut counter = Instructions::of(identity);
    let mut counted = counter.as_ref().map(Instructions::client);
    let subjects = match &mut counted {
        Some(client) => prepare(client),
        None => prepare(&mut identity.start().client()),
    };
    let mut part = 0;
    let parts = subjects.map(|subjects| {
        let rows = subjects.iter().enumerate().map(|(index, subject)| {
            let seen: Vec<&Seen> = starts.iter().map(|parts| &parts[part][index]).collect();
            let instructions = counter.as_mut().zip(counted.as_mut());
            let instructions = instructions.map(|(counter, client)| subject.instructions(counter, client, plan));
            row(&subject.name, &seen, instructions)
        });
        let rows = rows.collect();
        part += 1;
        rows
    });
    Found { parts, rounds }
}

/// What was seen of a subject in one start of the server: medians, in microseconds.
struct Seen {
    pair: [f64; 2],
    floor: Option<f64>,
}

/// The row of what was seen in each start.
fn row(name: &str, seen: &[&Seen], instructions: Option<f64>) -> Row {
    let mut pairs = Pairs::of(Better::Lower);
    seen.iter().for_each(|seen| pairs.push(seen.pair));
    let floors: Vec<f64> = seen.iter().filter_map(|seen| seen.floor).collect();
    let floor = (!floors.is_empty()).then(|| Spread::of(&floors));
    Row { name: name.to_owned(), pairs, floor, instructions }
}

/// The times of a round: of the server's own command, just before and after the module's.
pub struct Round {
    stock: [f64; 2],
    shadow: f64,
}

impl Round {
    /// By how much of itself the time of the server's own command differs.
    fn disturbance(&self) -> f64 {
        let [before, after] = self.stock;
        (before - after).abs() / before.min(after)
    }

    fn is_calm(&self) -> bool {
        self.disturbance() <= DISTURBED
    }
}

/// The median of the server's own command, and that of the module's.
pub fn medians(rounds: &[Round]) -> [f64; 2] {
    let median = |times: Vec<f64>| Spread::of(&times).median;
    let stock = rounds.iter().map(|round| f64::midpoint(round.stock[0], round.stock[1])).collect();
    [median(stock), median(rounds.iter().map(|round| round.shadow).collect())]
}

/// The calmest `wanted` rounds of those that it takes to have as many without disturbance, if there is an end to that.
/// `time` measures one side.
pub fn calm(wanted: usize, progress: &Progress, mut time: impl FnMut(Side) -> f64) -> (Vec<Round>, Rounds) {
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.iter().filter(|round| round.is_calm()).count() < wanted && rounds.len() < PATIENCE * wanted {
        let [before, shadow, after] = [Side::Stock, Side::Shadow, Side::Stock].map(&mut time);
        rounds.push(Round { stock: [before, after], shadow });
        progress.step();
    }
    let repeated = rounds.len() - wanted;
    rounds.sort_by(|one, other| one.disturbance().total_cmp(&other.disturbance()));
    rounds.truncate(wanted);
    let disturbed = rounds.iter().filter(|round| !round.is_calm()).count();
    (rounds, Rounds { counted: wanted, disturbed, repeated })
}

impl Subject {
    /// Measures it in one start of the server.
    fn measure(&self, client: &mut Client, plan: &Plan, rounds: &mut Rounds) -> Seen {
        let (pair, taken) = self.times(client, plan);
        *rounds = *rounds + taken;
        Seen { pair, floor: self.floor_time(client, plan) }
    }

    /// The medians of both sides in this server, in microseconds.
    fn times(&self, client: &mut Client, plan: &Plan) -> ([f64; 2], Rounds) {
        let progress = Progress::of(&self.name);
        let [stock, shadow] = &self.commands;
        let calls = self.calls(plan);
        let mut time = |side: Side| {
            let command = if side == Side::Stock { stock } else { shadow };
            timed(client, command, calls, &self.name)
        };
        // A round to warm up.
        Side::BOTH.into_iter().for_each(|side| _ = time(side));
        let (seen, rounds) = calm(plan.call_rounds, &progress, time);
        (medians(&seen), rounds)
    }

    /// The time of its inner commands alone in this server, in microseconds.
    fn floor_time(&self, client: &mut Client, plan: &Plan) -> Option<f64> {
        let command = self.floor.as_ref()?;
        let calls = self.calls(plan);
        let times: Vec<f64> = (0..=plan.call_rounds).map(|_| timed(client, command, calls, &self.name)).collect();
        Some(Spread::of(&times[1..]).median)
    }

    /// How many instructions a call of the module takes.
    fn instructions(&self, counter: &mut Instructions, client: &mut Client, plan: &Plan) -> f64 {
        let calls = (self.calls(plan) / COUNTED).max(2);
        let commands = vec![self.commands[1].clone(); calls];
        // What becomes machine code does so before.
        drop(client.pipeline(&commands));
        counter.count(|| drop(client.pipeline(&commands))) / calls as f64
    }

    fn calls(&self, plan: &Plan) -> usize {
        calls(self.calls, plan)
    }
}

/// Calls in a sample under this plan, where the full one has `calls`.
pub fn calls(calls: usize, plan: &Plan) -> usize {
    (calls / plan.call_divisor).max(2)
}

/// The words of a command.
pub fn command(words: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Command {
    words.into_iter().map(|word| word.as_ref().to_vec()).collect()
}

/// A command in one pipeline, `calls` times; microseconds of each in the server.
pub fn timed(client: &mut Client, command: &Command, calls: usize, what: &str) -> f64 {
    client.run("CONFIG RESETSTAT");
    let replies = client.pipeline(&vec![command.clone(); calls]);
    assert!(!replies[0].is_error(), "{what}: {}", replies[0].text());
    per_call(client, &String::from_utf8_lossy(&command[0]).to_ascii_lowercase(), calls)
}
