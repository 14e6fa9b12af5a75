//! The time that a flush, and the loading before it, takes inside the server.

use crate::plan::Plan;
use crate::progress::Progress;
use crate::side::{Mode, Side, settle};
use crate::summary::{Pairs, count};
use crate::support::{Client, Server};
use crate::table::Table;

/// Sent before the flush in the same write, so that it does not meet a core that was asleep.
const PINGS: usize = 300;

/// The tables of the flushes (microseconds, in the server) and of the LOADs before them (microseconds each).
pub fn measure(server: &Server, plan: &Plan) -> Vec<Table<4>> {
    let mut flushes = Table::new(
        "FLUSH, us in the server: median (min .. max)",
        ["libraries", "FUNCTION", "SHADOW.FUNCTION", "stock / shadow"],
    );
    let mut loads = Table::new(
        "LOAD in bulk, us per call in the server: median (min .. max)",
        ["libraries", "FUNCTION", "SHADOW.FUNCTION", "stock / shadow"],
    );
    let mut client = server.client();
    for &(libraries, rounds) in plan.flushes {
        let mut filling = Pairs::default();
        for mode in [Mode::Async, Mode::Sync] {
            let what = format!("{} of {}", mode.word(), count(libraries));
            let progress = Progress::of(&format!("FLUSH {what} libraries"));
            let mut clearing = Pairs::default();
            for _ in 0..rounds {
                for side in [Side::Stock, Side::Shadow] {
                    filling.push(side, fill(&mut client, side, libraries));
                    clearing.push(side, flush(&mut client, side, mode));
                }
                progress.step();
            }
            let [stock, shadow, ratio] = clearing.cells();
            flushes.push([what, stock, shadow, ratio]);
        }
        let [stock, shadow, ratio] = filling.cells();
        loads.push([count(libraries), stock, shadow, ratio]);
    }
    vec![flushes, loads]
}

/// Loads the libraries; microseconds per LOAD.
fn fill(client: &mut Client, side: Side, libraries: usize) -> f64 {
    settle(client);
    client.run("CONFIG RESETSTAT");
    side.fill(client, libraries);
    per_call(client, &side.statistic("load"), libraries)
}

/// Flushes; microseconds.
fn flush(client: &mut Client, side: Side, mode: Mode) -> f64 {
    settle(client);
    client.run("CONFIG RESETSTAT");
    let mut commands = vec![vec!["PING"]; PINGS];
    commands.push(vec![side.function(), "FLUSH", mode.word()]);
    let replies = client.pipeline(&commands);
    assert_eq!(replies[PINGS].text(), "OK");
    per_call(client, &side.statistic("flush"), 1)
}

/// Microseconds in the server for each call of a command since the statistics were reset.
pub fn per_call(client: &mut Client, command: &str, calls: usize) -> f64 {
    assert_eq!(client.command_stat(command, "calls"), calls as f64, "{command}: calls in INFO commandstats");
    client.command_stat(command, "usec") / calls as f64
}
