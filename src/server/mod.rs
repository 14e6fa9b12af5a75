//! Everything that speaks the server's module API.

mod allocator;
mod api;
mod cluster;
mod cluster_reset;
mod commands;
mod events;
mod gate;
mod guard;
mod host;
mod info;
mod intercept;
mod library_dir;
mod main_thread;
mod module;
mod path_setting;
mod payload_form;
mod permission;
mod persistence;
mod refusal;
mod reply;
mod rewrite;
mod running;
mod settings;
mod totals;
mod variadic;

use std::ffi::c_int;

use redis_module::raw;

use crate::engine::{self, Dialect};
use api::{Arguments, Context, api, checked};
use module::Module;

/// The module's version as the API wants it: major * 10000 + minor * 100 + patch.
const VERSION: c_int = 100;

/// The oldest server that has what the module needs: subcommands of modules, script mode of `RM_Call`.
const OLDEST_SERVER: u32 = 7 << 16;

/// The module's entry point: registers everything and starts the worker. A failed load leaves nothing behind.
///
/// # Safety
/// Called by the server, with its arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    context: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: this is the entry point, and nothing has run before it. No memory is allocated yet.
    if unsafe { api::init(context, c"shadow", VERSION) }.is_err() {
        return raw::REDISMODULE_ERR as c_int;
    }
    let loaded = guard::callback(context, || {
        // SAFETY: the server's context and arguments, alive until this function returns.
        let (context, arguments) = unsafe { (Context::new(context), Arguments::new(argv, argc)) };
        match start(&context, arguments) {
            Ok(()) => true,
            Err(reason) => {
                context.log(c"warning", reason.as_bytes());
                module::install(None);
                false
            }
        }
    });
    (if loaded == Some(true) { raw::REDISMODULE_OK } else { raw::REDISMODULE_ERR }) as c_int
}

/// Called before the module is unloaded: ends the worker and frees what it and the module hold.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnUnload(context: *mut raw::RedisModuleCtx) -> c_int {
    guard::callback(context, || {
        // SAFETY: the context of the callback that is running.
        intercept::remove(&unsafe { Context::new(context) });
        module::install(None);
    });
    raw::REDISMODULE_OK as c_int
}

fn start(context: &Context, arguments: Arguments) -> Result<(), String> {
    let version = api::server_version();
    if version < OLDEST_SERVER {
        let [major, minor, patch] = [version >> 16, version >> 8 & 0xFF, version & 0xFF];
        return Err(format!(
            "Shadow Functions needs Redis 7.0 or newer, or Valkey; this server is {major}.{minor}.{patch}"
        ));
    }
    if !allocator::is_as_expected() {
        return Err(
            "Shadow Functions needs a server whose memory is aligned to 16 bytes, as that of jemalloc is".into()
        );
    }
    engine::fit_nesting_to_stack();
    settings::load(context, arguments)?;
    let dialect = dialect(context, version);
    let directory = library_dir::read(&dialect)?;
    module::install(Some(Module::new(dialect.clone(), directory)?));
    let loaded = library_dir::begin(context)?;
    commands::register(context, &dialect)?;
    persistence::register(context)?;
    events::subscribe(context, &dialect).map_err(|_| "the server refused the subscription to its events")?;
    // SAFETY: the context is that of the entry point.
    unsafe { checked(api!(RedisModule_RegisterInfoFunc)(context.raw(), Some(info::report))) }
        .map_err(|_| "the server refused the section of INFO")?;
    if settings::INTERCEPT.is_on() {
        intercept::install(context, dialect, commands::registered())?;
    }
    allocator::prepare(context);
    library_dir::announce(context, loaded);
    Ok(())
}

/// The dialect of the server. `number` is the API's version of it, which on Valkey is Valkey's own.
fn dialect(context: &Context, number: u32) -> Dialect {
    let fields = context.info(c"server", [c"redis_version", c"server_name", c"valkey_version"]);
    let [redis, name, own] = fields.map(|text| text.and_then(|text| String::from_utf8(text).ok()));
    let of_the_api = || format!("{}.{}.{}", number >> 16, number >> 8 & 0xFF, number & 0xFF);
    let redis = redis.unwrap_or_else(of_the_api);
    if name.as_deref() == Some("valkey") {
        Dialect::valkey(&redis, &own.unwrap_or_else(of_the_api))
    } else {
        Dialect::redis(&redis)
    }
}
