//! The memory of libraries, and whether a flush gives it back.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::number::count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::row::Row;
use crate::servers::Identity;
use crate::side::{Mode, Side, settle};
use crate::summary::{Better, Pairs};
use crate::support::{Client, Server};

/// Memory counts as back when it is within this part of what it was.
const TOLERANCE: f64 = 0.01;

/// Between two samples of the memory, in the first second and later.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// How long memory is watched before the flush.
const LEAD: Duration = Duration::from_millis(50);

/// In bytes.
pub const MEBIBYTE: f64 = 1_048_576.0;

/// Names of the rows, in the order of [`observe`]'s result.
const ROWS: [&str; 6] = ["before, MiB", "loaded, MiB", EACH, "in the end, MiB", END, BACK];

/// The name of the row of the time that a flush takes to give the memory back.
pub const BACK: &str = "within 1 % of before after, ms";

/// The name of the row of what is left in the end.
pub const END: &str = "in the end, % of before";

/// The name of the row of what a library takes.
pub const EACH: &str = "bytes a library";

/// Memory over time around a flush, which is at 0.
pub type Trace = Vec<Sample>;

/// The memory at one moment.
pub struct Sample {
    /// Milliseconds since the flush was sent.
    pub time: f64,
    /// `used_memory` and the VM of the server's own functions, in MiB.
    pub used: f64,
    /// The process's resident set, in MiB.
    pub resident: f64,
}

/// The rows of memory before loading, loaded, and after FLUSH ASYNC, with a trace of each side. Each round has fresh
/// servers: leftovers of one registry must not count for the next.
pub fn measure(identity: &Identity, plan: &Plan) -> (Vec<Row>, [Trace; 2]) {
    let progress = Progress::of(&format!("memory of {} libraries", count(plan.libraries)));
    let mut rows = ROWS.map(|name| Row { name: name.to_owned(), pairs: Pairs::of(Better::Lower), ..Row::default() });
    let mut traces = [const { Trace::new() }; 2];
    for round in 1..=plan.memory_rounds {
        let window = if round == plan.memory_rounds { plan.trace_window } else { Duration::ZERO };
        let seen = Side::BOTH.map(|side| observe(&identity.start(), side, plan, window));
        for (index, row) in rows.iter_mut().enumerate() {
            row.pairs.push(seen.each_ref().map(|(values, _)| values[index]));
        }
        traces = seen.map(|(_, trace)| trace);
        progress.step();
    }
    (rows.into(), traces)
}

/// Loads and flushes once, and watches for `window` what comes of it. The time is infinite if the memory is not back
/// within the plan's patience.
fn observe(server: &Server, side: Side, plan: &Plan, window: Duration) -> ([f64; ROWS.len()], Trace) {
    let mut client = server.client();
    settle(&mut client);
    let before = bytes(&mut client);
    // Over a connection of its own, whose buffers are gone with it.
    side.fill(&mut server.client(), plan.libraries);
    settle(&mut client);
    let loaded = bytes(&mut client);

    let mut trace = Trace::new();
    let start = Instant::now() + LEAD;
    while Instant::now() < start {
        let time = -start.saturating_duration_since(Instant::now()).as_secs_f64() * 1e3;
        trace.push(look(&mut client, server, time));
        thread::sleep(PAUSES[0]);
    }
    let start = Instant::now();
    side.flush(&mut client, Mode::Async);
    let mut back = f64::INFINITY;
    let mut end = loaded;
    while start.elapsed() < window || back.is_infinite() && start.elapsed() < plan.memory_patience {
        let sample = look(&mut client, server, start.elapsed().as_secs_f64() * 1e3);
        end = sample.used * MEBIBYTE;
        if back.is_infinite() && (end - before).abs() <= TOLERANCE * before {
            back = sample.time;
        }
        trace.push(sample);
        thread::sleep(PAUSES[usize::from(start.elapsed() > Duration::from_secs(1))]);
    }
    settle(&mut client);
    end = bytes(&mut client).min(end);
    let each = (loaded - before) / plan.libraries as f64;
    ([before / MEBIBYTE, loaded / MEBIBYTE, each, end / MEBIBYTE, 100.0 * end / before, back], trace)
}

fn look(client: &mut Client, server: &Server, time: f64) -> Sample {
    Sample { time, used: bytes(client) / MEBIBYTE, resident: resident(server) }
}

/// Bytes in all: `used_memory`, and the VM of the server's own functions, which it does not include.
pub fn bytes(client: &mut Client) -> f64 {
    let text = client.run("INFO memory").text();
    let bytes = |field: &str| -> f64 {
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = value.unwrap_or_else(|| panic!("INFO memory has no field {field}"));
        value.trim().parse().expect("a number of bytes")
    };
    bytes("used_memory") + bytes("used_memory_vm_functions")
}

/// The process's resident set in MiB, as it is now: the server's own figure is up to 100 ms old.
fn resident(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has a resident set");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kibibytes / 1024.0
}
