//! What depends on the number of libraries: loading, listing, flushing, and the effect of a flush on other clients.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::findings::{Pings, Scale};
use crate::memory;
use crate::number::count;
use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::row::BySize;
use crate::servers::Identity;
use crate::side::{Mode, Side, library_name, per_call, settle};
use crate::summary::{Better, Pairs, Quantiles, Spread};
use crate::support::{Client, Server};

/// Both sides with each number of libraries of the plan.
pub fn measure(identity: &Identity, plan: &Plan) -> Scale {
    let mut scale = Scale::default();
    for size in plan.scale {
        measure_size(identity, size, &mut scale);
    }
    scale
}

/// The measurements of one side in one round.
struct Round {
    load: f64,
    bytes: f64,
    list: f64,
    flush: f64,
    quiet: Quantiles,
    flushing: Quantiles,
}

fn measure_size(identity: &Identity, size: &plan::Scale, scale: &mut Scale) {
    let libraries = size.libraries;
    let progress = Progress::of(&format!("{} libraries: LOAD, LIST, PING during FLUSH ASYNC", count(libraries)));
    let [mut loads, mut bytes, mut lists, mut flushes] = [(); 4].map(|()| Pairs::of(Better::Lower));
    let mut quiet = Vec::new();
    let mut flushing = [Vec::new(), Vec::new()];
    for _ in 0..size.rounds {
        let sides = Side::BOTH.map(|side| {
            let round = observe(&identity.start(), side, size);
            progress.step();
            round
        });
        loads.push(sides.each_ref().map(|round| round.load));
        bytes.push(sides.each_ref().map(|round| round.bytes));
        lists.push(sides.each_ref().map(|round| round.list));
        flushes.push(sides.each_ref().map(|round| round.flush));
        for (round, flushing) in sides.into_iter().zip(&mut flushing) {
            quiet.push(round.quiet);
            flushing.push(round.flushing);
        }
    }
    let [stock, shadow] = flushing;
    let scenes = [quiet, stock, shadow];
    let spread = |part: fn(&Quantiles) -> f64| {
        scenes.each_ref().map(|rounds| Spread::of(&rounds.iter().map(part).collect::<Vec<_>>()))
    };
    scale.pings.push(Pings {
        libraries,
        slowest: spread(|round| round.slowest),
        thousandth: spread(|round| round.thousandth),
    });
    for (found, pairs) in
        [(&mut scale.loads, loads), (&mut scale.bytes, bytes), (&mut scale.lists, lists), (&mut scale.flushes, flushes)]
    {
        found.push(BySize { libraries, pairs });
    }
}

/// One round of one side, in a fresh server.
fn observe(server: &Server, side: Side, size: &plan::Scale) -> Round {
    let mut client = server.client();
    settle(&mut client);
    let before = memory::bytes(&mut client);
    client.run("CONFIG RESETSTAT");
    // On a connection of its own, whose buffers go with it.
    side.fill(&mut server.client(), size.libraries);
    let load = per_call(&mut client, &side.statistic("load"), size.libraries);
    settle(&mut client);
    let bytes = (memory::bytes(&mut client) - before) / size.libraries as f64;
    let list = list(&mut client, side, size.libraries);
    let quiet = pings(server, size.window, || {});
    client.run("CONFIG RESETSTAT");
    let flushing = pings(server, size.window, || side.flush(&mut client, Mode::Async));
    let flush = per_call(&mut client, &side.statistic("flush"), 1);
    Round { load, bytes, list, flush, quiet, flushing }
}

/// Lists single libraries by name; microseconds each.
fn list(client: &mut Client, side: Side, libraries: usize) -> f64 {
    // The server's own LIST goes through all of them: a second for a million.
    let calls = if side == Side::Stock { (1_000_000 / libraries).clamp(3, 50) } else { 50 };
    client.run("CONFIG RESETSTAT");
    let commands: Vec<Vec<String>> = (0..calls)
        .map(|call| {
            let name = library_name(call * libraries / calls);
            [side.function(), "LIST", "LIBRARYNAME", &name].map(str::to_owned).to_vec()
        })
        .collect();
    let replies = client.pipeline(&commands);
    assert!(replies.iter().all(|reply| reply.items().len() == 1), "LIST finds one library by its name");
    per_call(client, &side.statistic("list"), calls)
}

/// The round trips of another client's PINGs while `meanwhile` runs, for `window` from its beginning.
fn pings(server: &Server, window: Duration, meanwhile: impl FnOnce()) -> Quantiles {
    let mut other = server.client();
    let start = Barrier::new(2);
    let trips = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            // A few first, so that everything is awake when it matters.
            ping_for(&mut other, window / 20);
            start.wait();
            ping_for(&mut other, window)
        });
        start.wait();
        meanwhile();
        pings.join().expect("the other client is answered")
    });
    Quantiles::of(trips)
}

/// Sends one PING after the other for `window`; the time of each.
pub fn ping_for(client: &mut Client, window: Duration) -> Vec<Duration> {
    let begin = Instant::now();
    // Room for as many as possible: growing would look like a slow server.
    let mut trips = Vec::with_capacity(window.as_micros() as usize);
    while begin.elapsed() < window {
        let sent = Instant::now();
        client.write(b"PING\r\n").expect("the server reads");
        client.read_raw().expect("the server answers");
        trips.push(sent.elapsed());
    }
    trips
}
