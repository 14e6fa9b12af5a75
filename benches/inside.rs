//! What it costs to look inside: how long calls take, which keys they do not declare, where their time goes.

use crate::calls::{self, Case, EMPTY, FIB, INCRBY};
use crate::instructions::Instructions;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::scripts;
use crate::servers::Identity;
use crate::side::Side;
use crate::summary::Spread;
use crate::support::{Client, Value, wait_until};
use crate::trial;

/// The states in which a call is measured. A difference between the first two is noise.
pub const STATES: [&str; 3] = ["off", "off, again", "on"];

/// The place among them of what is looked at.
pub const ON: usize = 2;

/// What is turned on and off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// `latency-tracking`: the histograms, and how long inner commands take.
    Latency,
    /// `shadow.undeclared-keys report`.
    Undeclared,
    /// A profile.
    Profile,
}

/// A call beside the same call while something is looked at.
struct Subject {
    name: &'static str,
    look: Look,
    case: &'static Case,
    /// Whether it is made as a script.
    script: bool,
    /// Calls in one measurement.
    calls: usize,
}

/// The names of the rows that have goals.
pub const EMPTY_LATENCY: &str = "`latency-tracking`: an empty function";
/// The same.
pub const COMMANDS_UNDECLARED: &str = "`undeclared-keys report`: fifty INCRBY";
/// The same.
pub const COMMANDS_PROFILE: &str = "PROFILE at 1,000 Hz: fifty INCRBY";
/// The same.
pub const FIB_PROFILE: &str = "PROFILE at 1,000 Hz: fib(25)";

const SUBJECTS: [Subject; 7] = [
    Subject { name: EMPTY_LATENCY, look: Look::Latency, case: &EMPTY, script: false, calls: 1_000 },
    Subject {
        name: "`latency-tracking`: an empty script",
        look: Look::Latency,
        case: &EMPTY,
        script: true,
        calls: 1_000,
    },
    Subject { name: "`latency-tracking`: fifty INCRBY", look: Look::Latency, case: &INCRBY, script: false, calls: 25 },
    Subject { name: COMMANDS_UNDECLARED, look: Look::Undeclared, case: &INCRBY, script: false, calls: 25 },
    Subject {
        name: "`undeclared-keys report`: fifty INCRBY in a script",
        look: Look::Undeclared,
        case: &INCRBY,
        script: true,
        calls: 25,
    },
    Subject { name: COMMANDS_PROFILE, look: Look::Profile, case: &INCRBY, script: false, calls: 25 },
    Subject { name: FIB_PROFILE, look: Look::Profile, case: &FIB, script: false, calls: 5 },
];

/// Samples of a call in each state, one right after the other.
pub type Samples = [Vec<f64>; STATES.len()];

/// What a look costs a call.
pub struct Cost {
    pub name: &'static str,
    /// Microseconds in the server for each call.
    pub times: Samples,
    /// Instructions for each call; none where they are not counted.
    pub instructions: Samples,
}

/// What is measured of a call while nothing looks at it; None where it is not.
pub fn plain(samples: &Samples) -> Option<Spread> {
    (!samples[0].is_empty()).then(|| Spread::of(&samples[0]))
}

/// By how many percent a state is above the first, round by round.
pub fn more(samples: &Samples, state: usize) -> Option<Spread> {
    let more = |(first, other): (&f64, &f64)| (other / first - 1.0) * 100.0;
    let all: Vec<f64> = samples[0].iter().zip(&samples[state]).map(more).collect();
    (!all.is_empty()).then(|| Spread::of(&all))
}

/// A call in one server, alternately in each state, and the instructions that it takes in each.
pub fn measure(identity: &Identity, plan: &Plan) -> Vec<Cost> {
    let server = identity.start();
    let mut client = server.client();
    prepare(&mut client);
    let mut counter = Instructions::of(identity);
    let mut counted = counter.as_ref().map(Instructions::client);
    counted.iter_mut().for_each(prepare);
    let costs = SUBJECTS.iter().map(|subject| {
        let times = subject.times(&mut client, plan);
        let mut instructions = Samples::default();
        // A profile is taken by the clock, which Valgrind does not slow down as it does everything else.
        if subject.look != Look::Profile
            && let (Some(counter), Some(client)) = (&mut counter, &mut counted)
        {
            instructions = subject.instructions(counter, client, plan);
        }
        Cost { name: subject.name, times, instructions }
    });
    costs.collect()
}

/// Loads what is called.
fn prepare(client: &mut Client) {
    calls::prepare(client);
    // The server counts small numbers up in another way than large ones.
    client.run("SET bench:number 1000000");
}

impl Subject {
    /// Loads what is called. Returns the words of the call.
    fn prepare(&self, client: &mut Client) -> Vec<Vec<u8>> {
        if !self.script {
            return self.case.command(Side::Shadow).iter().map(|word| word.as_bytes().to_vec()).collect();
        }
        let script = self.case.script();
        scripts::load(client, &script);
        scripts::by_digest(Side::Shadow, &script, self.case.arguments().map(str::as_bytes))
    }

    fn times(&self, client: &mut Client, plan: &Plan) -> Samples {
        let progress = Progress::of(self.name);
        let (command, calls) = (self.prepare(client), trial::calls(self.calls, plan));
        self.in_turns(client, plan.inside_rounds, |client| {
            progress.step();
            trial::timed(client, &command, calls, self.name)
        })
    }

    fn instructions(&self, counter: &mut Instructions, client: &mut Client, plan: &Plan) -> Samples {
        let progress = Progress::of(&format!("{}, instructions", self.name));
        let (command, calls) = (self.prepare(client), trial::calls(self.calls, plan));
        let commands = vec![command; calls];
        self.in_turns(client, plan.inside_counts, |client| {
            progress.step();
            counter.count(|| drop(client.pipeline(&commands))) / calls as f64
        })
    }

    /// Takes samples in each state, `rounds` times.
    fn in_turns(&self, client: &mut Client, rounds: usize, mut sample: impl FnMut(&mut Client) -> f64) -> Samples {
        let mut samples = Samples::default();
        // The first round warms up.
        for round in 0..=rounds {
            for place in 0..STATES.len() {
                // The order rotates, so that no state is always the first.
                let state = (place + round) % STATES.len();
                self.look.turn(client, state == ON);
                let seen = sample(client);
                if round > 0 {
                    samples[state].push(seen);
                }
            }
        }
        self.look.turn(client, false);
        samples
    }
}

impl Look {
    /// Turns it on or off; returns when that is so.
    fn turn(self, client: &mut Client, on: bool) {
        match self {
            Self::Latency => {
                accepted(&client.call(&["CONFIG", "SET", "latency-tracking", if on { "yes" } else { "no" }]));
                // Where the server does not announce a change, the module sees it within a tenth of a second.
                wait_until("the module follows latency-tracking", || is_tracked(client) == on);
            }
            Self::Undeclared => {
                accepted(&client.call(&["CONFIG", "SET", "shadow.undeclared-keys", if on { "report" } else { "off" }]));
            }
            // Longer than any measurement.
            Self::Profile if on => accepted(&client.run("SHADOW.FUNCTION PROFILE START HZ 1000 SECONDS 60")),
            // It is an error when there is none.
            Self::Profile => drop(client.run("SHADOW.FUNCTION PROFILE STOP")),
        }
    }
}

/// Whether a call is entered in its function's histogram.
fn is_tracked(client: &mut Client) -> bool {
    let [before, after] = [(); 2].map(|()| {
        let histogram = client.run("SHADOW.FUNCTION HISTOGRAM bench_empty");
        accepted(&client.run("SHADOW.FCALL bench_empty 0"));
        // The name, then `calls` and their number.
        histogram.items().get(1).and_then(|function| function.field("calls")).map(|calls| calls.text())
    });
    before != after
}

/// Panics at an error reply: nothing after it would be worth measuring.
fn accepted(reply: &Value) {
    assert!(!reply.is_error(), "the server refuses: {}", reply.text());
}
