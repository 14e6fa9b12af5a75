//! The time that a call takes.

use std::time::Instant;

use crate::clearing::per_call;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::side::{Side, settle};
use crate::summary::{Pairs, Spread};
use crate::support::{Client, Server};
use crate::table::Table;

/// One library with the functions of all cases.
const LIBRARY: &str = "#!lua name=bench
local function fib(n)
    if n < 2 then return n end
    return fib(n - 1) + fib(n - 2)
end
redis.register_function('bench_empty', function() end)
redis.register_function('bench_get', function(keys) return redis.call('GET', keys[1]) end)
redis.register_function('bench_incrby', function(keys)
    for _ = 1, 50 do redis.call('INCRBY', keys[1], 1) end
end)
redis.register_function('bench_fib', function() return fib(25) end)
redis.register_function('bench_arguments', function(keys, args) return args[20] end)
";

/// A function to call.
struct Case {
    name: &'static str,
    function: &'static str,
    /// Keys and arguments, with the number of keys before them.
    arguments: &'static str,
    /// Calls in one measurement.
    calls: usize,
}

const EMPTY: Case = Case { name: "an empty function", function: "bench_empty", arguments: "0", calls: 5_000 };

const CASES: [Case; 5] = [
    EMPTY,
    Case { name: "one GET", function: "bench_get", arguments: "1 bench:text", calls: 5_000 },
    Case { name: "fifty INCRBY", function: "bench_incrby", arguments: "1 bench:number", calls: 500 },
    Case { name: "fib(25)", function: "bench_fib", arguments: "0", calls: 20 },
    Case {
        name: "20 arguments",
        function: "bench_arguments",
        arguments: "0 one two three four five six seven eight nine ten 11 12 13 14 15 16 17 18 19 20",
        calls: 5_000,
    },
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

/// The table of calls: microseconds in the server, and of an empty function also as a client sees it.
pub fn measure(server: &Server, plan: &Plan) -> Table<4> {
    let mut client = server.client();
    settle(&mut client);
    Side::Stock.load(&mut client, LIBRARY);
    Side::Shadow.load(&mut client, LIBRARY);
    client.run("SET bench:text value");

    let mut table = Table::new(
        "FCALL, us per call in the server: median (min .. max)",
        ["", "FCALL", "SHADOW.FCALL", "stock / shadow"],
    );
    for case in &CASES {
        let calls = case.calls(plan);
        push(&mut table, case.name, plan.call_rounds, |side| pipelined(&mut client, side, case, calls));
    }
    let calls = EMPTY.calls(plan);
    push(&mut table, "an empty function, round trip of a client", plan.call_rounds, |side| {
        round_trip(&mut client, side, &EMPTY, calls)
    });
    table
}

/// Measures both sides by turns and adds the row.
fn push(table: &mut Table<4>, name: &str, rounds: usize, mut sample: impl FnMut(Side) -> f64) {
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
    let [stock, shadow, ratio] = pairs.cells();
    table.push([name.to_owned(), stock, shadow, ratio]);
}

/// Calls in one pipeline; microseconds of each in the server.
fn pipelined(client: &mut Client, side: Side, case: &Case, calls: usize) -> f64 {
    let commands = vec![case.command(side); calls];
    client.run("CONFIG RESETSTAT");
    let replies = client.pipeline(&commands);
    assert!(!replies[0].is_error(), "{}: {}", case.name, replies[0].text());
    per_call(client, &side.fcall().to_ascii_lowercase(), calls)
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
