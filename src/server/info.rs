//! The module's sections of INFO.
//!
//! The server asks for them only when the reply includes them; a plain INFO has neither.

use super::api::info::{Info, Report};
use super::api::{c_text, log};
use super::module::{self, Current, FlushMode, Module};
use super::running::with_current;
use super::settings::MEMORY_LIMIT;
use crate::clock::unix_milliseconds;
use crate::engine;
use crate::registry::{Function, Registry};

/// The most functions that have a line, so that INFO has a bound, whatever is loaded.
const FUNCTIONS_LISTED: usize = 1_000;

/// The sections `shadow_functions` and `shadow_functionstats`. The report of a crash goes without the second one.
pub struct Sections;

impl Report for Sections {
    fn report(info: &Info, crashed: bool) {
        let result = module::read().map(|module| {
            if info.section(c"functions").is_ok() {
                add_functions(info, &module);
            }
            if !crashed && info.section(c"functionstats").is_ok() {
                add_function_stats(info, module.functions.generation().registry());
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
    let Current { depot, totals, last_flush, .. } = &module.functions;
    let reclaim = &module.threads.reclaim;
    let (pending, freed) = (depot.pending(), depot.freed());
    let native = module.functions.generation().native_code();
    info.numbers(&[
        (c"libraries", registry.library_count() as u64),
        (c"functions", registry.function_count() as u64),
        (c"vm_bytes", module.functions.generation().vm_memory() as u64),
        (c"native_code_bytes", native.bytes as u64),
        (c"native_functions", native.functions.into()),
        (c"native_code_open", native.open.into()),
        (c"registry_bytes", registry.bytes() as u64),
        (c"memory_limit", MEMORY_LIMIT.get()),
        (c"calls", totals.calls.get()),
        (c"rejected_calls", totals.rejected_calls.get()),
        (c"failed_calls", totals.failed_calls.get()),
        (c"memory_refusals", engine::refusals()),
        (c"timeouts", totals.timeouts.get()),
        (c"load_timeouts", engine::load_timeouts()),
        (c"kills", totals.kills.get()),
    ]);
    with_current(|running| {
        if let Some(running) = running {
            info.text(c"running_function", &c_text(running.name.as_bytes()));
            info.number(c"running_since_ms", unix_milliseconds().saturating_sub(running.elapsed()));
        }
    });
    info.numbers(&[(c"flushes", totals.flushes.get()), (c"flushes_in_place", totals.flushes_in_place.get())]);
    if let Some(last) = last_flush {
        let mode = if last.mode == FlushMode::Async { c"async" } else { c"sync" };
        info.text(c"last_flush_mode", mode);
        info.number(c"last_flush_usec", last.took.duration().as_micros() as u64);
        info.number(c"last_flush_libraries", last.programs as u64);
    }
    info.numbers(&[
        (c"reclaim_queue", reclaim.queued() as u64),
        (c"pending_libraries", pending.programs),
        (c"pending_bytes", pending.bytes),
        (c"freed_libraries", freed.programs),
        (c"freed_bytes", freed.bytes),
        (c"spare_ready", depot.has_spare().into()),
        (c"spares_missed", totals.spares_missed.get()),
        (c"reclaim_alive", reclaim.is_alive().into()),
    ]);
}

/// A line for each function that was called, in the form of `commandstats`. Those that took most time come first.
fn add_function_stats(info: &Info, registry: &Registry) {
    let mut called: Vec<&Function> =
        registry.functions().filter(|function| !function.callback.counters.are_zero()).collect();
    info.number(c"functions_called", called.len() as u64);
    let order = |left: &&Function, right: &&Function| {
        let spent = |function: &Function| function.callback.counters.spent_ticks();
        spent(right).cmp(&spent(left)).then_with(|| left.name.cmp(&right.name))
    };
    if called.len() > FUNCTIONS_LISTED {
        called.select_nth_unstable_by(FUNCTIONS_LISTED, order);
        called.truncate(FUNCTIONS_LISTED);
    }
    called.sort_unstable_by(order);
    for function in called {
        let counts = function.callback.counters.counts();
        let spent = counts.spent.as_micros() as u64;
        let per_call = if counts.calls == 0 { 0.0 } else { spent as f64 / counts.calls as f64 };
        info.begin(&c_text(format!("function_{}", function.name).as_bytes()));
        info.number(c"calls", counts.calls);
        info.number(c"usec", spent);
        info.text(c"usec_per_call", &c_text(format!("{per_call:.2}").as_bytes()));
        info.number(c"rejected_calls", counts.rejected);
        info.number(c"failed_calls", counts.failed);
        info.number(c"max_usec", counts.longest.as_micros() as u64);
        info.end();
    }
}
