//! The time that a call takes inside the server.

use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::{Side, per_call, settle};
use crate::summary::{Better, Pairs, Spread};
use crate::support::Client;

/// One library with the functions of all cases.
const LIBRARY: &str = include_str!("calls.lua");

/// A function to call.
pub struct Case {
    pub name: &'static str,
    function: &'static str,
    /// Keys and arguments, with the number of keys before them.
    arguments: &'static str,
    /// Calls in one measurement.
    calls: usize,
    /// The commands that it runs, for `SHADOW.DEBUG CALL`: how often, and what.
    floor: Option<&'static str>,
}

impl Case {
    /// A function that only computes.
    const fn computing(name: &'static str, function: &'static str, calls: usize) -> Self {
        Self { name, function, arguments: "0", calls, floor: None }
    }

    /// A function that runs commands on one key.
    const fn calling(
        name: &'static str,
        function: &'static str,
        arguments: &'static str,
        calls: usize,
        floor: &'static str,
    ) -> Self {
        Self { name, function, arguments, calls, floor: Some(floor) }
    }
}

/// Also measured from a client.
pub const EMPTY: Case = Case::computing("an empty function", "bench_empty", 5_000);

/// Also measured from a client.
pub const GET: Case = Case::calling("one GET", "bench_get", "1 bench:text", 5_000, "1 GET bench:text");

/// Also measured while something looks at it.
pub const INCRBY: Case =
    Case::calling("fifty INCRBY", "bench_incrby", "1 bench:number", 500, "50 INCRBY bench:number 1");

/// Also measured while something looks at it.
pub const FIB: Case = Case::computing("fib(25)", "bench_fib", 20);

/// Entering a function, and inner commands.
pub const CALLS: [Case; 6] = [
    EMPTY,
    Case {
        arguments: "0 one two three four five six seven eight nine ten 11 12 13 14 15 16 17 18 19 20",
        ..Case::computing("20 arguments", "bench_arguments", 5_000)
    },
    GET,
    Case::calling("one SET", "bench_set", "1 bench:text", 5_000, "1 SET bench:text value"),
    INCRBY,
    Case::calling("HGETALL of 50 fields", "bench_hgetall", "1 bench:hash", 1_000, "1 HGETALL bench:hash"),
];

/// Computation alone.
pub const COMPUTATIONS: [Case; 7] = [
    FIB,
    Case::computing("primes below 10,000", "bench_sieve", 50),
    Case::computing("counting 1,000 words", "bench_words", 100),
    Case::computing("building a string of 1,000 parts", "bench_building", 100),
    Case::computing("600 numbers as text", "bench_numbers", 100),
    Case::computing("JSON there and back", "bench_json", 300),
    Case::computing("MessagePack there and back", "bench_msgpack", 300),
];

impl Case {
    /// The words of the call.
    pub fn command(&self, side: Side) -> Vec<&'static str> {
        [side.fcall(), self.function].into_iter().chain(self.arguments()).collect()
    }

    /// The function as a script: its body, after what all functions of the library share if it uses that.
    pub fn script(&self) -> String {
        let head = format!("redis.register_function('{}', function(", self.function);
        let body = LIBRARY.split("\n\n").find_map(|part| {
            let (_, body) = part.strip_prefix(&head)?.split_once(')')?;
            body.trim_end().strip_suffix("end)")
        });
        let body = body.expect("the library has the function").replace("keys[", "KEYS[").replace("args[", "ARGV[");
        let (_, shared) = LIBRARY.split_once('\n').expect("a first line");
        let (shared, _) = shared.split_once("redis.register_function").expect("functions");
        let uses_shared = ["fib(", "prepare("].iter().any(|name| body.contains(name));
        if uses_shared { format!("{shared}{}", body.trim()) } else { body.trim().to_owned() }
    }

    /// Its keys and arguments, with the number of keys before them.
    pub fn arguments(&self) -> impl Iterator<Item = &'static str> {
        self.arguments.split(' ')
    }

    /// Measures both sides, which are called by `commands`.
    pub fn measure(&self, client: &mut Client, what: &str, commands: &[Vec<impl Word>; 2], plan: &Plan) -> Row {
        let calls = calls(self.calls, plan);
        let pairs = measure_pairs(client, what, commands, calls, plan);
        let floor = self.floor.map(|commands| {
            let command: Vec<&str> = ["SHADOW.DEBUG", "CALL"].into_iter().chain(commands.split(' ')).collect();
            let samples: Vec<f64> = (0..=plan.call_rounds).map(|_| timed(client, &command, calls, what)).collect();
            Spread::of(&samples[1..])
        });
        Row { name: self.name.to_owned(), pairs, floor }
    }
}

/// A word of a command.
pub trait Word: AsRef<[u8]> + Clone {}
impl<T: AsRef<[u8]> + Clone> Word for T {}

/// Calls in one measurement under this plan, where the full one has `calls`.
pub fn calls(calls: usize, plan: &Plan) -> usize {
    (calls / plan.call_divisor).max(2)
}

/// Loads the library into both registries, and the keys that its functions need.
pub fn prepare(client: &mut Client) {
    settle(client);
    Side::BOTH.iter().for_each(|side| side.load(client, LIBRARY));
    client.run("SET bench:text value");
    let fields: String = (0..50).map(|number| format!(" field{number} value{number}")).collect();
    client.run(&format!("HSET bench:hash{fields}"));
}

/// The rows of calls, and those of computations: microseconds in the server.
pub fn measure(identity: &Identity, plan: &Plan) -> [Vec<Row>; 2] {
    let server = identity.start();
    let mut client = server.client();
    prepare(&mut client);
    [CALLS.as_slice(), &COMPUTATIONS]
        .map(|cases| cases.iter().map(|case| measure_case(&mut client, case, plan)).collect())
}

fn measure_case(client: &mut Client, case: &Case, plan: &Plan) -> Row {
    case.measure(client, &format!("FCALL: {}", case.name), &Side::BOTH.map(|side| case.command(side)), plan)
}

/// Microseconds in the server of both sides' commands, each sent `calls` times in a sample.
pub fn measure_pairs(
    client: &mut Client,
    what: &str,
    commands: &[Vec<impl Word>; 2],
    calls: usize,
    plan: &Plan,
) -> Pairs {
    let progress = Progress::of(what);
    let mut pairs = Pairs::of(Better::Lower);
    // The first round warms up.
    for round in 0..=plan.call_rounds {
        let mut pair = [0.0; 2];
        for place in 0..commands.len() {
            // The order alternates, so that neither side is always the first.
            let index = (place + round) % commands.len();
            pair[index] = timed(client, &commands[index], calls, what);
        }
        if round > 0 {
            pairs.push(pair);
            progress.step();
        }
    }
    pairs
}

/// A command in one pipeline, `calls` times; microseconds of each in the server.
pub fn timed(client: &mut Client, command: &[impl Word], calls: usize, what: &str) -> f64 {
    client.run("CONFIG RESETSTAT");
    let replies = client.pipeline(&vec![command.to_vec(); calls]);
    assert!(!replies[0].is_error(), "{what}: {}", replies[0].text());
    per_call(client, &String::from_utf8_lossy(command[0].as_ref()).to_ascii_lowercase(), calls)
}
