//! Events of the server that the module follows.

use std::ffi::c_void;

use redis_module::raw;

use super::api::{Context, Refused, api, checked};
use super::{guard, module};

/// The layout of the data that callbacks get; the same since 7.0.
const DATA_VERSION: u64 = 1;

/// Subscribes to the events.
///
/// # Errors
/// When the server does not know an event that every supported one has.
pub fn subscribe(context: &Context) -> Result<(), Refused> {
    subscribe_to(context, raw::REDISMODULE_EVENT_SHUTDOWN, on_shutdown)?;
    subscribe_to(context, raw::REDISMODULE_EVENT_CRON_LOOP, on_timer)?;
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

/// The process ends: its destructors must not meet a worker that is still at work.
unsafe extern "C" fn on_shutdown(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        let _ = module::change(|module| {
            module.reclaim.stop(true);
            Ok(())
        });
    });
}

unsafe extern "C" fn on_timer(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        module::gate().watch(&unsafe { Context::new(context) });
    });
}

unsafe extern "C" fn on_setting(context: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        module::gate().look(&unsafe { Context::new(context) });
    });
}
