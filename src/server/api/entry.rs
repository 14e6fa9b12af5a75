//! The entry points of the module.

use std::ffi::{CStr, c_int};

use redis_module::raw;

use super::{Arguments, Context, checked};

/// Defines the functions that the server calls to load and to unload the module.
///
/// `load: fn(&Context, Arguments) -> bool` says whether the module is loaded; `unload: fn(&Context)`. `version` is
/// major * 10000 + minor * 100 + patch.
macro_rules! entry_points {
    ($name:expr, $version:expr, $load:path, $unload:path) => {
        /// The module's entry point.
        ///
        /// # Safety
        /// Called by the server, with its arguments.
        #[allow(unsafe_code, reason = "is called by the server")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn RedisModule_OnLoad(
            context: *mut redis_module::raw::RedisModuleCtx,
            argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::ffi::c_int,
        ) -> std::ffi::c_int {
            // SAFETY: the server calls this first, before anything of ours has run or allocated.
            unsafe { $crate::server::api::entry::load(context, argv, argc, $name, $version, $load) }
        }

        /// Called before the module is unloaded.
        ///
        /// # Safety
        /// Called by the server.
        #[allow(unsafe_code, reason = "is called by the server")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn RedisModule_OnUnload(
            context: *mut redis_module::raw::RedisModuleCtx,
        ) -> std::ffi::c_int {
            // SAFETY: the server's context.
            unsafe { $crate::server::api::entry::unload(context, $unload) }
        }
    };
}
pub(in crate::server) use entry_points;

/// Registers the module under its name, fills the API's pointers, and runs `body`.
///
/// # Safety
/// Called first thing from the module's entry point, with what the server gave it.
pub unsafe fn load(
    context: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
    name: &CStr,
    version: c_int,
    body: fn(&Context, Arguments) -> bool,
) -> c_int {
    // SAFETY: the caller's promise. The context and the arguments live until the entry point returns.
    let loaded = unsafe {
        let status = raw::Export_RedisModule_Init(context, name.as_ptr(), version, raw::REDISMODULE_APIVER_1 as c_int);
        let (context, arguments) = (Context::new(context), Arguments::new(argv, argc));
        checked(status).is_ok() && context.guarded(|| body(&context, arguments)) == Some(true)
    };
    (if loaded { raw::REDISMODULE_OK } else { raw::REDISMODULE_ERR }) as c_int
}

/// Runs `body`.
///
/// # Safety
/// `context` is what the server gave the entry point.
pub unsafe fn unload(context: *mut raw::RedisModuleCtx, body: fn(&Context)) -> c_int {
    // SAFETY: the caller's promise.
    let context = unsafe { Context::new(context) };
    context.guarded(|| body(&context));
    raw::REDISMODULE_OK as c_int
}
