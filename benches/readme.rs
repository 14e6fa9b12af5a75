//! The comparison at the top of README.md, from the same run as the report.

use crate::findings::Findings;
use crate::machine;
use crate::memory;
use crate::number::{count, number, ratio};
use crate::row::{of_size, row};
use crate::summary::{Pairs, mean};
use crate::table::quantity;
use crate::template::{fill, replace_between};

const TEMPLATE: &str = include_str!("readme.template");

/// The lines of README.md that the comparison stands between.
const MARKS: [&str; 2] = ["<!-- figures:begin, written by make bench -->", "<!-- figures:end -->"];

/// Libraries of the flush that is compared.
const LIBRARIES: usize = 100_000;

/// The comparison with the newest Redis 8 and the newest Valkey of the run: the last of each. None if one of the two
/// was not measured.
pub fn comparison(findings: &[Findings]) -> Option<String> {
    let last = |family: &str| findings.iter().rev().find(|found| found.server.name.starts_with(family));
    let compared = [last("Redis 8.")?, last("Valkey ")?];

    // What each server takes by itself, then what the module takes in the one and in the other.
    let cells = |unit: &str, pairs: fn(&Findings) -> &Pairs| {
        let [redis, valkey] = compared.map(pairs);
        let stock = [redis, valkey].map(|pairs| quantity(pairs.stock().median, unit));
        let shadow = [redis, valkey].map(|pairs| number(pairs.shadow().median));
        format!("{} | {} | {} / {} {unit}", stock[0], stock[1], shadow[0], shadow[1])
    };
    let speeds = compared.map(|found| ratio(mean(found.computations.iter().map(|row| row.pairs.ratio().median))));
    let gaps = [
        ("redis", compared[0].server.name.clone()),
        ("valkey", compared[1].server.name.clone()),
        ("date", machine::date()),
        ("libraries", count(of_size(&compared[0].flushes_async, LIBRARIES).libraries)),
        ("flush-async", cells("us", |found| &of_size(&found.flushes_async, LIBRARIES).pairs)),
        ("memory-back", cells("ms", |found| &row(&found.memory, memory::BACK).pairs)),
        ("empty", cells("us", |found| &row(&found.calls, "an empty function").pairs)),
        ("commands", cells("us", |found| &row(&found.calls, "fifty INCRBY").pairs)),
        ("computation", format!("1x | 1x | {} / {}", speeds[0], speeds[1])),
    ];
    Some(fill(TEMPLATE, &gaps))
}

/// README.md with another comparison in its place.
///
/// # Panics
///
/// When it has no place for one.
pub fn with_comparison(readme: &str, comparison: &str) -> String {
    let [begin, end] = MARKS;
    replace_between(readme, begin, end, comparison)
}
