//! How the load of a data file changes the libraries, and the scripts where they are kept in files.
//!
//! The server announces when a load begins and how it ends, and asks for the libraries in between. Two kinds of loads
//! are announced. A file is loaded ([`begin`], [`end`]): it takes the place of what is in memory. A replica loads
//! beside what it serves ([`stage`], [`commit`], [`abort`]): its libraries go into a generation of their own, which
//! becomes the current one when the load is complete. The server announces the file within that load as well; its end
//! comes before or after that of the load, depending on the server's version.
//!
//! A load can begin while a function runs and nothing can be changed. Then the function is killed and the libraries of
//! the load are refused. Those in memory do not belong to the data any more once such a load is complete: they are
//! flushed before anything else changes.
//!
//! Scripts that are kept go the way of the libraries. Where they are not, the cache is the server's own and stays, and
//! those of a file are added to it.

use std::cell::Cell;

use super::super::api::Context;
use super::super::deploys::Author;
use super::super::main_thread::MainThread;
use super::super::running;
use super::{BUSY, FlushMode, Module, fill, follow_script, keeps_scripts, write};
use crate::error::Error;
use crate::registry::{Label, Origin, shebang};

/// What `DEBUG RELOAD` was told about the libraries in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// They stay (NOFLUSH).
    pub keep: bool,
    /// A library of the file takes the place of the one of the same name (MERGE).
    pub merge: bool,
}

/// The load that is going on.
#[derive(Default)]
pub(super) struct Loading {
    /// What the load of a file into the current generation was told.
    reload: Option<Reload>,
}

/// What a file holds for the module.
#[derive(Debug, Default)]
pub struct Sources {
    /// Those of the libraries.
    pub libraries: Vec<Vec<u8>>,
    /// The deploy that has brought them, if one has.
    pub author: Option<(Label, Author)>,
    /// The scripts, the least recently used first.
    pub scripts: Vec<(Origin, Vec<u8>)>,
}

/// A load began while nothing could be changed. Apart from the module's state, which is borrowed then.
static UNREADY: MainThread<Cell<bool>> = MainThread::new(Cell::new(false));

/// Such a load was completed.
static STALE: MainThread<Cell<bool>> = MainThread::new(Cell::new(false));

/// A file is about to be loaded. Its field for libraries may be missing (there were none), so what is in memory goes
/// now and not when the field is read, unless the file is to be added to it or loaded beside it.
///
/// # Errors
/// When nothing can be changed or no VM can be built.
pub fn begin(context: &Context, reload: Reload) -> Result<(), Error> {
    begin_by(context, |module| {
        if module.functions.is_staged() {
            return Ok(());
        }
        module.loading.reload = Some(reload);
        if reload.keep { Ok(()) } else { flush(module, context) }
    })
}

/// Flushes what a file replaces.
fn flush(module: &mut Module, context: &Context) -> Result<(), Error> {
    module.flush(context, FlushMode::Async)?;
    if keeps_scripts() { module.flush_scripts(context, FlushMode::Async) } else { Ok(()) }
}

/// A replica is about to load beside what it has.
///
/// # Errors
/// Those of [`begin`].
pub fn stage(context: &Context) -> Result<(), Error> {
    begin_by(context, |module| {
        module.functions.stage(&module.threads, context)?;
        if keeps_scripts() { module.scripts.stage(&module.threads, context) } else { Ok(()) }
    })
}

fn begin_by(context: &Context, body: impl FnOnce(&mut Module) -> Result<(), Error>) -> Result<(), Error> {
    let begun = write(context).and_then(|mut module| {
        body(&mut module)?;
        // The event loop does not turn before the load has ended.
        module.threads.reclaim.deliver();
        Ok(())
    });
    UNREADY.set(begun.is_err());
    if begun.is_err() {
        running::with_current(|running| running.map(running::Running::kill));
    }
    begun
}

/// Loads what a file holds, in its order. A script that cannot be loaded is reported and stays as a text.
///
/// # Errors
/// A sentence for the log that names the library; and when the load could not begin.
pub fn load(context: &Context, sources: Sources) -> Result<(), Error> {
    if UNREADY.get() {
        return Err(BUSY.into());
    }
    let module = &mut *write(context)?;
    let replace = module.loading.reload.is_some_and(|reload| reload.merge);
    let is_all = !module.loading.reload.is_some_and(|reload| reload.keep);
    let target = module.functions.loaded();
    for code in &sources.libraries {
        let loaded = fill(target, context, true, |target, host| target.load(code, replace, None, host));
        loaded.map_err(|error| {
            let header = shebang::parse(code, module.dialect.quoting());
            let name = header.map_or_else(|_| "?".into(), |header| header.name);
            Error::new([format!("failed loading library '{name}' from the file: ").as_bytes(), error.text()].concat())
        })?;
    }
    if let Some((label, author)) = sources.author.filter(|_| is_all) {
        let hash = target.registry().hash();
        target.set_release(author.release(label, hash));
    }
    let target = module.scripts.loaded();
    for (origin, code) in &sources.scripts {
        follow_script(target, context, code, *origin);
    }
    Ok(())
}

/// The load of a file has ended. After a failure no library of the file stays, unless it was to be added.
///
/// # Errors
/// Those of [`begin`].
pub fn end(context: &Context, complete: bool) -> Result<(), Error> {
    note_end(complete);
    let module = &mut *write(context)?;
    match module.loading.reload.take() {
        Some(reload) if !complete && !reload.keep => flush(module, context),
        _ => {
            module.functions.expect_flush(&module.threads, context);
            module.scripts.expect_flush(&module.threads, context);
            Ok(())
        }
    }
}

/// A load beside what there is has been completed: what it has loaded takes the place of that.
///
/// # Errors
/// Those of [`begin`].
pub fn commit(context: &Context) -> Result<(), Error> {
    note_end(true);
    let module = &mut *write(context)?;
    module.functions.commit_staged(&module.threads, context);
    module.scripts.commit_staged(&module.threads, context);
    module.evicted.clear();
    Ok(())
}

/// A load beside what there is has failed.
///
/// # Errors
/// Those of [`begin`].
pub fn abort(context: &Context) -> Result<(), Error> {
    note_end(false);
    let module = &mut *write(context)?;
    module.functions.discard_staged(&module.threads, context);
    module.scripts.discard_staged(&module.threads, context);
    Ok(())
}

fn note_end(complete: bool) {
    if UNREADY.take() && complete {
        STALE.set(true);
    }
}

/// Flushes libraries and scripts that do not belong to the data any more.
///
/// # Errors
/// When no VM can be built.
pub(super) fn flush_stale(module: &mut Module, context: &Context) -> Result<(), Error> {
    if STALE.get() {
        flush(module, context)?;
        STALE.set(false);
    }
    Ok(())
}
