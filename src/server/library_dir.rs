//! The libraries of the directory `shadow.library-dir`: when they are loaded.
//!
//! The files are read and checked when the module is loaded, so that a bad one keeps the server from starting. At that
//! time the server has not loaded its own files, which may hold the libraries in this or another version. So the
//! libraries are loaded after that: at the end of the load, or in the first turn of the event loop if there is nothing
//! to load. No client is served before. In a running server they are loaded together with the module.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::api::Context;
use super::commands::replicate_restore;
use super::module::{Module, Policy};
use super::settings::LIBRARY_DIR;
use super::{cluster, module};
use crate::directory::Directory;
use crate::engine::Dialect;
use crate::error::Error;
use crate::process;
use crate::registry::payload;

/// Whether the server is starting and has libraries to load before it serves a client.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// Reads the directory, if one is set.
///
/// # Errors
/// A sentence for the log that names the file.
pub fn read(dialect: &Dialect) -> Result<Option<Directory>, String> {
    let path = LIBRARY_DIR.path();
    if path.is_empty() {
        return Ok(None);
    }
    Directory::read(Path::new(OsStr::from_bytes(&path)), dialect, module::memory_limit()).map(Some)
}

/// Loads the libraries if the server is running. Returns the payload for [`announce`], if there is anything to
/// announce. Called before the module registers anything: a server keeps the module's callbacks even when the module's
/// load fails.
///
/// # Errors
/// A sentence for the log.
pub fn begin(context: &Context) -> Result<Option<Vec<u8>>, String> {
    if LIBRARY_DIR.path().is_empty() || is_starting(context) {
        return Ok(None);
    }
    if context.writes_are_paused() {
        return Err("the libraries of 'shadow.library-dir' cannot be loaded while writes are paused".to_owned());
    }
    module::write(context).and_then(|mut module| load(&mut module, context)).map_err(|error| error.to_string())
}

/// Completes [`begin`] once the module's commands are registered: replicates what was `loaded`, or arranges that the
/// libraries are loaded when the server has started.
pub fn announce(context: &Context, loaded: Option<Vec<u8>>) {
    if let Some(payload) = loaded {
        replicate_restore(context, &payload, Policy::Replace);
    } else if !LIBRARY_DIR.path().is_empty() && is_starting(context) {
        AWAITED.store(true, Ordering::Relaxed);
        // The first turn of the event loop comes before the first client.
        context.soon(load_awaited);
    }
}

/// Whether the server is starting: it has no clients then. In a running server a client loads the module.
fn is_starting(context: &Context) -> bool {
    let [clients] = context.info(c"clients", [c"connected_clients"]);
    clients.as_deref() == Some(b"0")
}

/// Loads the libraries that a starting server waits for. If they cannot be loaded the process ends, as it does when the
/// server's own files cannot be loaded: it must not serve without them.
pub fn load_awaited(context: &Context) {
    if !AWAITED.swap(false, Ordering::Relaxed) {
        return;
    }
    let loaded = context.guarded(|| {
        // Apart, for the state is not to be borrowed while the server replicates.
        let payload = load(&mut *module::write(context)?, context)?;
        if let Some(payload) = payload {
            replicate_restore(context, &payload, Policy::Replace);
        }
        Ok::<(), Error>(())
    });
    if let Some(Err(error)) = &loaded {
        context.log(c"warning", error.text());
    }
    if !matches!(loaded, Some(Ok(()))) {
        context.log(c"warning", b"the server ends: it must not serve without the libraries of 'shadow.library-dir'");
        // An orderly exit is not wanted: other threads are at work, and the server's files must stay as they were when
        // it started.
        process::end_at_once(1);
    }
}

/// Loads those libraries that are missing or differ, all or none, and only the first time. Returns the payload of a
/// RESTORE REPLACE that does the same; None if nothing had to be loaded. A replica loads none: its libraries are its
/// master's.
///
/// # Errors
/// A sentence for the log. Nothing has changed then.
fn load(module: &mut Module, context: &Context) -> Result<Option<Vec<u8>>, Error> {
    let Some(directory) = module.directory.take() else { return Ok(None) };
    let path = directory.path();
    if cluster::is_replica(context) {
        let line = format!("the libraries of '{path}' are not loaded: those of a replica come from its master");
        context.log(c"notice", line.as_bytes());
        return Ok(None);
    }
    directory.check_beside(module.functions.generation().registry()).map_err(Error::new)?;
    let changes = directory.changes(module.functions.generation().registry());
    let count = directory.library_count();
    if changes.is_empty() {
        let line = format!("of the {count} libraries of '{path}' none had to be loaded");
        context.log(c"notice", line.as_bytes());
        return Ok(None);
    }
    let (rdb_version, compress) = module.payload_form.written(context);
    let payload = payload::write(changes.iter().map(|&(_, code)| code), rdb_version, compress);
    module.restore(context, &payload, Policy::Replace).map_err(|error| {
        Error::new([format!("failed loading the libraries of '{path}': ").as_bytes(), error.text()].concat())
    })?;
    let names: Vec<&str> = changes.iter().map(|&(name, _)| name).collect();
    let line = format!("of the {count} libraries of '{path}' were loaded: {}", names.join(", "));
    context.log(c"notice", line.as_bytes());
    Ok(Some(payload))
}
