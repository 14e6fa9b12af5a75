//! What libraries take, and whether a flush gives it back.

use std::thread;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::progress::Progress;
use crate::side::{Mode, Side, settle};
use crate::summary::{Pairs, count};
use crate::support::{Client, Server};
use crate::table::Table;

/// Memory counts as back when it is within this part of what it was.
const TOLERANCE: f64 = 0.01;

/// Between two looks at the memory.
const PAUSE: Duration = Duration::from_millis(1);

const MEBIBYTE: f64 = 1_048_576.0;

/// Names of the rows, in the order of [`observe`]'s result.
const ROWS: [&str; 6] = [
    "before, MiB",
    "loaded, MiB",
    "bytes per library",
    "in the end, MiB",
    "in the end, % of before",
    "within 1 % of before after, ms",
];

/// The table of the memory before loading, loaded, and after FLUSH ASYNC. `start` gives a fresh server for each
/// round: what one registry has left behind must not count for the next.
pub fn measure(start: impl Fn() -> Server, plan: &Plan) -> Table<4> {
    let libraries = count(plan.libraries);
    let progress = Progress::of(&format!("memory of {libraries} libraries"));
    let mut rows: [Pairs; ROWS.len()] = std::array::from_fn(|_| Pairs::default());
    for _ in 0..plan.memory_rounds {
        let server = start();
        // The module first: it leaves nothing behind.
        for side in [Side::Shadow, Side::Stock] {
            let seen = observe(&server, side, plan);
            rows.iter_mut().zip(seen).for_each(|(row, sample)| row.push(side, sample));
        }
        progress.step();
    }
    let mut table = Table::new(
        format!(
            "Memory of {libraries} libraries and FLUSH ASYNC, used_memory + used_memory_vm_functions: median (min .. max)"
        ),
        ["", "FUNCTION", "SHADOW.FUNCTION", "stock / shadow"],
    );
    for (name, row) in ROWS.into_iter().zip(rows) {
        let [stock, shadow, ratio] = row.cells();
        table.push([name.to_owned(), stock, shadow, ratio]);
    }
    table
}

/// Loads and flushes once. The time is infinite if the memory is not back within the plan's patience.
fn observe(server: &Server, side: Side, plan: &Plan) -> [f64; ROWS.len()] {
    let mut client = server.client();
    settle(&mut client);
    let before = memory(&mut client);
    // Over a connection of its own, whose buffers are gone with it.
    side.fill(&mut server.client(), plan.libraries);
    settle(&mut client);
    let loaded = memory(&mut client);

    side.flush(&mut client, Mode::Async);
    let start = Instant::now();
    let mut back = f64::INFINITY;
    let mut end = memory(&mut client);
    while start.elapsed() < plan.memory_patience {
        if (end - before).abs() <= TOLERANCE * before {
            back = start.elapsed().as_secs_f64() * 1e3;
            break;
        }
        thread::sleep(PAUSE);
        end = memory(&mut client);
    }
    settle(&mut client);
    end = memory(&mut client).min(end);
    let each = (loaded - before) / plan.libraries as f64;
    [before / MEBIBYTE, loaded / MEBIBYTE, each, end / MEBIBYTE, 100.0 * end / before, back]
}

/// Bytes in all: `used_memory`, and the VM of the server's own functions, which that leaves out.
fn memory(client: &mut Client) -> f64 {
    let text = client.run("INFO memory").text();
    let bytes = |field: &str| -> f64 {
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = value.unwrap_or_else(|| panic!("INFO memory has no field {field}"));
        value.trim().parse().expect("a number of bytes")
    };
    bytes("used_memory") + bytes("used_memory_vm_functions")
}
