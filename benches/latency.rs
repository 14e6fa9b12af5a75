//! What other clients notice of a flush.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::progress::Progress;
use crate::side::{Mode, Side, settle};
use crate::summary::{Spread, count};
use crate::support::{Client, Server};
use crate::table::Table;

/// What happens while the other client sends its PINGs.
const SCENES: [(&str, Option<Side>); 3] = [
    ("no flush", None),
    ("FUNCTION FLUSH ASYNC", Some(Side::Stock)),
    ("SHADOW.FUNCTION FLUSH ASYNC", Some(Side::Shadow)),
];

/// Samples of one scene, one of each kind from every round, in microseconds.
#[derive(Default)]
struct Scene {
    slowest: Vec<f64>,
    thousandth: Vec<f64>,
    median: Vec<f64>,
}

/// The table of round trips, in microseconds, of a client that sends one PING after the other while another one's
/// flush is being carried out.
pub fn measure(server: &Server, plan: &Plan) -> Table<4> {
    let libraries = count(plan.libraries);
    let progress = Progress::of(&format!("PING while {libraries} libraries are being freed"));
    let mut scenes: [Scene; SCENES.len()] = std::array::from_fn(|_| Scene::default());
    for _ in 0..plan.latency_rounds {
        for ((_, side), scene) in SCENES.iter().zip(&mut scenes) {
            let mut trips = observe(server, *side, plan);
            trips.sort();
            let at = |share: f64| trips[((trips.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
            scene.slowest.push(at(1.0));
            scene.thousandth.push(at(0.999));
            scene.median.push(at(0.5));
        }
        progress.step();
    }
    let mut table = Table::new(
        format!(
            "PING of another client in the {} ms after the flush of {libraries} libraries, us: median of {} rounds (min .. max)",
            plan.latency_window.as_millis(),
            plan.latency_rounds,
        ),
        ["meanwhile", "slowest", "99.9 %", "50 %"],
    );
    for ((name, _), scene) in SCENES.into_iter().zip(scenes) {
        let [slowest, thousandth, median] =
            [scene.slowest, scene.thousandth, scene.median].map(|samples| Spread::of(&samples).to_string());
        table.push([name.to_owned(), slowest, thousandth, median]);
    }
    table
}

/// The round trips of one round.
fn observe(server: &Server, side: Option<Side>, plan: &Plan) -> Vec<Duration> {
    let mut client = server.client();
    settle(&mut client);
    if let Some(side) = side {
        side.fill(&mut client, plan.libraries);
    }
    settle(&mut client);
    let mut other = server.client();
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let pings = scope.spawn(|| {
            // Some to begin with, so that all is awake when it matters.
            ping_for(&mut other, plan.latency_window / 20);
            start.wait();
            ping_for(&mut other, plan.latency_window)
        });
        start.wait();
        match side {
            Some(side) => side.flush(&mut client, Mode::Async),
            None => drop(client.run("PING")),
        }
        pings.join().expect("the other client is answered")
    })
}

/// Sends one PING after the other for so long; what each took.
fn ping_for(client: &mut Client, window: Duration) -> Vec<Duration> {
    let begin = Instant::now();
    // Room for all there can be: growing would look like a slow server.
    let mut trips = Vec::with_capacity(window.as_micros() as usize);
    while begin.elapsed() < window {
        let sent = Instant::now();
        client.write(b"PING\r\n").expect("the server reads");
        client.read_raw().expect("the server answers");
        trips.push(sent.elapsed());
    }
    trips
}
