//! What there is to tell of the module: each figure with what it means and its value now. INFO and SHADOW.METRICS write
//! them in their own forms and know none by name, so whatever is added here is in both.

use std::ffi::CStr;

use super::followed::Percentile;
use super::module::{Current, FlushMode, Module};
use super::named::Named;
use super::running::with_current;
use super::settings::MEMORY_LIMIT;
use crate::clock::{Ticks, unix_milliseconds};
use crate::engine::{self, Callable};
use crate::generation::{Contents, Generation};
use crate::registry::Counts;

/// The most functions, and the most scripts, that are told of, so that an answer has a bound, whatever is loaded.
const LISTED: usize = 1_000;

/// What becomes of a figure in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, until it is reset.
    Counter,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Things,
    Bytes,
    Nanoseconds,
    Microseconds,
    Milliseconds,
}

impl Unit {
    /// What a field of INFO ends in by its unit.
    const fn of_field(self) -> &'static str {
        match self {
            Self::Things | Self::Nanoseconds => "",
            Self::Bytes => "_bytes",
            Self::Microseconds => "_usec",
            Self::Milliseconds => "_ms",
        }
    }

    /// What it is called as the unit of a metric, which is always a base unit.
    pub const fn of_metric(self) -> Option<&'static str> {
        match self {
            Self::Things => None,
            Self::Bytes => Some("bytes"),
            Self::Nanoseconds | Self::Microseconds | Self::Milliseconds => Some("seconds"),
        }
    }
}

/// What a figure is.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its field in INFO, less what stands before all names.
    pub field: &'static str,
    /// Its metric, less what stands before all names, its unit, and what marks a counter. None: as the field.
    metric: Option<&'static str>,
    pub kind: Kind,
    pub unit: Unit,
    /// A sentence. It is written as it is: no quotes, backslashes or line ends.
    pub help: &'static str,
}

/// A number that only grows, until it is reset.
const fn counter(field: &'static str, help: &'static str) -> Description {
    Description { field, metric: None, kind: Kind::Counter, unit: Unit::Things, help }
}

/// A number that goes up and down.
const fn gauge(field: &'static str, help: &'static str) -> Description {
    Description { field, metric: None, kind: Kind::Gauge, unit: Unit::Things, help }
}

impl Description {
    const fn counted_in(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// For a field whose name says what is said of a metric by a label.
    const fn named(self, metric: &'static str) -> Self {
        Self { metric: Some(metric), ..self }
    }

    /// The name of its metric with its unit, less what stands before all names and what marks a counter.
    pub fn metric(&self) -> String {
        let stem = self.metric.unwrap_or_else(|| {
            let field = self.field;
            field.strip_suffix(self.unit.of_field()).unwrap_or(field)
        });
        [Some(stem), self.unit.of_metric()].into_iter().flatten().collect::<Vec<_>>().join("_")
    }
}

/// What a figure says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    /// A text. A metric is a number: there, the text is this label of one that is 1.
    Text {
        label: &'static str,
        text: String,
    },
}

/// What a figure is, and what it says now.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What stands before the name of its field.
    prefix: &'static str,
    pub description: Description,
    /// Whether it is one of functions or of scripts; None for one of the whole module, or that says so by its name.
    pub callable: Option<Callable>,
    pub value: Value,
}

impl Figure {
    /// One of the whole module, or whose name says what it is one of.
    const fn of_module((description, value): (Description, u64)) -> Self {
        Self { prefix: "", description, callable: None, value: Value::Number(value) }
    }

    /// Its field in INFO, less the module's own prefix.
    pub fn field(&self) -> String {
        [self.prefix, self.description.field].concat()
    }
}

/// A section of INFO.
pub struct Section {
    /// Less the module's own prefix.
    pub name: &'static CStr,
    pub figures: fn(&Module) -> Vec<Figure>,
}

/// The sections about the module, its registries and all calls together.
pub const SECTIONS: [Section; 2] =
    [Section { name: c"functions", figures: of_functions }, Section { name: c"scripts", figures: of_scripts }];

fn of_functions(module: &Module) -> Vec<Figure> {
    let registry = module.functions.generation().registry();
    let reclaim = &module.threads.reclaim;
    let mut figures = Vec::from(
        [
            (gauge("libraries", "Libraries that are loaded."), registry.library_count() as u64),
            (gauge("functions", "Functions that are loaded."), registry.function_count() as u64),
        ]
        .map(Figure::of_module),
    );
    let names = Names {
        prefix: "",
        registry: "registry_bytes",
        flushed: "last_flush_libraries",
        pending: "pending_libraries",
        freed: "freed_libraries",
        running: "running_function",
    };
    add_registry(&mut figures, &names, &module.functions);
    add_versions(&mut figures, module);
    // The limit and the refusals are those of all VMs, and there is one worker.
    figures.extend(
        [
            (
                gauge("memory_limit", "What each VM may hold, 0 for no limit.").counted_in(Unit::Bytes),
                MEMORY_LIMIT.get(),
            ),
            (
                counter("memory_refusals", "Calls and loads that ended because the limit of memory was reached."),
                engine::refusals(),
            ),
            (counter("load_timeouts", "Loads of a library whose body ran too long."), engine::load_timeouts()),
            (gauge("reclaim_queue", "Jobs that wait for the worker."), reclaim.queued() as u64),
            (gauge("reclaim_alive", "0 if the worker has ended after an internal error."), reclaim.is_alive().into()),
        ]
        .map(Figure::of_module),
    );
    let path = module.inner_calls.path().word().to_owned();
    let told = Figure::of_module((gauge("call_path", "How inner commands reach the server."), 0));
    figures.push(Figure { value: Value::Text { label: "path", text: path }, ..told });
    figures
}

/// Adds what is said of versions.
fn add_versions(figures: &mut Vec<Figure>, module: &Module) {
    let Module { functions, deploys, .. } = module;
    figures.extend(
        [
            (counter("deploys", "Versions that were put in place."), functions.totals.deploys.get()),
            (counter("rollbacks", "Versions that were brought back."), functions.totals.rollbacks.get()),
            (gauge("deploys_pending", "Deploys that the worker builds."), deploys.count() as u64),
            (gauge("kept_versions", "Versions that ROLLBACK can bring back."), functions.kept().count() as u64),
            (
                gauge("kept_versions_bytes", "What they hold together.").counted_in(Unit::Bytes),
                functions.kept_bytes() as u64,
            ),
        ]
        .map(Figure::of_module),
    );
    if let Some(took) = functions.last_deploy {
        let help = "How long the last deploy or rollback took to swap the generations.";
        let told = gauge("last_deploy_usec", help).counted_in(Unit::Microseconds);
        figures.push(Figure::of_module((told, took.duration().as_micros() as u64)));
    }
    if let Some(release) = functions.generation().registry().release() {
        let told = Figure::of_module((gauge("version", "The version of the libraries that are loaded."), 0));
        figures.push(Figure { value: Value::Text { label: "version", text: release.shown() }, ..told });
    }
}

fn of_scripts(module: &Module) -> Vec<Figure> {
    let cache = module.scripts.generation().registry();
    let (all, evictable) = (cache.count() as u64, cache.evictable() as u64);
    let mut figures = Vec::from(
        [
            (gauge("scripts", "Scripts that are cached."), all),
            (
                gauge("scripts_loaded", "Scripts that stay in the cache, since SCRIPT LOAD has brought them."),
                all - evictable,
            ),
            (gauge("scripts_evictable", "Scripts that may be evicted, since EVAL has brought them."), evictable),
        ]
        .map(Figure::of_module),
    );
    let names = Names {
        prefix: "scripts_",
        registry: "cache_bytes",
        flushed: "last_flushed",
        pending: "pending",
        freed: "freed",
        running: "running_script",
    };
    add_registry(&mut figures, &names, &module.scripts);
    let totals = &module.cache_totals;
    figures.extend(
        [
            (
                counter("scripts_missed_calls", "Calls of scripts that were not cached, answered with NOSCRIPT."),
                totals.missed.get(),
            ),
            (counter("scripts_evicted", "Scripts that had to go for others."), totals.evicted.get()),
        ]
        .map(Figure::of_module),
    );
    figures
}

/// What the fields of a section are called. Those of both sections stand in one INFO, so no two have the same name.
struct Names {
    /// Before the names of all fields.
    prefix: &'static str,
    /// Bytes outside of the VM.
    registry: &'static str,
    /// How many went by the last flush.
    flushed: &'static str,
    /// How many wait to be freed.
    pending: &'static str,
    /// How many were freed.
    freed: &'static str,
    /// What is running.
    running: &'static str,
}

/// What is said of each registry.
fn add_registry<C: Contents>(figures: &mut Vec<Figure>, names: &Names, registry: &Current<C>) {
    use Unit::{Bytes, Microseconds};
    let callable = Generation::<C>::CALLABLE;
    let generation = registry.generation();
    let Current { depot, totals, last_flush, .. } = registry;
    let (native, pending, freed) = (generation.native_code(), depot.pending(), depot.freed());
    let number = |told| Figure { prefix: names.prefix, callable: Some(callable), ..Figure::of_module(told) };
    figures.extend(
        [
            (gauge("vm_bytes", "What the current VM holds.").counted_in(Bytes), generation.vm_bytes() as u64),
            (
                gauge("native_code_bytes", "Machine code, beside what the VM holds.").counted_in(Bytes),
                native.bytes as u64,
            ),
            (gauge("native_functions", "Functions that are compiled to machine code."), native.functions.into()),
            (gauge("native_code_open", "1 while more machine code can be made."), native.open.into()),
            (
                gauge(names.registry, "What is held outside of the VM: sources, names and their indexes.")
                    .counted_in(Bytes)
                    .named("registry"),
                generation.registry().bytes() as u64,
            ),
            (counter("calls", "Calls that ran, those that failed included."), totals.calls.get()),
            (counter("rejected_calls", "Calls that were refused before they ran."), totals.rejected_calls.get()),
            (
                counter("failed_calls", "Calls that ran and whose reply was or contained an error."),
                totals.failed_calls.get(),
            ),
            (counter("timeouts", "Calls that shadow.read-only-timeout ended."), totals.timeouts.get()),
            (counter("kills", "Calls that KILL ended."), totals.kills.get()),
            (
                counter("undeclared_keys", "Inner commands that reached a key which their call did not declare."),
                totals.undeclared_keys.get(),
            ),
            (
                counter("undeclared_keys_denied", "Those of them that were refused."),
                totals.undeclared_keys_denied.get(),
            ),
            (
                counter("slow_calls", "Calls that took as long as slowlog-log-slower-than says, or longer."),
                totals.slow_calls.get(),
            ),
        ]
        .map(number),
    );
    add_running(figures, names, callable);
    figures.extend(
        [
            (counter("flushes", "Flushes of a registry that was not empty."), totals.flushes.get()),
            (
                counter("flushes_in_place", "ASYNC flushes that freed on the main thread."),
                totals.flushes_in_place.get(),
            ),
        ]
        .map(number),
    );
    if let Some(last) = last_flush {
        let mode = if last.mode == FlushMode::Async { "async" } else { "sync" };
        figures.push(Figure {
            value: Value::Text { label: "mode", text: mode.to_owned() },
            ..number((gauge("last_flush_mode", "The mode of the last flush."), 0))
        });
        figures.extend(
            [
                (
                    gauge("last_flush_usec", "How long the last flush kept the main thread.").counted_in(Microseconds),
                    last.took.duration().as_micros() as u64,
                ),
                (
                    gauge(names.flushed, "Libraries or scripts that went by the last flush.")
                        .named("last_flush_programs"),
                    last.programs as u64,
                ),
            ]
            .map(number),
        );
    }
    figures.extend(
        [
            (
                gauge(names.pending, "Libraries or scripts that the worker has not freed yet.")
                    .named("pending_programs"),
                pending.programs,
            ),
            (gauge("pending_bytes", "What the worker has not freed yet.").counted_in(Bytes), pending.bytes),
            (
                counter(names.freed, "Libraries or scripts that the worker has freed.").named("freed_programs"),
                freed.programs,
            ),
            (counter("freed_bytes", "What the worker has freed.").counted_in(Bytes), freed.bytes),
            (
                gauge("spare_ready", "1 if a spare VM is ready for the next flush, or nothing was loaded yet."),
                (depot.has_spare() || !depot.is_wanted()).into(),
            ),
            (counter("spares_missed", "Flushes that found no spare VM."), totals.spares_missed.get()),
        ]
        .map(number),
    );
}

/// The running call, if it is one of `callable`. There is one at a time, so its fields are in one section and have no
/// prefix.
fn add_running(figures: &mut Vec<Figure>, names: &Names, callable: Callable) {
    with_current(|running| {
        if let Some(running) = running
            && running.callee.callable == callable
        {
            let name = gauge(names.running, "The function or script that is running.").named("running");
            let since = gauge("running_since_ms", "When the running call began, in time since 1970.")
                .counted_in(Unit::Milliseconds)
                .named("running_since_timestamp");
            let began = unix_milliseconds().saturating_sub(running.elapsed());
            let text = Value::Text { label: "name", text: running.callee.name.to_owned() };
            figures.push(Figure { callable: Some(callable), value: text, ..Figure::of_module((name, 0)) });
            figures.push(Figure { callable: Some(callable), ..Figure::of_module((since, began)) });
        }
    });
}

/// A section of INFO with a line for each function, or each script, that was called.
pub struct CallSection {
    /// Less the module's own prefix.
    pub name: &'static CStr,
    callable: Callable,
    /// How many were called.
    called: Description,
}

/// The sections with the calls of each function and each script.
pub const CALL_SECTIONS: [CallSection; 2] = [
    CallSection {
        name: c"functionstats",
        callable: Callable::Function,
        called: gauge("functions_called", "Functions that were called."),
    },
    CallSection {
        name: c"scriptstats",
        callable: Callable::Script,
        called: gauge("scripts_called", "Scripts that were called."),
    },
];

impl CallSection {
    /// Those that were called.
    pub fn calls<'m>(&self, module: &'m Module) -> Calls<'m> {
        let mut called = Named::all(module, self.callable);
        called.retain(|one| !one.callback.counters.are_zero());
        let number = Figure::of_module((self.called, called.len() as u64));
        let spent = |one: &Named| one.callback.counters.spent_ticks();
        let order =
            |left: &Named, right: &Named| spent(right).cmp(&spent(left)).then_with(|| left.name.cmp(right.name));
        if called.len() > LISTED {
            called.select_nth_unstable_by(LISTED, order);
            called.truncate(LISTED);
        }
        called.sort_unstable_by(order);
        let shown = module.followed.percentiles();
        let listed = called.into_iter().map(|Named { name, library, callback }| {
            let times = callback.counters.times();
            let percentile = |shown: &Percentile| Some((shown.clone(), times.percentile(shown.percent)?));
            Called {
                library: library.map(|library| &*library.name),
                name,
                counts: callback.counters.counts(),
                percentiles: shown.iter().filter_map(percentile).collect(),
            }
        });
        Calls { callable: self.callable, called: number, listed: listed.collect() }
    }
}

/// What was called.
pub struct Calls<'a> {
    pub callable: Callable,
    /// How many were called.
    pub called: Figure,
    /// Those that took most time, the one that took most first; at most [`LISTED`].
    pub listed: Vec<Called<'a>>,
}

/// A function or a script that was called.
pub struct Called<'a> {
    /// The function's library.
    pub library: Option<&'a str>,
    /// The function's name as registered, or the digest of the script.
    pub name: &'a str,
    pub counts: Counts,
    /// The times that these parts of the calls did not exceed; none while nothing was timed.
    pub percentiles: Vec<(Percentile, Ticks)>,
}

/// A figure of each function and each script that was called.
pub enum Column {
    Figure {
        description: Description,
        value: fn(&Counts) -> u64,
    },
    /// The time of a call on the average. It is in INFO alone, as in `commandstats`: it is the quotient of two figures,
    /// and metrics are divided for the time that one looks at.
    Average {
        field: &'static str,
    },
}

/// The figures of each function and each script, in the order that they have in INFO.
pub const COLUMNS: [Column; 8] = [
    Column::Figure {
        description: counter("calls", "Calls that ran, those that failed included."),
        value: |counts| counts.calls,
    },
    Column::Figure {
        description: counter("usec", "The time of all calls together.").counted_in(Unit::Microseconds).named("call"),
        value: |counts| counts.spent.as_micros() as u64,
    },
    Column::Average { field: "usec_per_call" },
    Column::Figure {
        description: counter("rejected_calls", "Calls that were refused before they ran."),
        value: |counts| counts.rejected,
    },
    Column::Figure {
        description: counter("failed_calls", "Calls that ran and whose reply was or contained an error."),
        value: |counts| counts.failed,
    },
    Column::Figure {
        description: gauge("max_usec", "The time of the longest call.")
            .counted_in(Unit::Microseconds)
            .named("longest_call"),
        value: |counts| counts.longest.as_micros() as u64,
    },
    Column::Figure {
        description: counter("commands", "Commands that the calls ran."),
        value: |counts| counts.commands,
    },
    Column::Figure {
        description: counter("commands_usec", "The time of all these commands together.")
            .counted_in(Unit::Microseconds)
            .named("commands"),
        value: |counts| counts.commands_spent.as_micros() as u64,
    },
];

/// The average of [`Column::Average`], in microseconds.
pub fn average(counts: &Counts) -> f64 {
    let spent = counts.spent.as_micros() as u64;
    if counts.calls == 0 { 0.0 } else { spent as f64 / counts.calls as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_named_by_its_field_in_base_units() {
        for (description, expected) in [
            (counter("calls", "x"), "calls"),
            (gauge("vm_bytes", "x").counted_in(Unit::Bytes), "vm_bytes"),
            (gauge("memory_limit", "x").counted_in(Unit::Bytes), "memory_limit_bytes"),
            (gauge("last_flush_usec", "x").counted_in(Unit::Microseconds), "last_flush_seconds"),
            (gauge("since_ms", "x").counted_in(Unit::Milliseconds), "since_seconds"),
            (counter("usec", "x").counted_in(Unit::Microseconds).named("call"), "call_seconds"),
        ] {
            assert_eq!(description.metric(), expected);
        }
    }

    #[test]
    fn a_column_says_what_it_is_and_can_be_written_as_it_is() {
        for column in &COLUMNS {
            if let Column::Figure { description, .. } = column {
                assert!(description.help.ends_with('.'), "{description:?}");
                assert!(!description.help.contains(['\\', '"', '\n']), "{description:?}");
            }
        }
    }
}
