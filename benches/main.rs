//! Measures the module beside the stock commands, in the same server and by turns, and writes the report.
//!
//! `cargo bench --bench performance`. From the environment:
//!
//! - `SERVERS`: binaries of servers, separated by spaces; default `redis-server` and those that the tests have fetched.
//! - `BENCH_SHORT=1`: fewer and smaller rounds, to see that all works; the report goes to `target/bench/`, and
//!   `docs/performance.md` stays as it is.
//!
//! Times "in the server" are those of `INFO commandstats`. Each pair of samples, stock and shadow, is taken one right
//! after the other; ratios are medians over the pairs, above 1 where the module is better. Progress is shown on standard
//! error, the report on standard output as well.

#[path = "../tests/support/mod.rs"]
mod support;

mod calls;
mod clearing;
mod clients;
mod collector;
mod findings;
mod goals;
mod interception;
mod machine;
mod memory;
mod number;
mod plan;
mod plot;
mod plots;
mod progress;
mod report;
mod row;
mod scale;
mod servers;
mod side;
mod summary;
mod table;

use std::path::Path;

use findings::Findings;
use plan::Plan;
use servers::Identity;

fn main() {
    let plan = Plan::from_environment();
    // All of them first: one that does not start costs no measurement.
    let servers: Vec<Identity> = servers::binaries().iter().map(|binary| Identity::of(binary)).collect();
    let findings: Vec<Findings> = servers.into_iter().map(|identity| measure(identity, &plan)).collect();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join(if Plan::is_short() { "target/bench" } else { "docs" });
    plots::draw(&directory.join("plots"), &findings).expect("the plots are written");
    let report = report::write(&findings, &plan);
    let path = directory.join("performance.md");
    std::fs::write(&path, &report).expect("the report is written");
    println!("{report}");
    eprintln!("The report is in {}.", path.strip_prefix(root).unwrap_or(&path).display());
}

/// Measures one server.
fn measure(server: Identity, plan: &Plan) -> Findings {
    eprintln!("=== {} ===", server.name);
    let [calls, computations] = calls::measure(&server, plan);
    let clients = clients::measure(&server, plan);
    let interception = interception::measure(&server, plan);
    let collector = collector::measure(&server, plan);
    let (memory, traces) = memory::measure(&server, plan);
    let [flushes_async, flushes_sync] = clearing::measure(&server, plan);
    let scale = scale::measure(&server, plan);
    Findings {
        server,
        libraries: plan.libraries,
        flushes_async,
        flushes_sync,
        scale,
        memory,
        traces,
        calls,
        computations,
        clients,
        collector,
        interception,
    }
}
