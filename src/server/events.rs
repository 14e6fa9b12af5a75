//! What the module does at the server's events.

use super::api::events::{self, Event, File, Subscriber};
use super::api::{Context, Options, Refused, log};
use super::intercept::debug::{self, Reload};
use super::module::{self, Module};
use super::{library_dir, rewrite};
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
            Event::LoadBegins(file) => report(begin_load(file)),
            Event::LoadEnds { complete } => {
                report(module::end_load(complete, |module| module.end_file(complete)));
                if complete {
                    library_dir::load_awaited(context);
                }
            }
            // What the replica has stays until the load is complete. The server goes on serving it only if both are of
            // one history (its flag for asynchronous loading says so).
            Event::AsyncLoadBegins => report(module::begin_load(Module::stage)),
            Event::AsyncLoadEnds { complete } => report(end_staged(complete)),
            Event::AofBegins => rewrite::begin(),
            Event::FileEnds => rewrite::complete(context),
            Event::Promoted => report(note_promotion(context)),
            Event::FlushAll => report(follow_reset(context)),
            Event::SettingChanged => module::gate().probe(context),
        }
    }
}

/// Destructors that run at the end of the process must not meet a worker that is still at work. A function may be
/// running, because other clients can end the server meanwhile.
fn stop_worker(context: &Context) -> Result<(), Error> {
    module::look(|module| {
        module.reclaim.stop(true);
        let line = format!("the thread {} is at rest", reclaim::THREAD_NAME);
        context.log(c"verbose", line.as_bytes());
        Ok(())
    })
}

fn on_tick(context: &Context) {
    module::gate().probe_when_due(context);
    // Refused while a function is running; the next tick comes.
    let _ = module::change(|module| {
        module.attend_threads(context);
        Ok(())
    });
}

/// A file without libraries has no field for them. So what is in memory goes when the load begins, not when the field
/// is read. A load into a staged generation leaves it until the load is complete.
fn begin_load(file: File) -> Result<(), Error> {
    let reload = if file == File::Rdb { debug::take_reload() } else { Reload::default() };
    module::begin_load(|module| module.begin_file(reload))
}

fn end_staged(complete: bool) -> Result<(), Error> {
    module::end_load(complete, |module| {
        if complete {
            module.commit_stage();
        } else {
            module.unstage();
        }
        Ok(())
    })
}

fn note_promotion(context: &Context) -> Result<(), Error> {
    module::look(|module| {
        module.cluster_reset.note_promotion(context);
        Ok(())
    })
}

fn follow_reset(context: &Context) -> Result<(), Error> {
    if module::look(|module| Ok(module.cluster_reset.is_it(context))).unwrap_or(false) {
        module::change(Module::follow_reset)?;
    }
    Ok(())
}

/// Sends the worker what a flush has left for it.
pub fn deliver(_: &Context) {
    let _ = module::look(|module| {
        module.reclaim.deliver();
        Ok(())
    });
}

/// Logs an error that nobody waits for.
fn report(result: Result<(), Error>) {
    if let Err(error) = result {
        log(c"warning", error.text());
    }
}
