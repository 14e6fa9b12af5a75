//! The libraries of the directory `shadow.library-dir`: when they are loaded.
//!
//! Their files are read and tried when the module is loaded, so that a bad one keeps the server from starting before it
//! has done anything. At that time the server has not loaded its own files, in which the libraries may be, in this or
//! another version. So they are loaded when it has: at the end of that, and where there is nothing to load, in the first
//! turn of the event loop, before any client is served. In a server that is running they are loaded with the module.

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

/// Whether the server starts and is to load libraries before it serves anybody.
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

/// Loads the libraries if the server is running, for [`announce`]. Comes before the module registers anything: a server
/// that has taken the module's callbacks does not give them up when the load of the module fails.
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

/// Ends what [`begin`] has begun, when the module's commands are there: tells the replicas what was `loaded`, or has the
/// libraries loaded when the server has started.
pub fn announce(context: &Context, loaded: Option<Vec<u8>>) {
    if let Some(payload) = loaded {
        replicate_restore(context, &payload, Policy::Replace);
    } else if !LIBRARY_DIR.path().is_empty() && is_starting(context) {
        AWAITED.store(true, Ordering::Relaxed);
        // The first turn of the event loop comes before the first client.
        context.soon(load_awaited);
    }
}

/// Whether the server is not running yet. A client asks for the load of a module; there is none while the server starts.
fn is_starting(context: &Context) -> bool {
    let [clients] = context.info(c"clients", [c"connected_clients"]);
    clients.as_deref() == Some(b"0")
}

/// Loads the libraries that the server has not started with yet. When they cannot be loaded it ends, as it does when its
/// own files cannot be: it must not serve without them.
pub fn load_awaited(context: &Context) {
    if !AWAITED.swap(false, Ordering::Relaxed) {
        return;
    }
    let loaded = context.guarded(|| {
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
        // What the server had on disk when it started is what it must find there the next time.
        process::end_at_once(1);
    }
}

/// Loads the libraries that are not there just so, all or none, unless that was done before. Returns the payload of a
/// RESTORE REPLACE that does the same. None when nothing had to be loaded: on a replica, whose libraries are its master's,
/// nothing ever has.
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
    directory.check_beside(module.generation().registry()).map_err(Error::new)?;
    let changes = directory.changes(module.generation().registry());
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
