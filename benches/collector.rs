//! Whether the collector's work on a large VM slows down calls.

use std::time::Instant;

use crate::number::count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::{Side, settle};
use crate::summary::{Better, Pairs, Quantiles};
use crate::support::Server;

/// A library beside the others: its function leaves some 40 kB of garbage.
const LIBRARY: &str = "#!lua name=bench\nredis.register_function('bench_garbage', function()\n    local parts = {}\n    \
                       for number = 1, 400 do parts[number] = {number, tostring(number)} end\n    return #parts\nend)";

/// Calls in one measurement: enough garbage that the collector walks the libraries several times.
const CALLS: usize = 10_000;

/// Libraries in the small VM.
pub const FEW: usize = 10;

/// What is measured, in the order of [`observe`]'s result.
const SIGHTS: [&str; 4] = ["50 %", "99 %", "99.9 %", SLOWEST];

/// The name of the slowest call.
const SLOWEST: &str = "slowest";

/// The name of the row of the slowest call beside this many libraries.
pub fn slowest(libraries: usize) -> String {
    name(libraries, SLOWEST)
}

fn name(libraries: usize, sight: &str) -> String {
    format!("{} libraries: {sight}", count(libraries))
}

/// The rows of a call that leaves garbage, in a small VM and in a big one: microseconds from sending it to having its
/// reply.
pub fn measure(identity: &Identity, plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for libraries in [FEW, plan.libraries] {
        let progress = Progress::of(&format!("the collector beside {} libraries", count(libraries)));
        let mut found = SIGHTS.map(|_| Pairs::of(Better::Lower));
        for _ in 0..plan.collector_rounds {
            let sides = Side::BOTH.map(|side| observe(&identity.start(), side, libraries, plan));
            for (index, pairs) in found.iter_mut().enumerate() {
                pairs.push(sides.map(|seen| seen[index]));
            }
            progress.step();
        }
        let named = SIGHTS.iter().zip(found);
        rows.extend(named.map(|(sight, pairs)| Row { name: name(libraries, sight), pairs, ..Row::default() }));
    }
    rows
}

/// One round of one side, in a fresh server.
fn observe(server: &Server, side: Side, libraries: usize, plan: &Plan) -> [f64; SIGHTS.len()] {
    let mut client = server.client();
    settle(&mut client);
    side.fill(&mut client, libraries);
    side.load(&mut client, LIBRARY);
    settle(&mut client);
    let call = [side.fcall(), "bench_garbage", "0"];
    assert_eq!(client.call(&call).text(), "400");
    let times = (0..CALLS / plan.call_divisor).map(|_| {
        let sent = Instant::now();
        client.raw(&call);
        sent.elapsed()
    });
    let quantiles = Quantiles::of(times.collect());
    [quantiles.half, quantiles.hundredth, quantiles.thousandth, quantiles.slowest]
}
