//! What a server takes that nobody uses: with the module, and without.

use std::fs;
use std::thread::sleep;
use std::time::Instant;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::servers::Identity;
use crate::support::Server;

/// A server without calls, round by round.
#[derive(Default)]
pub struct Idle {
    /// Milliseconds of processor time in a second, all threads together: without the module, with it.
    pub times: [Vec<f64>; 2],
    /// How much more it is with the module: both ran at the same time.
    pub more: Vec<f64>,
    /// How often the module's own threads wake in a second.
    pub wakes: Vec<f64>,
}

/// Both servers at the same time, fresh ones in each round, so that what disturbs the machine disturbs both.
pub fn measure(identity: &Identity, plan: &Plan) -> Idle {
    let progress = Progress::of("A server without calls:");
    let mut idle = Idle::default();
    for _ in 0..plan.idle_rounds {
        let servers = [identity.start_without_module(), identity.start()];
        servers[1].wait_until_at_rest();
        let before = [0, 1].map(|side| Reading::of(&servers[side]));
        sleep(plan.idle_window);
        let seen = [0, 1].map(|side| Reading::of(&servers[side]).since(&before[side]));
        for (times, reading) in idle.times.iter_mut().zip(&seen) {
            times.push(reading.milliseconds);
        }
        idle.more.push(seen[1].milliseconds - seen[0].milliseconds);
        idle.wakes.push(seen[1].wakes);
        progress.step();
    }
    idle
}

/// What the threads of a server have taken so far, or in a second.
struct Reading {
    at: Instant,
    milliseconds: f64,
    /// Of the module's threads.
    wakes: f64,
}

impl Reading {
    fn of(server: &Server) -> Self {
        let mut reading = Self { at: Instant::now(), milliseconds: 0.0, wakes: 0.0 };
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the server is running");
        for task in tasks {
            let path = task.expect("a thread").path();
            let read = |file: &str| fs::read_to_string(path.join(file)).expect("the thread is running");
            let nanoseconds: f64 =
                read("schedstat").split(' ').next().and_then(|first| first.parse().ok()).expect("a time");
            reading.milliseconds += nanoseconds / 1e6;
            if read("comm").starts_with("shadow-") {
                let status = read("status");
                let wakes = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
                reading.wakes += wakes.and_then(|wakes| wakes.trim().parse::<f64>().ok()).expect("a number");
            }
        }
        reading
    }

    /// In a second since then.
    fn since(self, before: &Self) -> Self {
        let seconds = (self.at - before.at).as_secs_f64();
        Self {
            at: self.at,
            milliseconds: (self.milliseconds - before.milliseconds) / seconds,
            wakes: (self.wakes - before.wakes) / seconds,
        }
    }
}
