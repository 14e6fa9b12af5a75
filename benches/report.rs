//! The report: a template, its gaps filled with tables.

use crate::deploys::{self, Deploys};
use crate::findings::Findings;
use crate::goals;
use crate::idle::Idle;
use crate::inside::{self, Cost};
use crate::interception::{SIGHTS, STATES};
use crate::machine;
use crate::number::{count, difference, number, percent, ratio};
use crate::plan::Plan;
use crate::row::{BySize, Row};
use crate::summary::{Spread, mean};
use crate::table::Table;
use crate::template::fill;
use crate::trial::{DISTURBED, PATIENCE, Rounds};

const TEMPLATE: &str = include_str!("performance.template");

/// What stands at the top of a report of the short plan.
const CAUTION: &str = "**A short run. It shows that all works, and its figures mean nothing: where a row or a goal names \
                       more libraries than the tables have, the most of these are meant.**";

/// The whole report.
///
/// # Panics
///
/// When the template has a gap that nothing fills, or something has no gap.
pub fn write(findings: &[Findings], plan: &Plan) -> String {
    let servers: Vec<String> =
        findings.iter().map(|found| format!("{} ({})", found.server.name, found.server.allocator)).collect();
    let of_deploys: Vec<_> = findings.iter().map(|found| (&*found.server.name, &*found.deploys)).collect();
    let deployed = DEPLOYS.map(|table| table(&of_deploys));
    let gaps = [
        ("caution", if Plan::is_short() { CAUTION } else { "" }.to_owned()),
        ("date", machine::date()),
        ("machine", machine::describe()),
        ("module", machine::module()),
        ("servers", servers.join(", ")),
        ("libraries", count(plan.libraries)),
        ("window", count(plan.scale[0].window.as_millis() as usize)),
        ("long-window", count(plan.scale[plan.scale.len() - 1].window.as_millis() as usize)),
        ("goals", goals::table(findings).to_string()),
        ("flushes-async", by_size(findings, |found| &found.flushes_async)),
        ("flushes-sync", by_size(findings, |found| &found.flushes_sync)),
        ("script-flushes-async", by_size(findings, |found| &found.script_flushes_async)),
        ("script-flushes-sync", by_size(findings, |found| &found.script_flushes_sync)),
        ("deploy-times", deployed[0].clone()),
        ("deploy-pings", deployed[1].clone()),
        ("deploy-memory", deployed[2].clone()),
        ("pings", pings(findings)),
        ("memory", pairs(findings, |found| &found.memory)),
        ("loads", by_size(findings, |found| &found.scale.loads)),
        ("bytes", by_size(findings, |found| &found.scale.bytes)),
        ("lists", by_size(findings, |found| &found.scale.lists)),
        ("busy-flushes", by_size(findings, |found| &found.scale.flushes)),
        ("rounds", rounds(findings.iter().map(|found| (&*found.server.name, found.rounds))).to_string()),
        ("disturbed", percent(100.0 * DISTURBED)),
        ("patience", number(PATIENCE as f64)),
        ("call-starts", count(plan.call_starts)),
        ("call-rounds", count(plan.call_rounds)),
        ("instructions", instructions(&of_servers(findings, |found| &found.calls)).to_string()),
        ("script-instructions", instructions(&of_servers(findings, |found| &found.scripts)).to_string()),
        ("calls", pairs(findings, |found| &found.calls)),
        ("floors", floors(findings, |found| &found.calls, "FCALL")),
        ("computations", computations(findings, |found| &found.computations)),
        ("errors", pairs(findings, |found| &found.errors)),
        ("scripts", pairs(findings, |found| &found.scripts)),
        ("script-floors", floors(findings, |found| &found.scripts, "EVALSHA")),
        ("script-computations", computations(findings, |found| &found.script_computations)),
        ("packages", packages(findings)),
        ("clients", pairs(findings, |found| &found.clients)),
        ("collector", pairs(findings, |found| &found.collector)),
        ("interception", interception(findings)),
        ("inside", inside(findings.iter().map(|found| (&*found.server.name, &*found.inside)))),
        ("idle", idle(findings.iter().map(|found| (&*found.server.name, &found.idle)))),
        ("idle-window", count(plan.idle_window.as_secs() as usize)),
    ];
    // What an empty filling leaves.
    fill(TEMPLATE, &gaps).replace("\n\n\n", "\n\n")
}

/// The rows of each server, beside its name.
type OfServers<'f> = [(&'f str, &'f [Row])];

fn of_servers(findings: &[Findings], rows: fn(&Findings) -> &[Row]) -> Vec<(&str, &[Row])> {
    findings.iter().map(|found| (&*found.server.name, rows(found))).collect()
}

/// A row for each row of the servers, with both sides' medians and their ratio for each server.
pub fn paired(servers: &OfServers) -> Table {
    let columns = servers.iter().flat_map(|(name, _)| [name, "ratio"]);
    let mut table = Table::new([""].into_iter().chain(columns));
    for (index, row) in servers[0].1.iter().enumerate() {
        let cells = servers.iter().flat_map(|(_, rows)| rows[index].pairs.cells());
        table.push([row.name.clone()].into_iter().chain(cells));
    }
    table
}

/// The instructions of each row of the servers.
pub fn instructions(servers: &OfServers) -> Table {
    let mut table = Table::new([""].into_iter().chain(servers.iter().map(|(name, _)| *name)));
    for (index, row) in servers[0].1.iter().enumerate() {
        let cells = servers.iter().map(|(_, rows)| rows[index].instructions.map_or("-".to_owned(), number));
        table.push([row.name.clone()].into_iter().chain(cells));
    }
    table
}

/// How many rounds each server took.
pub fn rounds<'f>(servers: impl Iterator<Item = (&'f str, Rounds)>) -> Table {
    let mut table = Table::new(["", "rounds", "repeated", "disturbed all the same"]);
    for (name, Rounds { counted, disturbed, repeated }) in servers {
        table.push([name.to_owned(), count(counted), count(repeated), count(disturbed)]);
    }
    table
}

fn packages(findings: &[Findings]) -> String {
    let found = |found: &Findings| found.packages.as_ref().map(|(rows, rounds)| (rows.clone(), *rounds));
    let Some(all) = findings.iter().map(found).collect::<Option<Vec<_>>>() else {
        return "Not measured: `make recordings` had not run.".to_owned();
    };
    let names = || findings.iter().map(|found| &*found.server.name);
    let rows: Vec<_> = names().zip(all.iter().map(|(rows, _)| &**rows)).collect();
    format!("{}\n{}", rounds(names().zip(all.iter().map(|(_, rounds)| *rounds))), paired(&rows))
}

fn pairs(findings: &[Findings], rows: fn(&Findings) -> &[Row]) -> String {
    paired(&of_servers(findings, rows)).to_string()
}

fn by_size(findings: &[Findings], sizes: fn(&Findings) -> &[BySize]) -> String {
    let rows = |found: &Findings| sizes(found).iter().map(BySize::row).collect::<Vec<_>>();
    let all: Vec<_> = findings.iter().map(|found| (&*found.server.name, rows(found))).collect();
    paired(&all.iter().map(|(name, rows)| (*name, &**rows)).collect::<Vec<_>>()).to_string()
}

fn computations(findings: &[Findings], rows: fn(&Findings) -> &[Row]) -> String {
    let mut table = paired(&of_servers(findings, rows));
    let means = findings.iter().flat_map(|found| {
        let mean = mean(rows(found).iter().map(|row| row.pairs.ratio().median));
        [String::new(), ratio(mean)]
    });
    table.push(["geometric mean".to_owned()].into_iter().chain(means));
    table.to_string()
}

/// The calls of `rows` that have a floor, which are made by `command`, beside it.
fn floors(findings: &[Findings], rows: fn(&Findings) -> &[Row], command: &str) -> String {
    let columns = findings
        .iter()
        .flat_map(|found| [format!("{}: floor", found.server.name), command.to_owned(), format!("SHADOW.{command}")]);
    let mut table = Table::new([String::new()].into_iter().chain(columns));
    for (index, row) in rows(&findings[0]).iter().enumerate().filter(|(_, row)| row.floor.is_some()) {
        let cells = findings.iter().flat_map(|found| {
            let Row { pairs, floor, .. } = &rows(found)[index];
            let floor = floor.map_or(f64::NAN, |floor| floor.median);
            let [stock, shadow] = [pairs.stock(), pairs.shadow()].map(|side| ratio(side.median / floor));
            [number(floor), stock, shadow]
        });
        table.push([row.name.clone()].into_iter().chain(cells));
    }
    table.to_string()
}

fn pings(findings: &[Findings]) -> String {
    let scenes = ["no flush", "FUNCTION FLUSH", "SHADOW.FUNCTION FLUSH"];
    let head = ["libraries", "server"].map(str::to_owned).into_iter();
    let columns = ["slowest", "99.9 %"].iter().flat_map(|part| scenes.map(|scene| format!("{part}: {scene}")));
    let mut table = Table::new(head.chain(columns));
    for index in 0..findings[0].scale.pings.len() {
        for found in findings {
            let pings = &found.scale.pings[index];
            let spreads = pings.slowest.iter().chain(&pings.thousandth);
            let head = [count(pings.libraries), found.server.name.clone()].into_iter();
            table.push(head.chain(spreads.map(|spread| spread.to_string())));
        }
    }
    table.to_string()
}

/// The deploys of each server, beside its name.
type OfDeploys<'f> = [(&'f str, &'f [Deploys])];

/// The tables of deploys: times in the server, the slowest PINGs, memory.
pub const DEPLOYS: [fn(&OfDeploys) -> String; 3] = [
    |servers| deploy_table(servers, &deploys::TIMES, Deploys::times),
    |servers| deploy_table(servers, &deploys::PINGS, Deploys::pings),
    |servers| deploy_table(servers, &deploys::MEMORY, Deploys::memory),
];

fn deploy_table(servers: &OfDeploys, names: &[&str], part: fn(&Deploys) -> &[Spread]) -> String {
    let mut table = Table::new(["libraries", "server"].iter().chain(names).copied());
    for index in 0..servers[0].1.len() {
        for (name, found) in servers {
            let found = &found[index];
            let head = [count(found.libraries), (*name).to_owned()].into_iter();
            table.push(head.chain(part(found).iter().map(Spread::to_string)));
        }
    }
    table.to_string()
}

fn interception(findings: &[Findings]) -> String {
    let mut table = Table::new(["", "server"].into_iter().chain(STATES));
    for (sight, name) in SIGHTS.into_iter().enumerate() {
        for found in findings {
            let head = [name.to_owned(), found.server.name.clone()].into_iter();
            let first = format!("{} ns", number(found.interception.time(sight, 0).median));
            let others = (1..STATES.len()).map(|state| found.interception.slowdown(sight, state).show(percent));
            table.push(head.chain([first]).chain(others));
        }
    }
    table.to_string()
}

/// What it costs to look inside: the costs of each server, beside its name.
pub fn inside<'f>(servers: impl Iterator<Item = (&'f str, &'f [Cost])>) -> String {
    let [_, again, on] = inside::STATES;
    let columns = ["", "server", "a call", again, on, "its instructions", again, on];
    let mut table = Table::new(columns);
    let servers: Vec<_> = servers.collect();
    for row in 0..servers[0].1.len() {
        for (name, costs) in &servers {
            let cost = &costs[row];
            let measured = |samples, unit: &str| {
                let plain = inside::plain(samples).map(|plain| format!("{}{unit}", number(plain.median)));
                let more = [1, inside::ON].map(|state| inside::more(samples, state).map(|more| more.show(percent)));
                [plain].into_iter().chain(more).map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
            };
            let cells = measured(&cost.times, " us").chain(measured(&cost.instructions, ""));
            table.push([cost.name.to_owned(), (*name).to_owned()].into_iter().chain(cells));
        }
    }
    table.to_string()
}

/// What servers take that nobody uses: the measurements of each, beside its name.
pub fn idle<'f>(servers: impl Iterator<Item = (&'f str, &'f Idle)>) -> String {
    let mut table = Table::new(["server", "without", "with the module", "more", "wake-ups of its threads"]);
    for (name, Idle { times: [without, with], more, wakes }) in servers {
        let times = [without, with].map(|times| Spread::of(times).to_string());
        let more = Spread::of(more).show(difference);
        table.push([name.to_owned()].into_iter().chain(times).chain([more, Spread::of(wakes).to_string()]));
    }
    table.to_string()
}
