//! Calls as a client sees them: throughput and latency.

use std::time::Instant;

use crate::calls::{self, Case};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::scripts;
use crate::servers::Identity;
use crate::side::Side;
use crate::summary::{Better, Pairs, Quantiles};
use crate::support::{Client, resp};

/// Calls in one write, and calls in one measurement.
const DEPTHS: [(usize, usize); 2] = [(1, 20_000), (16, 96_000)];

/// What is measured, in the order of [`drive`]'s result.
const SIGHTS: [(&str, Better); 4] = [
    ("calls a second", Better::Higher),
    ("50 %, us", Better::Lower),
    ("99 %, us", Better::Lower),
    ("99.9 %, us", Better::Lower),
];

/// A row for each thing that a client measures: with an empty function, with one GET and with a script of 4 KiB that is
/// sent each time; one call at a time and in a pipeline.
pub fn measure(identity: &Identity, plan: &Plan) -> Vec<Row> {
    let server = identity.start();
    let mut client = server.client();
    calls::prepare(&mut client);
    let mut rows = Vec::new();
    let encoded = |case: &Case| Side::BOTH.map(|side| resp::encode(&case.command(side)));
    let cases = [
        (calls::EMPTY.name, encoded(&calls::EMPTY)),
        (calls::GET.name, encoded(&calls::GET)),
        (scripts::LONG_CLIENT, scripts::long().map(|command| resp::encode(&command))),
    ];
    for (name, commands) in cases {
        for (depth, count) in DEPTHS {
            let what = format!("{name}, {depth} at once");
            let progress = Progress::of(&format!("a client: {what}"));
            let mut found = SIGHTS.map(|(_, better)| Pairs::of(better));
            for round in 0..=plan.client_rounds {
                let sides = commands
                    .each_ref()
                    .map(|command| drive(&mut client, command, name, depth, count / plan.call_divisor));
                // The first round warms up.
                if round > 0 {
                    for (index, pairs) in found.iter_mut().enumerate() {
                        pairs.push(sides.map(|seen| seen[index]));
                    }
                    progress.step();
                }
            }
            let named = SIGHTS.iter().zip(found);
            rows.extend(named.map(|((sight, _), pairs)| Row {
                name: format!("{what}: {sight}"),
                pairs,
                ..Row::default()
            }));
        }
    }
    rows
}

/// Sends `count` calls, `depth` of them in one write, and reads their replies. A call's time is from that write to its
/// own reply.
fn drive(client: &mut Client, command: &[u8], name: &str, depth: usize, count: usize) -> [f64; SIGHTS.len()] {
    let batch = command.repeat(depth);
    let mut times = Vec::with_capacity(count);
    let begin = Instant::now();
    for _ in 0..count / depth {
        let sent = Instant::now();
        client.write(&batch).expect("the server reads");
        for _ in 0..depth {
            let reply = client.read_raw().expect("the server answers");
            assert_ne!(reply[0], b'-', "{name}: {}", String::from_utf8_lossy(&reply));
            times.push(sent.elapsed());
        }
    }
    let throughput = times.len() as f64 / begin.elapsed().as_secs_f64();
    let quantiles = Quantiles::of(times);
    [throughput, quantiles.half, quantiles.hundredth, quantiles.thousandth]
}
