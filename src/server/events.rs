//! Events of the server that the module follows.

use std::ffi::c_void;

use redis_module::raw;

use super::api::{Context, Refused, api, checked, log};
use super::intercept::debug;
use super::module::loading::{self, Reload};
use super::module::{self, FlushMode};
use super::{guard, library_dir, rewrite};
use crate::engine::Dialect;
use crate::error::Error;
use crate::reclaim;

/// The layout of the data that callbacks get; the same since 7.0.
const DATA_VERSION: u64 = 1;

/// Valkey's option of modules that do not keep its nodes from moving slots in one step (`CLUSTER MIGRATESLOTS`). The
/// module keeps nothing by slot.
const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;

/// Subscribes to the events, and says which of the server's features the module can live with.
///
/// # Errors
/// When the server does not know an event that every supported one has.
pub fn subscribe(context: &Context, dialect: &Dialect) -> Result<(), Refused> {
    // Loads from the network may break off, and may run beside what is served: both are handled.
    let mut options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
    if dialect.is_valkey() {
        options |= HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    // SAFETY: the context is that of the module's entry point.
    unsafe { api!(RedisModule_SetModuleOptions)(context.raw(), options as i32) };
    subscribe_to(context, raw::REDISMODULE_EVENT_SHUTDOWN, on_shutdown)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_CRON_LOOP, on_timer)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_LOADING, on_loading)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, on_async_load)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_PERSISTENCE, on_persistence)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, on_role)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_FLUSHDB, on_emptying)?;
    // From 7.2 on; without it a changed setting is seen at the next tick of the timer.
    let _ = subscribe_to(context, raw::REDISMODULE_EVENT_CONFIG, on_setting);
    Ok(())
}

type Callback = unsafe extern "C" fn(*mut raw::RedisModuleCtx, raw::RedisModuleEvent, u64, *mut c_void);

fn subscribe_to(context: &Context, id: u64, callback: Callback) -> Result<(), Refused> {
    let event = raw::RedisModuleEvent { id, dataver: DATA_VERSION };
    // SAFETY: the context is that of the module's entry point; the callback is of the API's type.
    unsafe { checked(api!(RedisModule_SubscribeToServerEvent)(context.raw(), event, Some(callback))) }
}

/// The process ends: its destructors must not meet a worker that is still at work. A function may be running, which lets
/// others in that may end the server.
unsafe extern "C" fn on_shutdown(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        report(module::read().map(|module| {
            module.reclaim.stop(true);
            let line = format!("the thread {} is at rest", reclaim::THREAD_NAME);
            log(context, c"verbose", line.as_bytes());
        }));
    });
}

/// A file takes the place of what is in memory.
unsafe extern "C" fn on_loading(
    context: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        let context = unsafe { Context::new(context) };
        report(match subevent {
            raw::REDISMODULE_SUBEVENT_LOADING_RDB_START => loading::begin(&context, debug::take_reload()),
            raw::REDISMODULE_SUBEVENT_LOADING_AOF_START | raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
                loading::begin(&context, Reload::default())
            }
            raw::REDISMODULE_SUBEVENT_LOADING_FAILED => loading::end(&context, false),
            _ => loading::end(&context, true),
        });
        if subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED {
            library_dir::load_awaited(&context);
        }
    });
}

/// The server is about to serve its first client.
pub unsafe extern "C" fn on_first_turn(context: *mut raw::RedisModuleCtx, _: *mut c_void) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        library_dir::load_awaited(&unsafe { Context::new(context) });
    });
}

/// A file is begun or completed, in the process that writes it.
unsafe extern "C" fn on_persistence(
    context: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    match subevent {
        raw::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START => rewrite::begin(),
        raw::REDISMODULE_SUBEVENT_PERSISTENCE_ENDED => {
            // SAFETY: the context of the callback that is running.
            guard::callback(context, || rewrite::complete(&unsafe { Context::new(context) }));
            rewrite::insist();
        }
        _ => {}
    }
}

/// A replica loads beside what it has (`repl-diskless-load swapdb`). What it has goes on being served only if both are of
/// one history (the server's flag for asynchronous loading says so), but it stays in any case until the load is complete.
unsafe extern "C" fn on_async_load(
    context: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        let context = unsafe { Context::new(context) };
        report(match subevent {
            raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_STARTED => loading::stage(&context),
            raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_COMPLETED => loading::commit(&context),
            _ => loading::abort(&context),
        });
    });
}

/// The server has become a master or a replica.
unsafe extern "C" fn on_role(
    context: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    if subevent != raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER {
        return;
    }
    guard::callback(context, || {
        report(module::read().map(|module| {
            // SAFETY: the context of the callback that is running.
            module.cluster_reset.note_promotion(&unsafe { Context::new(context) });
        }));
    });
}

/// A database is going to be emptied, or all are.
unsafe extern "C" fn on_emptying(
    context: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    const ALL: i32 = -1;
    // SAFETY: what the server gives with this event, alive during the callback.
    let database = unsafe { &*data.cast::<raw::RedisModuleFlushInfoV1>() }.dbnum;
    if subevent != raw::REDISMODULE_SUBEVENT_FLUSHDB_START || database != ALL {
        return;
    }
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        let context = unsafe { Context::new(context) };
        // The server empties its own registry with the data then.
        if module::read().is_ok_and(|module| module.cluster_reset.is_it(&context)) {
            report(module::write(&context).and_then(|mut module| module.flush(&context, FlushMode::Async)));
        }
    });
}

/// Sends the worker what a flush has left for it.
pub unsafe extern "C" fn deliver(context: *mut raw::RedisModuleCtx, _: *mut c_void) {
    guard::callback(context, || {
        if let Ok(module) = module::read() {
            module.reclaim.deliver();
        }
    });
}

/// What goes wrong in a callback that nobody waits for goes to the log.
fn report(result: Result<(), impl Into<Error>>) {
    if let Err(error) = result {
        log(std::ptr::null_mut(), c"warning", error.into().text());
    }
}

unsafe extern "C" fn on_timer(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        let context = unsafe { Context::new(context) };
        if let Ok(module) = module::read() {
            module.gate.watch(&context);
        }
        // Not while a function is running: the next tick comes.
        if let Ok(mut module) = module::write(&context) {
            module.attend_threads(&context);
        }
    });
}

unsafe extern "C" fn on_setting(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        if let Ok(module) = module::read() {
            // SAFETY: the context of the callback that is running.
            module.gate.look(&unsafe { Context::new(context) });
        }
    });
}
