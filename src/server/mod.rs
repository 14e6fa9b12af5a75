//! Everything that speaks the server's module API.

mod allocator;
mod api;
mod busy;
mod cluster;
mod cluster_reset;
mod command_keys;
mod commands;
mod declared_keys;
mod deploys;
mod events;
mod excerpt;
mod figures;
mod followed;
mod gate;
mod host;
mod info;
mod intercept;
mod kept_scripts;
mod library_dir;
mod listeners;
mod load_host;
mod main_thread;
mod metrics;
mod module;
mod named;
mod pace;
mod payload_form;
mod persistence;
mod profile;
mod refusal;
mod reply;
mod rewrite;
mod running;
mod settings;
mod slow_log;
mod stock;
mod totals;

use std::ffi::c_int;

use crate::engine::{self, Dialect};
use api::entry::entry_points;
use api::{Arguments, Context};
#[doc(hidden)] // For the proofs in their documentation.
pub use api::{FilteredCommand, ServerString};
use intercept::Scope;
use module::Module;

/// The module's version as the API wants it: major * 10000 + minor * 100 + patch.
const VERSION: c_int = 100;

/// The oldest server that has what the module needs: subcommands of modules, script mode of `RM_Call`.
const OLDEST_SERVER: u32 = 7 << 16;

entry_points!(c"shadow", VERSION, load, unload);

/// Registers everything and starts the worker. A failed load leaves nothing behind.
fn load(context: &Context, arguments: Arguments) -> bool {
    match start(context, arguments) {
        Ok(()) => true,
        Err(reason) => {
            context.log(c"warning", reason.as_bytes());
            module::install(None);
            settings::reset();
            false
        }
    }
}

/// Ends the worker and frees what it and the module hold.
fn unload(context: &Context) {
    intercept::remove(context);
    module::install(None);
    settings::reset();
}

/// # Errors
/// A sentence for the log.
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
    allocator::learn_rounding();
    engine::fit_nesting_to_stack();
    settings::load(context, arguments)?;
    let dialect = dialect(context, version);
    let directory = library_dir::read(&dialect)?;
    let queue = settings::RECLAIM_QUEUE.get();
    module::install(Some(Module::new(
        context,
        dialect.clone(),
        directory,
        usize::try_from(queue).unwrap_or(usize::MAX),
    )?));
    module::read()?.followed.refresh(context);
    let loaded = library_dir::begin(context)?;
    commands::register(context, &dialect)?;
    persistence::register(context)?;
    events::subscribe(context, &dialect).map_err(|_| "the server refused the subscription to its events")?;
    api::info::register::<info::Sections>(context).map_err(|_| "the server refused the section of INFO")?;
    if settings::INTERCEPT.is_on() {
        let scope = Scope::from_bits_truncate(settings::INTERCEPT.get() as i64);
        intercept::install(context, dialect, scope, commands::registered())?;
    }
    allocator::prepare(context);
    library_dir::announce(context, loaded);
    Ok(())
}

/// The dialect of the server. `number` is its version by the API, which on Valkey is Valkey's own.
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
