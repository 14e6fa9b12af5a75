//! The time that a call takes.

use std::time::Instant;

use crate::clearing::per_call;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::side::{Side, settle};
use crate::summary::{self, Pairs, Spread};
use crate::support::{Client, Server};
use crate::table::Table;

/// One library with the functions of all cases.
const LIBRARY: &str = include_str!("calls.lua");

/// A function to call.
struct Case {
    name: &'static str,
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

const EMPTY: Case = Case::computing("an empty function", "bench_empty", 5_000);

/// Entering a function, and inner commands.
const CALLS: [Case; 6] = [
    EMPTY,
    Case {
        arguments: "0 one two three four five six seven eight nine ten 11 12 13 14 15 16 17 18 19 20",
        ..Case::computing("20 arguments", "bench_arguments", 5_000)
    },
    Case::calling("one GET", "bench_get", "1 bench:text", 5_000, "1 GET bench:text"),
    Case::calling("one SET", "bench_set", "1 bench:text", 5_000, "1 SET bench:text value"),
    Case::calling("fifty INCRBY", "bench_incrby", "1 bench:number", 500, "50 INCRBY bench:number 1"),
    Case::calling("HGETALL of 50 fields", "bench_hgetall", "1 bench:hash", 1_000, "1 HGETALL bench:hash"),
];

/// Computation alone.
const COMPUTATIONS: [Case; 6] = [
    Case::computing("fib(25)", "bench_fib", 20),
    Case::computing("primes below 10,000", "bench_sieve", 50),
    Case::computing("counting 1,000 words", "bench_words", 100),
    Case::computing("building a string of 1,000 parts", "bench_building", 100),
    Case::computing("JSON there and back", "bench_json", 300),
    Case::computing("MessagePack there and back", "bench_msgpack", 300),
];

impl Case {
    fn command(&self, side: Side) -> Vec<&'static str> {
        [side.fcall(), self.function].into_iter().chain(self.arguments.split(' ')).collect()
    }

    /// Calls in one measurement under this plan.
    fn calls(&self, plan: &Plan) -> usize {
        (self.calls / plan.call_divisor).max(2)
    }
}

/// The tables of calls: microseconds in the server, and of an empty function also as a client sees it.
pub fn measure(server: &Server, plan: &Plan) -> Vec<Table<5>> {
    let mut client = server.client();
    settle(&mut client);
    Side::Stock.load(&mut client, LIBRARY);
    Side::Shadow.load(&mut client, LIBRARY);
    client.run("SET bench:text value");
    let fields: String = (0..50).map(|number| format!(" field{number} value{number}")).collect();
    client.run(&format!("HSET bench:hash{fields}"));

    let mut calls = table("FCALL, us per call in the server: median (min .. max)");
    for case in &CALLS {
        measure_case(&mut client, &mut calls, case, plan);
    }
    let rounds = EMPTY.calls(plan);
    let pairs = by_turns("an empty function, round trip of a client", plan.call_rounds, |side| {
        round_trip(&mut client, side, &EMPTY, rounds)
    });
    push(&mut calls, "an empty function, round trip of a client", &pairs, None);

    let mut computations = table("Computation, us per call in the server: median (min .. max)");
    let mut ratios = Vec::new();
    for case in &COMPUTATIONS {
        ratios.push(measure_case(&mut client, &mut computations, case, plan));
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    computations.push(["geometric mean".to_owned(), String::new(), String::new(), summary::ratio(mean), String::new()]);
    vec![calls, computations]
}

/// `floor` is what the same commands take that a module runs by itself, without a function.
fn table(title: &str) -> Table<5> {
    Table::new(title, ["", "FCALL", "SHADOW.FCALL", "stock / shadow", "floor"])
}

/// Adds the row of a case; the ratio.
fn measure_case(client: &mut Client, table: &mut Table<5>, case: &Case, plan: &Plan) -> f64 {
    let calls = case.calls(plan);
    let pairs = by_turns(case.name, plan.call_rounds, |side| pipelined(client, side, case, calls));
    let floor = case.floor.map(|commands| {
        let command: Vec<&str> = ["SHADOW.DEBUG", "CALL"].into_iter().chain(commands.split(' ')).collect();
        let samples: Vec<f64> = (0..=plan.call_rounds).map(|_| timed(client, &command, calls, case.name)).collect();
        Spread::of(&samples[1..])
    });
    push(table, case.name, &pairs, floor);
    pairs.ratio()
}

/// Measures both sides by turns.
fn by_turns(name: &str, rounds: usize, mut sample: impl FnMut(Side) -> f64) -> Pairs {
    let progress = Progress::of(&format!("FCALL: {name}"));
    let sides = [Side::Stock, Side::Shadow];
    // The first calls are not like the later ones.
    for side in sides {
        sample(side);
    }
    let mut pairs = Pairs::default();
    for _ in 0..rounds {
        for side in sides {
            pairs.push(side, sample(side));
        }
        progress.step();
    }
    pairs
}

fn push(table: &mut Table<5>, name: &str, pairs: &Pairs, floor: Option<Spread>) {
    let [stock, shadow, ratio] = pairs.cells();
    let floor = floor.map_or_else(String::new, |floor| summary::number(floor.median()));
    table.push([name.to_owned(), stock, shadow, ratio, floor]);
}

/// Calls in one pipeline; microseconds of each in the server.
fn pipelined(client: &mut Client, side: Side, case: &Case, calls: usize) -> f64 {
    timed(client, &case.command(side), calls, case.name)
}

/// A command in one pipeline, `calls` times; microseconds of each in the server.
fn timed(client: &mut Client, command: &[&str], calls: usize, name: &str) -> f64 {
    client.run("CONFIG RESETSTAT");
    let replies = client.pipeline(&vec![command.to_vec(); calls]);
    assert!(!replies[0].is_error(), "{name}: {}", replies[0].text());
    per_call(client, &command[0].to_ascii_lowercase(), calls)
}

/// Calls one after the other; the median microseconds from sending one to having its reply.
fn round_trip(client: &mut Client, side: Side, case: &Case, calls: usize) -> f64 {
    let command = case.command(side);
    let trips: Vec<f64> = (0..calls)
        .map(|_| {
            let sent = Instant::now();
            client.raw(&command);
            sent.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    Spread::of(&trips).median()
}
