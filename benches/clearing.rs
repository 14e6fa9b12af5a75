//! The time that a flush takes inside the server.

use crate::number::count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::BySize;
use crate::servers::Identity;
use crate::side::{Kind, Mode, Side, per_call, settle};
use crate::summary::{Better, Pairs};
use crate::support::Client;

/// Sent before the flush in the same write, so that the core is awake.
const PINGS: usize = 300;

/// Microseconds of FLUSH ASYNC, and of FLUSH SYNC.
pub fn measure(identity: &Identity, plan: &Plan, kind: Kind) -> [Vec<BySize>; 2] {
    let server = identity.start();
    let mut client = server.client();
    [Mode::Async, Mode::Sync].map(|mode| {
        let sizes = plan.flushes.iter();
        sizes
            .map(|&(libraries, rounds)| {
                let progress = Progress::of(&format!("FLUSH {} of {} {}", mode.word(), count(libraries), kind.name()));
                let mut pairs = Pairs::of(Better::Lower);
                for _ in 0..rounds {
                    pairs.push(Side::BOTH.map(|side| {
                        side.fill_with(kind, &mut client, libraries);
                        flush(&mut client, side, kind, mode)
                    }));
                    progress.step();
                }
                BySize { libraries, pairs }
            })
            .collect()
    })
}

/// Flushes; microseconds.
fn flush(client: &mut Client, side: Side, kind: Kind, mode: Mode) -> f64 {
    settle(client);
    client.run("CONFIG RESETSTAT");
    let mut commands = vec![vec!["PING"]; PINGS];
    commands.push(vec![side.manager(kind), "FLUSH", mode.word()]);
    let replies = client.pipeline(&commands);
    assert_eq!(replies[PINGS].text(), "OK");
    let time = per_call(client, &side.statistic_of(kind, "flush"), 1);
    settle(client);
    time
}
