//! What the module does at the server's events.

use std::time::Instant;

use super::api::events::{self, Event, File, Subscriber};
use super::api::{Context, Options, Refused, log};
use super::intercept::debug;
use super::module::loading::{self, Reload};
use super::module::{self, FlushMode, Module};
use super::pace::Beat;
use super::{deploys, kept_scripts, library_dir, rewrite};
use crate::engine::Dialect;
use crate::error::Error;
use crate::reclaim;

/// Subscribes to the events, and says which of the server's features the module can live with.
///
/// # Errors
/// When the server does not know an event that every supported one has.
pub fn subscribe(context: &Context, dialect: &Dialect) -> Result<(), Refused> {
    let mut options = Options::HANDLE_IO_ERRORS | Options::HANDLE_ASYNC_LOAD;
    if dialect.is_valkey() {
        // The module keeps nothing by slot.
        options |= Options::HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    context.set_options(options);
    events::subscribe::<Follower>(context)
}

struct Follower;

impl Subscriber for Follower {
    fn on(context: &Context, event: Event) {
        match event {
            Event::Shutdown => report(stop_worker(context)),
            Event::Tick => on_tick(context),
            Event::LoadBegins(file) => {
                let reload = if file == File::Rdb { debug::take_reload() } else { Reload::default() };
                report(loading::begin(context, reload));
            }
            Event::LoadEnds { complete } => {
                report(loading::end(context, complete));
                if complete {
                    library_dir::load_awaited(context);
                }
            }
            // What the replica has stays until the load is complete. The server goes on serving it only if both are of
            // one history (its flag for asynchronous loading says so).
            Event::AsyncLoadBegins => report(loading::stage(context)),
            Event::AsyncLoadEnds { complete: true } => report(loading::commit(context)),
            Event::AsyncLoadEnds { complete: false } => report(loading::abort(context)),
            Event::AofBegins => rewrite::begin(),
            Event::FileEnds => rewrite::complete(context),
            Event::RoleChanged { is_master } => report(module::read().map(|module| {
                module.listeners.doubt();
                if is_master {
                    module.cluster_reset.note_promotion(context);
                }
            })),
            Event::Forked => report(module::read().map(|module| module.listeners.doubt())),
            Event::FlushAll => report(follow_reset(context)),
            // A module may bring commands, or take them away.
            Event::ModulesChanged => {
                if let Ok(module) = module::read() {
                    module.command_keys.forget();
                }
            }
            Event::SettingChanged => {
                if let Ok(module) = module::read() {
                    module.gate.doubt();
                    module.followed.refresh(context);
                }
            }
        }
    }
}

/// Destructors that run at the end of the process must not meet a worker that is still at work. A function may be
/// running, because other clients can end the server meanwhile.
fn stop_worker(context: &Context) -> Result<(), Error> {
    let module = module::read()?;
    module.deploys.give_up();
    module.threads.reclaim.stop(true);
    context.log(c"verbose", format!("the thread {} is at rest", reclaim::THREAD_NAME).as_bytes());
    Ok(())
}

fn on_tick(context: &Context) {
    if let Ok(module) = module::read()
        && let Some(beat) = module.pace.beat(module.threads.watch.calls(), Instant::now())
    {
        follow_beat(context, &module, beat);
    }
    // Refused while a function is running; the next tick comes.
    if let Ok(mut module) = module::write(context) {
        module.attend_threads(context);
        module.trim_versions(context);
    }
    deploys::attend(context);
    kept_scripts::attend(context);
}

/// What is done ten times a second.
fn follow_beat(context: &Context, module: &Module, beat: Beat) {
    module.gate.doubt();
    if beat.is_at_rest() {
        module.threads.watch.rest();
    }
    // It does not announce that a setting was changed, and it is slow to say whether it takes writes.
    if module.dialect.is_7_0() {
        if !beat.is_at_rest() {
            module.gate.probe(context);
        }
        if beat != Beat::Rest {
            module.followed.refresh(context);
        }
    }
}

/// The server empties its own registry with the data at a `CLUSTER RESET`.
fn follow_reset(context: &Context) -> Result<(), Error> {
    if module::read().is_ok_and(|module| module.cluster_reset.is_it(context)) {
        module::write(context)?.flush(context, FlushMode::Async)?;
    }
    Ok(())
}

/// Logs an error that nobody waits for.
fn report(result: Result<(), impl Into<Error>>) {
    if let Err(error) = result {
        log(c"warning", error.into().text());
    }
}
