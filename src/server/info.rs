//! The module's sections of INFO.
//!
//! The server asks for them only when the reply includes them; a plain INFO has none.

use super::api::info::{Info, Report};
use super::api::{c_text, log};
use super::followed::Percentile;
use super::module::{self, Current, FlushMode, Module};
use super::running::with_current;
use super::settings::MEMORY_LIMIT;
use crate::clock::unix_milliseconds;
use crate::engine::{self, Callable};
use crate::generation::{Contents, Generation};
use crate::registry::Counters;

/// The most functions, and the most scripts, that have a line, so that INFO has a bound, whatever is loaded.
const LISTED: usize = 1_000;

/// The sections `shadow_functions` and `shadow_scripts`, and with a line for each of what was called
/// `shadow_functionstats` and `shadow_scriptstats`. The report of a crash goes without these two.
pub struct Sections;

impl Report for Sections {
    fn report(info: &Info, crashed: bool) {
        let result = module::read().map(|module| {
            if info.section(c"functions").is_ok() {
                add_functions(info, &module);
            }
            if info.section(c"scripts").is_ok() {
                add_scripts(info, &module);
            }
            if crashed {
                return;
            }
            let percentiles = module.followed.percentiles();
            if info.section(c"functionstats").is_ok() {
                let functions = module.functions.generation().registry().functions();
                let functions = functions.map(|function| (&*function.name, &function.callback.counters));
                add_stats(info, "function", functions, &percentiles);
            }
            if info.section(c"scriptstats").is_ok() {
                let scripts = module.scripts.generation().registry().scripts();
                let scripts = scripts.map(|script| (script.digest.as_str(), &script.callback.counters));
                add_stats(info, "script", scripts, &percentiles);
            }
        });
        // While a library is loaded the registry is lent; the sections are left out then.
        if let Err(error) = result {
            log(c"debug", error.as_bytes());
        }
    }
}

fn add_functions(info: &Info, module: &Module) {
    let registry = module.functions.generation().registry();
    let reclaim = &module.threads.reclaim;
    info.numbers(&[(c"libraries", registry.library_count() as u64), (c"functions", registry.function_count() as u64)]);
    let fields = Fields {
        info,
        prefix: "",
        registry: "registry_bytes",
        flushed: "last_flush_libraries",
        pending: "pending_libraries",
        freed: "freed_libraries",
    };
    add_registry(&fields, &module.functions);
    // The limit and the refusals are those of all VMs, and there is one worker.
    info.numbers(&[
        (c"memory_limit", MEMORY_LIMIT.get()),
        (c"memory_refusals", engine::refusals()),
        (c"load_timeouts", engine::load_timeouts()),
        (c"reclaim_queue", reclaim.queued() as u64),
        (c"reclaim_alive", reclaim.is_alive().into()),
    ]);
}

fn add_scripts(info: &Info, module: &Module) {
    let cache = module.scripts.generation().registry();
    let (all, evictable) = (cache.count() as u64, cache.evictable() as u64);
    info.numbers(&[(c"scripts", all), (c"scripts_loaded", all - evictable), (c"scripts_evictable", evictable)]);
    let fields = Fields {
        info,
        prefix: "scripts_",
        registry: "cache_bytes",
        flushed: "last_flushed",
        pending: "pending",
        freed: "freed",
    };
    add_registry(&fields, &module.scripts);
    let totals = &module.cache_totals;
    info.numbers(&[(c"scripts_missed_calls", totals.missed.get()), (c"scripts_evicted", totals.evicted.get())]);
}

/// What the fields of a section are called. Those of both sections stand in one INFO, so no two have the same name.
struct Fields<'a> {
    info: &'a Info<'a>,
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
}

impl Fields<'_> {
    fn number(&self, name: &str, value: u64) {
        self.info.number(&c_text([self.prefix, name].concat().as_bytes()), value);
    }
}

/// What is said of each registry.
fn add_registry<C: Contents>(fields: &Fields, registry: &Current<C>) {
    let generation = registry.generation();
    let Current { depot, totals, last_flush, .. } = registry;
    let (native, pending, freed) = (generation.native_code(), depot.pending(), depot.freed());
    for (name, value) in [
        ("vm_bytes", generation.vm_memory() as u64),
        ("native_code_bytes", native.bytes as u64),
        ("native_functions", native.functions.into()),
        ("native_code_open", native.open.into()),
        (fields.registry, generation.registry().bytes() as u64),
        ("calls", totals.calls.get()),
        ("rejected_calls", totals.rejected_calls.get()),
        ("failed_calls", totals.failed_calls.get()),
        ("timeouts", totals.timeouts.get()),
        ("kills", totals.kills.get()),
        ("undeclared_keys", totals.undeclared_keys.get()),
        ("undeclared_keys_denied", totals.undeclared_keys_denied.get()),
        ("slow_calls", totals.slow_calls.get()),
    ] {
        fields.number(name, value);
    }
    add_running(fields.info, Generation::<C>::CALLABLE);
    fields.number("flushes", totals.flushes.get());
    fields.number("flushes_in_place", totals.flushes_in_place.get());
    if let Some(last) = last_flush {
        let mode = if last.mode == FlushMode::Async { c"async" } else { c"sync" };
        fields.info.text(&c_text([fields.prefix, "last_flush_mode"].concat().as_bytes()), mode);
        fields.number("last_flush_usec", last.took.duration().as_micros() as u64);
        fields.number(fields.flushed, last.programs as u64);
    }
    for (name, value) in [
        (fields.pending, pending.programs),
        ("pending_bytes", pending.bytes),
        (fields.freed, freed.programs),
        ("freed_bytes", freed.bytes),
        ("spare_ready", depot.has_spare().into()),
        ("spares_missed", totals.spares_missed.get()),
    ] {
        fields.number(name, value);
    }
}

/// The running call, if it is one of `callable`. There is one at a time, so its fields are in one section.
fn add_running(info: &Info, callable: Callable) {
    with_current(|running| {
        if let Some(running) = running
            && running.callee.callable == callable
        {
            let field = format!("running_{}", callable.word());
            info.text(&c_text(field.as_bytes()), &c_text(running.callee.name.as_bytes()));
            info.number(c"running_since_ms", unix_milliseconds().saturating_sub(running.elapsed()));
        }
    });
}

/// A line for each of `all` that was called, in the form of `commandstats`, and one in the form of `latencystats`.
/// Those that took most time come first.
fn add_stats<'a>(
    info: &Info,
    word: &str,
    all: impl Iterator<Item = (&'a str, &'a Counters)>,
    percentiles: &[Percentile],
) {
    let mut called: Vec<(&str, &Counters)> = all.filter(|(_, counters)| !counters.are_zero()).collect();
    info.number(&c_text(format!("{word}s_called").as_bytes()), called.len() as u64);
    let order = |(left, left_counters): &(&str, &Counters), (right, right_counters): &(&str, &Counters)| {
        right_counters.spent_ticks().cmp(&left_counters.spent_ticks()).then_with(|| left.cmp(right))
    };
    if called.len() > LISTED {
        called.select_nth_unstable_by(LISTED, order);
        called.truncate(LISTED);
    }
    called.sort_unstable_by(order);
    for &(name, counters) in &called {
        let counts = counters.counts();
        let spent = counts.spent.as_micros() as u64;
        let per_call = if counts.calls == 0 { 0.0 } else { spent as f64 / counts.calls as f64 };
        info.begin(&c_text(format!("{word}_{name}").as_bytes()));
        info.number(c"calls", counts.calls);
        info.number(c"usec", spent);
        info.text(c"usec_per_call", &c_text(format!("{per_call:.2}").as_bytes()));
        info.number(c"rejected_calls", counts.rejected);
        info.number(c"failed_calls", counts.failed);
        info.number(c"max_usec", counts.longest.as_micros() as u64);
        info.number(c"commands", counts.commands);
        info.number(c"commands_usec", counts.commands_spent.as_micros() as u64);
        info.end();
    }
    for (name, counters) in called {
        let times = counters.times();
        if times.count() == 0 || percentiles.is_empty() {
            continue;
        }
        info.begin(&c_text(format!("latency_percentiles_usec_{word}_{name}").as_bytes()));
        for Percentile { percent, text } in percentiles {
            let time = times.percentile(*percent).unwrap_or_default().min(counters.longest_ticks());
            info.text(&c_text(format!("p{text}").as_bytes()), &c_text(time.microseconds().as_bytes()));
        }
        info.end();
    }
}
