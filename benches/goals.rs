//! The module's goals, and whether it meets them.

use crate::calls;
use crate::collector::{self, FEW};
use crate::deploys::{self, Deploys};
use crate::findings::Findings;
use crate::inside::{self, COMMANDS_PROFILE, COMMANDS_UNDECLARED, Cost, EMPTY_LATENCY, FIB_PROFILE, Samples};
use crate::interception::{PROCESSOR_AT_ONCE, PROCESSOR_ONE_AT_A_TIME, STATES};
use crate::memory;
use crate::number::{number, percent, ratio};
use crate::row::{Row, of_size, row};
use crate::scripts;
use crate::summary::{Spread, mean};
use crate::table::{Table, quantity};

/// The number of libraries in most goals.
const LIBRARIES: usize = 100_000;
/// The largest number of libraries.
const MOST: usize = 1_000_000;

/// Something to reach, on each server.
struct Goal {
    what: &'static str,
    target: &'static str,
    judge: fn(&Findings) -> Verdict,
}

/// What was measured, and whether it meets the goal; None where the goal is not for that server.
struct Verdict {
    seen: String,
    met: Option<bool>,
}

const GOALS: [Goal; 42] = [
    Goal {
        what: "FLUSH ASYNC of 100,000 libraries, in the server",
        target: "15 us at most",
        judge: |found| at_most(of_size(&found.flushes_async, LIBRARIES).pairs.shadow().median, 15.0, "us"),
    },
    Goal {
        what: "FLUSH ASYNC of 1,000,000 libraries beside 10",
        target: "within the range with 10",
        judge: |found| {
            let [few, most] = [FEW, MOST].map(|size| of_size(&found.scale.flushes, size).pairs.shadow());
            within(most, few)
        },
    },
    Goal {
        what: "LIST of one name among 1,000,000 beside 10",
        target: "twice the time at most",
        judge: |found| {
            let [few, most] = [FEW, MOST].map(|size| of_size(&found.scale.lists, size).pairs.shadow().median);
            Verdict { seen: format!("{} us beside {} us", number(most), number(few)), met: Some(most <= 2.0 * few) }
        },
    },
    Goal {
        what: "memory back within 1 % after FLUSH ASYNC of 100,000",
        target: "1,000 ms at most",
        judge: |found| at_most(row(&found.memory, memory::BACK).pairs.shadow().max, 1_000.0, "ms"),
    },
    Goal {
        what: "FLUSH SYNC of 100,000",
        target: "2x on Redis 7.0",
        judge: |found| {
            let ratio = of_size(&found.flushes_sync, LIBRARIES).pairs.ratio().median;
            at_least(ratio, is(found, "Redis 7.0").then_some(2.0))
        },
    },
    Goal {
        what: "slowest PING while 100,000 are being freed, and without a flush",
        target: "within the range without",
        judge: |found| slowest_ping(found, LIBRARIES),
    },
    Goal {
        what: "slowest PING while 1,000,000 are being freed, and without a flush",
        target: "within the range without",
        judge: |found| slowest_ping(found, MOST),
    },
    Goal {
        what: "the swap of a DEPLOY, with any number of libraries",
        target: "100 us at most",
        judge: |found| {
            let swaps =
                deploys::SWAPS.map(|swap| found.deploys.iter().map(move |deploys| deploys.times()[swap].median));
            at_most(swaps.into_iter().flatten().fold(0.0, f64::max), 100.0, "us")
        },
    },
    Goal {
        what: "ROLLBACK of 100,000 libraries, beside FLUSH ASYNC",
        target: "within the range of the flush",
        judge: |found| {
            let times = most_deployed(found).times();
            within(times[deploys::ROLLBACK], times[deploys::FLUSH])
        },
    },
    Goal {
        what: "slowest PING during a DEPLOY DIR of 100,000, and while as many are being freed",
        target: "within the range while they are freed",
        judge: |found| {
            let pings = most_deployed(found).pings();
            within(pings[deploys::WHILE_FILES_DEPLOYED], pings[deploys::WHILE_FLUSHED])
        },
    },
    Goal {
        what: "slowest PING during a DEPLOY of 100,000, and during an ECHO with as much that is refused",
        target: "within the range of the ECHO",
        judge: |found| {
            let pings = most_deployed(found).pings();
            within(pings[deploys::WHILE_DEPLOYED], pings[deploys::WHILE_ECHOED])
        },
    },
    Goal {
        what: "memory of two versions of 100,000, beside what INFO says",
        target: "1 % apart at most",
        judge: |found| at_most(most_deployed(found).memory()[deploys::DIFFERENCE].median, 1.0, "%"),
    },
    Goal {
        what: "slowest call that leaves garbage, beside 100,000 and beside 10",
        target: "within the range beside 10",
        judge: |found| {
            let [few, many] = [FEW, found.libraries]
                .map(|libraries| row(&found.collector, &collector::slowest(libraries)).pairs.shadow());
            within(many, few)
        },
    },
    Goal {
        what: "an empty function",
        target: "2x on Redis 7.0, 1.5x on Redis 8.2",
        judge: |found| {
            let target = if is(found, "Redis 7.0") { Some(2.0) } else { is(found, "Redis 8.2").then_some(1.5) };
            at_least(row(&found.calls, "an empty function").pairs.ratio().median, target)
        },
    },
    Goal {
        what: "one GET",
        target: "1x",
        judge: |found| at_least(row(&found.calls, "one GET").pairs.ratio().median, Some(1.0)),
    },
    Goal {
        what: "one SET",
        target: "1x",
        judge: |found| at_least(row(&found.calls, "one SET").pairs.ratio().median, Some(1.0)),
    },
    Goal {
        what: "fifty INCRBY",
        target: COMMANDS,
        judge: |found| at_least(row(&found.calls, "fifty INCRBY").pairs.ratio().median, ratio_of_commands(found)),
    },
    Goal {
        what: "computation, geometric mean",
        target: "1.5x",
        judge: |found| at_least(mean(found.computations.iter().map(|row| row.pairs.ratio().median)), Some(1.5)),
    },
    Goal {
        what: "computation, the worst case",
        target: "1x",
        judge: |found| {
            let ratios = found.computations.iter().map(|row| (row.pairs.ratio().median, &row.name));
            let (worst, name) = ratios.min_by(|one, other| one.0.total_cmp(&other.0)).expect("there are cases");
            let verdict = at_least(worst, Some(1.0));
            Verdict { seen: format!("{} ({name})", verdict.seen), ..verdict }
        },
    },
    Goal {
        what: "SCRIPT FLUSH ASYNC of 100,000 scripts, in the server",
        target: "15 us at most",
        judge: |found| at_most(of_size(&found.script_flushes_async, LIBRARIES).pairs.shadow().median, 15.0, "us"),
    },
    Goal {
        what: "SCRIPT FLUSH SYNC of 100,000",
        target: "1x",
        judge: |found| at_least(of_size(&found.script_flushes_sync, LIBRARIES).pairs.ratio().median, Some(1.0)),
    },
    Goal { what: "EVALSHA of an empty script", target: AS_FCALL, judge: |found| as_fcall(found, "an empty function") },
    Goal { what: "EVALSHA with one GET", target: AS_FCALL, judge: |found| as_fcall(found, "one GET") },
    Goal { what: "EVALSHA with one SET", target: AS_FCALL, judge: |found| as_fcall(found, "one SET") },
    Goal { what: "EVALSHA with fifty INCRBY", target: AS_FCALL, judge: |found| as_fcall(found, "fifty INCRBY") },
    Goal { what: "EVALSHA with HGETALL", target: AS_FCALL, judge: |found| as_fcall(found, "HGETALL of 50 fields") },
    Goal {
        what: "EVALSHA of a job in a queue",
        target: COMMANDS,
        judge: |found| {
            at_least(row(&found.scripts, scripts::QUEUE_NAME).pairs.ratio().median, ratio_of_commands(found))
        },
    },
    Goal {
        what: "EVALSHA with computation, geometric mean",
        target: "1.5x",
        judge: |found| at_least(mean(found.script_computations.iter().map(|row| row.pairs.ratio().median)), Some(1.5)),
    },
    Goal { what: "`error` that is caught", target: ERRORS, judge: |found| caught(found, calls::ERROR_TEXT) },
    Goal {
        what: "`cjson.decode` that fails and is caught",
        target: ERRORS,
        judge: |found| caught(found, calls::ERROR_JSON),
    },
    Goal {
        what: "`redis.call` that fails and is caught",
        target: ERRORS,
        judge: |found| caught(found, calls::ERROR_CALL),
    },
    Goal {
        what: "EVAL of a cached script of 4 KiB",
        target: "1x",
        judge: |found| at_least(row(&found.scripts, scripts::LONG_NAME).pairs.ratio().median, Some(1.0)),
    },
    Goal {
        what: "LOAD in bulk, 100,000 libraries",
        target: "1x",
        judge: |found| at_least(of_size(&found.scale.loads, LIBRARIES).pairs.ratio().median, Some(1.0)),
    },
    Goal {
        what: "memory of a small library",
        target: "1,300 bytes at most",
        judge: |found| at_most(row(&found.memory, memory::EACH).pairs.shadow().median, 1_300.0, "bytes"),
    },
    Goal {
        what: "GET with `intercept all`, one at a time",
        target: "1 % more at most",
        judge: |found| slower(found, PROCESSOR_ONE_AT_A_TIME),
    },
    Goal {
        what: "GET with `intercept all`, 100 at once",
        target: "1 % more at most",
        judge: |found| slower(found, PROCESSOR_AT_ONCE),
    },
    Goal {
        what: "an empty function with `latency-tracking yes`, instructions",
        target: "1 % more at most",
        judge: |found| costs(&cost(found, EMPTY_LATENCY).instructions, 1.0),
    },
    Goal {
        what: "an empty function with `latency-tracking yes`, time",
        target: "2 % more at most",
        judge: |found| costs(&cost(found, EMPTY_LATENCY).times, 2.0),
    },
    Goal {
        what: "fifty INCRBY with `undeclared-keys report`",
        target: "3 % more at most",
        judge: |found| costs(&cost(found, COMMANDS_UNDECLARED).times, 3.0),
    },
    Goal {
        what: "fifty INCRBY with PROFILE at 1,000 Hz",
        target: "5 % more at most",
        judge: |found| costs(&cost(found, COMMANDS_PROFILE).times, 5.0),
    },
    Goal {
        what: "fib(25) with PROFILE at 1,000 Hz",
        target: "5 % more at most",
        judge: |found| costs(&cost(found, FIB_PROFILE).times, 5.0),
    },
    Goal {
        what: "processor time more in a second without calls",
        target: "0.1 ms at most",
        judge: |found| at_most(Spread::of(&found.idle.more).median, 0.1, "ms"),
    },
];

/// Where nearly all of the time is that of inner commands.
const COMMANDS: &str = "0.95x on Redis 7.0, 0.75x on Redis 8.2";

/// That ratio for this server.
fn ratio_of_commands(found: &Findings) -> Option<f64> {
    if is(found, "Redis 7.0") { Some(0.95) } else { is(found, "Redis 8.2").then_some(0.75) }
}

/// Twice the time of the server's own at most.
const ERRORS: &str = "0.5x";

fn caught(found: &Findings, name: &str) -> Verdict {
    at_least(row(&found.errors, name).pairs.ratio().median, Some(0.5))
}

/// No worse than a function that does the same.
const AS_FCALL: &str = "within the range of FCALL, or better";

/// The table of all goals, with a column for each server.
pub fn table(findings: &[Findings]) -> Table {
    let head = ["", "goal"].map(str::to_owned).into_iter();
    let mut table = Table::new(head.chain(findings.iter().map(|found| found.server.name.clone())));
    for goal in &GOALS {
        let verdicts = findings.iter().map(|found| (goal.judge)(found).to_string());
        table.push([goal.what, goal.target].map(str::to_owned).into_iter().chain(verdicts));
    }
    table
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let met = match self.met {
            Some(true) => ": met",
            Some(false) => ": **not met**",
            None => "",
        };
        write!(formatter, "{}{met}", self.seen)
    }
}

fn is(found: &Findings, series: &str) -> bool {
    found.server.name.starts_with(&format!("{series}."))
}

fn at_most(value: f64, limit: f64, unit: &str) -> Verdict {
    Verdict { seen: quantity(value, unit), met: Some(value <= limit) }
}

/// Judged to two decimals, as it is shown.
fn at_least(value: f64, target: Option<f64>) -> Verdict {
    Verdict { seen: ratio(value), met: target.map(|target| (value * 100.0).round() / 100.0 >= target) }
}

/// The ratio of a script beside those of the function in whose row it stands.
fn as_fcall(found: &Findings, function: &str) -> Verdict {
    let of = |rows: &[Row], name: &str| row(rows, name).pairs.ratio();
    let [script, function] = [of(&found.scripts, &scripts::name_of(function)), of(&found.calls, function)];
    let seen = format!("{} beside {}", ratio(script.median), function.show(ratio));
    Verdict { seen, met: Some(script.median >= function.min) }
}

fn slowest_ping(found: &Findings, libraries: usize) -> Verdict {
    let pings = found.scale.pings.iter().rev().find(|pings| pings.libraries <= libraries).expect("PINGs were measured");
    let [quiet, _, shadow] = pings.slowest;
    within(shadow, quiet)
}

/// What was measured with the most libraries.
fn most_deployed(found: &Findings) -> &Deploys {
    found.deploys.last().expect("deploys were measured")
}

/// The median of one thing beside the range of another. Single slow calls come from the machine, too, so that the
/// medians of two equal things differ.
fn within(seen: Spread, range: Spread) -> Verdict {
    Verdict { seen: format!("{} us beside {range} us", number(seen.median)), met: Some(seen.median <= range.max) }
}

/// By the processor time of the main thread, which is the steadiest of what is measured.
fn slower(found: &Findings, sight: usize) -> Verdict {
    let [noise, cost] = [1, STATES.len() - 1].map(|state| found.interception.slowdown(sight, state).median);
    let seen = format!("{} ({} without a filter, again)", percent(cost), percent(noise));
    Verdict { seen, met: Some(cost <= 1.0) }
}

fn cost<'f>(found: &'f Findings, name: &str) -> &'f Cost {
    found.inside.iter().find(|cost| cost.name == name).unwrap_or_else(|| panic!("no row is named {name}"))
}

/// By the median of what a call takes more while something looks at it.
fn costs(samples: &Samples, limit: f64) -> Verdict {
    let more = inside::more(samples, inside::ON).map(|more| more.median);
    let seen = more.map_or_else(|| "not measured".to_owned(), percent);
    Verdict { seen, met: more.map(|more| more <= limit) }
}
