//! The time that a flush takes inside the server.

use crate::number::count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::BySize;
use crate::servers::Identity;
use crate::side::{Mode, Side, per_call, settle};
use crate::summary::{Better, Pairs};
use crate::support::Client;

/// Sent before the flush in the same write, so that the core is awake.
const PINGS: usize = 300;

/// Microseconds of FLUSH ASYNC, and of FLUSH SYNC.
pub fn measure(identity: &Identity, plan: &Plan) -> [Vec<BySize>; 2] {
    let server = identity.start();
    let mut client = server.client();
    [Mode::Async, Mode::Sync].map(|mode| {
        let sizes = plan.flushes.iter();
        sizes
            .map(|&(libraries, rounds)| {
                let progress = Progress::of(&format!("FLUSH {} of {} libraries", mode.word(), count(libraries)));
                let mut pairs = Pairs::of(Better::Lower);
                for _ in 0..rounds {
                    pairs.push(Side::BOTH.map(|side| {
                        side.fill(&mut client, libraries);
                        flush(&mut client, side, mode)
                    }));
                    progress.step();
                }
                BySize { libraries, pairs }
            })
            .collect()
    })
}

/// Flushes; microseconds.
fn flush(client: &mut Client, side: Side, mode: Mode) -> f64 {
    settle(client);
    client.run("CONFIG RESETSTAT");
    let mut commands = vec![vec!["PING"]; PINGS];
    commands.push(vec![side.function(), "FLUSH", mode.word()]);
    let replies = client.pipeline(&commands);
    assert_eq!(replies[PINGS].text(), "OK");
    let time = per_call(client, &side.statistic("flush"), 1);
    settle(client);
    time
}
