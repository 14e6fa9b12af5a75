//! Measures the module and the stock commands alternately in the same server, and writes the report and README's table.
//!
//! `cargo bench --bench performance`. From the environment:
//!
//! - `SERVERS`: binaries of servers, separated by spaces; default `redis-server` and those that `make matrix` has
//!   fetched of [`servers::FETCHED`].
//! - `BENCH_ONLY=inside`: measures only what it costs to look inside, shows the table of that, and writes nothing.
//!   `BENCH_ONLY=calls`, `packages`, `deploys` and `idle`: the same for calls of functions, for the scripts of real
//!   packages, for deploys, and for a server that nobody uses.
//! - `BENCH_SHORT=1`: fewer and smaller rounds, to see that everything works. What it writes goes to `target/bench/`.
//!
//! A full run writes `docs/performance.md`, the plots beside it, and the comparison in `README.md`; the latter only if
//! a Redis 8 and a Valkey were measured. A short run touches none of them.
//!
//! Times "in the server" are those of `INFO commandstats`. Each pair of samples, stock and shadow, is taken one right
//! after the other; ratios are medians over the pairs, above 1 where the module is better. Progress is shown on
//! standard error, the report on standard output as well.

#[path = "../tests/support/mod.rs"]
mod support;

mod calls;
mod clearing;
mod clients;
mod collector;
mod deploys;
mod findings;
mod goals;
mod idle;
mod inside;
mod instructions;
mod interception;
mod machine;
mod memory;
mod number;
mod packages;
mod plan;
mod plot;
mod plots;
mod progress;
mod readme;
mod report;
mod row;
mod scale;
mod scripts;
mod servers;
mod side;
mod summary;
mod table;
mod template;
mod trial;

use std::path::Path;

use findings::Findings;
use plan::Plan;
use servers::Identity;
use side::Kind;
use trial::Found;

fn main() {
    let plan = Plan::from_environment();
    // All of them first: one that does not start costs no measurement.
    let servers: Vec<Identity> = servers::binaries().iter().map(|binary| Identity::of(binary)).collect();
    match std::env::var("BENCH_ONLY").as_deref() {
        Ok("inside") => {
            let costs: Vec<_> = servers.iter().map(|server| (&*server.name, inside::measure(server, &plan))).collect();
            println!("{}", report::inside(costs.iter().map(|(name, costs)| (*name, &**costs))));
            return;
        }
        Ok("calls") => {
            let found: Vec<_> = servers.iter().map(|server| (&*server.name, calls::measure(server, &plan))).collect();
            println!("{}", report::rounds(found.iter().map(|(name, found)| (*name, found.rounds))));
            for part in 0..3 {
                let rows: Vec<_> = found.iter().map(|(name, found)| (*name, &*found.parts[part])).collect();
                println!("{}\n{}", report::paired(&rows), report::instructions(&rows));
            }
            return;
        }
        Ok("packages") => {
            let found: Vec<_> = servers
                .iter()
                .map(|server| (&*server.name, packages::measure(server, &plan).expect("make recordings has run")))
                .collect();
            println!("{}", report::rounds(found.iter().map(|(name, (_, rounds))| (*name, *rounds))));
            println!("{}", report::paired(&found.iter().map(|(name, (rows, _))| (*name, &**rows)).collect::<Vec<_>>()));
            return;
        }
        Ok("idle") => {
            let idle: Vec<_> = servers.iter().map(|server| (&*server.name, idle::measure(server, &plan))).collect();
            println!("{}", report::idle(idle.iter().map(|(name, idle)| (*name, idle))));
            return;
        }
        Ok("deploys") => {
            let found: Vec<_> = servers.iter().map(|server| (&*server.name, deploys::measure(server, &plan))).collect();
            for part in report::DEPLOYS {
                println!("{}", part(&found.iter().map(|(name, found)| (*name, &**found)).collect::<Vec<_>>()));
            }
            return;
        }
        _ => {}
    }
    let findings: Vec<Findings> = servers.into_iter().map(|identity| measure(identity, &plan)).collect();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let short = Plan::is_short();
    let directory = root.join(if short { "target/bench" } else { "docs" });
    plots::draw(&directory.join("plots"), &findings).expect("the plots are written");
    let report = report::write(&findings, &plan);
    write(root, &directory.join("performance.md"), &report);
    println!("{report}");

    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).expect("README.md is read");
    match readme::comparison(&findings) {
        Some(comparison) => {
            let path = if short { directory.join("README.md") } else { readme };
            write(root, &path, &readme::with_comparison(&text, &comparison));
        }
        None => eprintln!("README.md keeps its figures: they need a Redis 8 and a Valkey."),
    }
}

/// Writes a page, and says where it is: seen from `root`.
fn write(root: &Path, path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    eprintln!("Written: {}", path.strip_prefix(root).unwrap_or(path).display());
}

/// Measures one server.
fn measure(server: Identity, plan: &Plan) -> Findings {
    eprintln!("=== {} ===", server.name);
    let Found { parts: [calls, computations, errors], rounds } = calls::measure(&server, plan);
    let Found { parts: [scripts, script_computations], rounds: script_rounds } = scripts::measure(&server, plan);
    let packages = packages::measure(&server, plan);
    let clients = clients::measure(&server, plan);
    let interception = interception::measure(&server, plan);
    let inside = inside::measure(&server, plan);
    let idle = idle::measure(&server, plan);
    let collector = collector::measure(&server, plan);
    let (memory, traces) = memory::measure(&server, plan);
    let [flushes_async, flushes_sync] = clearing::measure(&server, plan, Kind::Libraries);
    let [script_flushes_async, script_flushes_sync] = clearing::measure(&server, plan, Kind::Scripts);
    let deploys = deploys::measure(&server, plan);
    let scale = scale::measure(&server, plan);
    Findings {
        server,
        libraries: plan.libraries,
        flushes_async,
        flushes_sync,
        script_flushes_async,
        script_flushes_sync,
        deploys,
        scale,
        memory,
        traces,
        calls,
        computations,
        errors,
        scripts,
        script_computations,
        rounds: rounds + script_rounds,
        packages,
        clients,
        collector,
        interception,
        inside,
        idle,
    }
}
