//! The plots of the report.

use std::fs;
use std::path::Path;

use crate::findings::Findings;
use crate::memory::Sample;
use crate::plot::{self, Axes, Axis, Drawn, Group, Line, Panel, RANKS, SHADOW, STOCK, Style};
use crate::row::BySize;
use crate::summary::Pairs;

/// Milliseconds after a flush in the close-up plot.
const CLOSE: f64 = 500.0;

/// Draws all of them into a directory.
pub fn draw(directory: &Path, findings: &[Findings]) -> Drawn {
    fs::create_dir_all(directory)?;
    flushes(&directory.join("flush.svg"), findings)?;
    pings(&directory.join("ping.svg"), findings)?;
    used(&directory.join("memory.svg"), findings)?;
    resident(&directory.join("resident.svg"), findings)?;
    calls(&directory.join("calls.svg"), findings)
}

fn style(name: &str, colour: plotters::style::RGBColor, dashed: bool) -> Style {
    Style { name: name.to_owned(), colour, dashed }
}

fn flushes(path: &Path, findings: &[Findings]) -> Drawn {
    let styles = [
        style("FUNCTION FLUSH ASYNC", STOCK, false),
        style("FUNCTION FLUSH SYNC", STOCK, true),
        style("SHADOW.FUNCTION FLUSH ASYNC", SHADOW, false),
        style("SHADOW.FUNCTION FLUSH SYNC", SHADOW, true),
    ];
    let panel = |found: &Findings| {
        let most = found.flushes_async.last().map_or(0, |size| size.libraries);
        // Beyond that, only the measurement beside PINGs has points.
        let beyond = found.scale.flushes.iter().filter(|size| size.libraries > most);
        let swaps: Vec<&BySize> = found.flushes_async.iter().chain(beyond).collect();
        let tears: Vec<&BySize> = found.flushes_sync.iter().collect();
        let line = |style: usize, sizes: &[&BySize], median: fn(&Pairs) -> f64| Line {
            style,
            points: sizes.iter().map(|size| (size.libraries as f64, median(&size.pairs).max(1.0))).collect(),
            spreads: Vec::new(),
            marked: true,
        };
        let stock = |pairs: &Pairs| pairs.stock().median;
        let shadow = |pairs: &Pairs| pairs.shadow().median;
        Panel {
            title: found.server.name.clone(),
            lines: vec![
                line(0, &swaps, stock),
                line(1, &tears, stock),
                line(2, &swaps, shadow),
                line(3, &tears, shadow),
            ],
        }
    };
    let panels: Vec<Panel> = findings.iter().map(panel).collect();
    logarithmic(path, "Time of a flush on the main thread", &styles, "time, us", panels)
}

fn pings(path: &Path, findings: &[Findings]) -> Drawn {
    let styles = [
        style("no flush", plot::NEITHER, false),
        style("FUNCTION FLUSH ASYNC", STOCK, false),
        style("SHADOW.FUNCTION FLUSH ASYNC", SHADOW, false),
    ];
    let panel = |found: &Findings| {
        let pings = &found.scale.pings;
        let line = |scene: usize| Line {
            style: scene,
            points: pings.iter().map(|ping| (ping.libraries as f64, ping.slowest[scene].median)).collect(),
            spreads: pings.iter().map(|ping| (ping.slowest[scene].min, ping.slowest[scene].max)).collect(),
            marked: true,
        };
        Panel { title: found.server.name.clone(), lines: (0..styles.len()).map(line).collect() }
    };
    let panels: Vec<Panel> = findings.iter().map(panel).collect();
    logarithmic(
        path,
        "Slowest PING of another client while libraries are being freed",
        &styles,
        "round trip, us",
        panels,
    )
}

/// Panels over the number of libraries, with axes of whole decades.
fn logarithmic(path: &Path, title: &str, styles: &[Style], label: &'static str, panels: Vec<Panel>) -> Drawn {
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let decades = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.iter().copied().fold(0.0, f64::max).log10().ceil();
        10f64.powf(low)..10f64.powf(high.max(low + 1.0))
    };
    let x = Axis { label: "libraries", range: decades(points().map(|point| point.0).collect()) };
    let y = Axis { label, range: decades(points().map(|point| point.1).collect()) };
    plot::lines(path, title, styles, &Axes::Logarithmic(x, y), &panels)
}

/// Memory in use, as the worker frees it.
fn used(path: &Path, findings: &[Findings]) -> Drawn {
    let value = |sample: &Sample| (sample.time < CLOSE).then_some((sample.time, sample.used));
    memory(path, "Memory in use around FLUSH ASYNC", "ms after the flush", findings, value)
}

/// Memory of the process, as the allocator gives it back.
fn resident(path: &Path, findings: &[Findings]) -> Drawn {
    let value = |sample: &Sample| Some((sample.time / 1e3, sample.resident));
    memory(path, "Memory of the process around FLUSH ASYNC", "s after the flush", findings, value)
}

fn memory(
    path: &Path,
    title: &str,
    label: &'static str,
    findings: &[Findings],
    value: fn(&Sample) -> Option<(f64, f64)>,
) -> Drawn {
    let styles = [style("FUNCTION", STOCK, false), style("SHADOW.FUNCTION", SHADOW, false)];
    let panel = |found: &Findings| {
        let lines = found.traces.iter().enumerate().map(|(style, trace)| Line {
            style,
            points: trace.iter().filter_map(value).collect(),
            spreads: Vec::new(),
            marked: false,
        });
        Panel { title: found.server.name.clone(), lines: lines.collect() }
    };
    let panels: Vec<Panel> = findings.iter().map(panel).collect();
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let first = points().map(|point| point.0).fold(0.0, f64::min);
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    let x = Axis { label, range: first..last };
    let y = Axis { label: "memory, MiB", range: 0.0..most * 1.05 };
    plot::lines(path, title, &styles, &Axes::Linear(x, y), &panels)
}

fn calls(path: &Path, findings: &[Findings]) -> Drawn {
    let styles: Vec<Style> = findings
        .iter()
        .zip(RANKS.iter().cycle())
        .map(|(found, &colour)| style(&found.server.name, colour, false))
        .collect();
    let rows = |found: &Findings| -> Vec<(String, f64)> {
        let rows = found.calls.iter().chain(&found.computations);
        rows.map(|row| (row.name.clone(), row.pairs.ratio().median)).collect()
    };
    let all: Vec<Vec<(String, f64)>> = findings.iter().map(rows).collect();
    let groups: Vec<Group> = (0..all[0].len())
        .map(|index| Group { name: all[0][index].0.clone(), values: all.iter().map(|rows| rows[index].1).collect() })
        .collect();
    plot::bars(path, "Calls: time of FCALL / time of SHADOW.FCALL", &styles, &groups, "over 1: SHADOW.FCALL is faster")
}
