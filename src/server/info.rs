//! The module's section of INFO.

use redis_module::raw;

use super::api::{api, log};
use super::guard;
use super::module;
use super::settings::MEMORY_LIMIT;
use crate::engine;

/// Adds the section `shadow_functions`.
pub extern "C" fn report(info: *mut raw::RedisModuleInfoCtx, _for_crash_report: i32) {
    guard::callback(std::ptr::null_mut(), || {
        let result = module::look(|module| {
            let registry = module.generation.registry();
            let reclaim = &module.reclaim;
            let fields = [
                (c"libraries", registry.library_count() as u64),
                (c"functions", registry.function_count() as u64),
                (c"vm_bytes", module.generation.vm_memory() as u64),
                (c"memory_limit", MEMORY_LIMIT.get()),
                (c"memory_refusals", engine::refusals()),
                (c"timeouts", module.ended.timeouts.get()),
                (c"kills", module.ended.kills.get()),
                (c"flushes", module.totals.flushes),
                (c"flushes_in_place", module.totals.flushes_in_place),
                (c"reclaim_queue", reclaim.queued() as u64),
                (c"pending_libraries", reclaim.pending_libraries()),
                (c"freed_libraries", reclaim.freed_libraries()),
                (c"spare_ready", reclaim.has_spare().into()),
                (c"spares_missed", module.totals.spares_missed),
                (c"reclaim_alive", reclaim.is_alive().into()),
            ];
            // SAFETY: `info` is alive during the callback; the names are static C strings.
            unsafe {
                api!(RedisModule_InfoAddSection)(info, c"functions".as_ptr());
                for (name, value) in fields {
                    api!(RedisModule_InfoAddFieldLongLong)(info, name.as_ptr(), value as i64);
                }
            }
            Ok(())
        });
        // While a function runs its registry is lent; the section is left out then.
        if let Err(error) = result {
            log(std::ptr::null_mut(), c"debug", error.text());
        }
    });
}
