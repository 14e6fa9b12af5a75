//! What the filter of `intercept all` costs a command that is not the module's.

use std::fs;
use std::time::Instant;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::servers::Identity;
use crate::side::per_call;
use crate::summary::Spread;
use crate::support::{Client, Server, resp};

/// The states in which a server is measured. A difference between the first two is noise.
pub const STATES: [&str; 3] = ["no filter", "no filter, again", "`intercept all`"];

/// The word that sets each state.
const FILTER: [&str; STATES.len()] = ["OFF", "OFF", "ON"];

/// What is measured, in the order of [`sample`]'s result. INFO commandstats does not count the filter.
pub const SIGHTS: [&str; 5] = [
    "main thread's processor time, one at a time",
    "main thread's processor time, 100 at once",
    "a client's time, one at a time",
    "a client's time, 100 at once",
    "`INFO commandstats`, 100 at once",
];

/// Its place among them.
pub const PROCESSOR_ONE_AT_A_TIME: usize = 0;
/// Its place among them.
pub const PROCESSOR_AT_ONCE: usize = 1;

/// GETs in one write, and GETs in a sample.
const DEPTHS: [(usize, usize); 2] = [(1, 2_000), (100, 40_000)];

/// Nanoseconds for each GET.
pub struct Interception {
    /// For each measured thing, the samples in each state.
    samples: [[Vec<f64>; STATES.len()]; SIGHTS.len()],
}

impl Interception {
    /// Nanoseconds in one of the states.
    pub fn time(&self, sight: usize, state: usize) -> Spread {
        Spread::of(&self.samples[sight][state])
    }

    /// By how many percent a state is slower than the first, round by round.
    pub fn slowdown(&self, sight: usize, state: usize) -> Spread {
        let [first, other] = [0, state].map(|state| self.samples[sight][state].iter());
        let slower: Vec<f64> = first.zip(other).map(|(first, other)| (other / first - 1.0) * 100.0).collect();
        Spread::of(&slower)
    }
}

/// GET on one server, alternately with and without the filter.
///
/// In one process: between two processes, the layout of memory makes more of a difference than the filter does.
pub fn measure(identity: &Identity, plan: &Plan) -> Interception {
    let progress = Progress::of("GET with and without the filter of `intercept all`");
    let mut found = Interception { samples: Default::default() };
    for _ in 0..plan.interception_starts {
        let server = identity.start();
        let mut client = server.client();
        client.run("SET bench:text value");
        for round in 0..=plan.interception_rounds {
            for place in 0..STATES.len() {
                // The order rotates, so that no state is always the first.
                let state = (place + round) % STATES.len();
                let reply = client.call(&["SHADOW.DEBUG", "FILTER", FILTER[state]]);
                assert!(!reply.is_error(), "{}", reply.text());
                let seen = sample(&server, &mut client, plan);
                // The first round warms up.
                if round > 0 {
                    for (samples, seen) in found.samples.iter_mut().zip(seen) {
                        samples[state].push(seen);
                    }
                }
            }
        }
        progress.step();
    }
    found
}

fn sample(server: &Server, client: &mut Client, plan: &Plan) -> [f64; SIGHTS.len()] {
    let [(one, one_trip, _), (many, many_trip, counted)] =
        DEPTHS.map(|(depth, calls)| drive(server, client, depth, calls / plan.call_divisor));
    [one, many, one_trip, many_trip, counted]
}

/// Sends `calls` GETs, `depth` of them in one write. Nanoseconds of each: of the processor, as the client sees it, and
/// as the server counts it.
fn drive(server: &Server, client: &mut Client, depth: usize, calls: usize) -> (f64, f64, f64) {
    let batch = resp::encode(&["GET", "bench:text"]).repeat(depth);
    client.run("CONFIG RESETSTAT");
    let (worked, begin) = (processor_time(server), Instant::now());
    for _ in 0..calls / depth {
        client.write(&batch).expect("the server reads");
        for _ in 0..depth {
            let reply = client.read_raw().expect("the server answers");
            assert_eq!(reply[0], b'$', "{}", String::from_utf8_lossy(&reply));
        }
    }
    let (time, worked) = (begin.elapsed(), processor_time(server) - worked);
    let count = calls as f64;
    (worked / count, time.as_nanos() as f64 / count, per_call(client, "get", calls) * 1e3)
}

/// Nanoseconds of processor time of the server's main thread. Exact while the thread waits, as it does when everything
/// has been answered.
fn processor_time(server: &Server) -> f64 {
    let path = format!("/proc/{}/schedstat", server.pid());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("{path}: {text:?}"))
}
