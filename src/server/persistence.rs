//! Libraries and kept scripts in snapshots.
//!
//! A data type of the module, which no key ever has, brings a field of its own to the RDB file: the sources of the
//! libraries, and after them the scripts if any are kept, before the keys. The same field is what a replica gets in a
//! full synchronisation, and it is in the preamble of a rewritten append-only file.

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use super::api::rdb::{self, Field, Reader, Writer};
use super::api::{Context, Refused, State, guarded};
use super::deploys::Author;
use super::module::loading::{self, Sources};
use super::{kept_scripts, module, rewrite};
use crate::error::Error;
use crate::registry::{Origin, Release};

/// The field: the number of libraries, then the source of each. If [`HAS_RELEASE`] is added to that number, there
/// follows the deploy that has brought them: its label as it is shown, its time, client and user. If [`HAS_SCRIPTS`] is
/// added, there follows the number of scripts, then for each how it came to the cache and its text.
///
/// The server knows one version for all fields that the module writes. It stays the one that versions without scripts
/// and deploys read, so that they read every file that holds none. One that does is refused by them: for them, it ends
/// too early.
struct Libraries;

/// Added to the number of libraries where scripts follow.
const HAS_SCRIPTS: u64 = 1 << 63;

/// Added to it where they came by a deploy.
const HAS_RELEASE: u64 = 1 << 62;

/// How a script came to the cache, as numbers.
const BY_LOAD: u64 = 0;
const BY_EVAL: u64 = 1;

impl Field for Libraries {
    const TYPE_NAME: &'static CStr = c"shadow-fn";
    const VERSION: c_int = 1;

    /// A file that cannot hold the libraries must not take the place of one that does. So the process that writes it
    /// fails, as one that rewrites an append-only file does. Where that is the server itself (SAVE) there is no way to
    /// fail, and all that remains is a line in the log.
    fn save(file: &Writer, omittable: bool) {
        let written = guarded(|| write(file, omittable));
        let reason = match written {
            Some(Ok(())) => return,
            Some(Err(error)) => error,
            None => Error::new("an internal error of the module"),
        };
        let context = file.context();
        context.log(c"warning", &[b"libraries are missing from the file: ", reason.text()].concat());
        if context.state().contains(State::IS_CHILD) {
            rewrite::fail();
        }
    }

    fn load(file: &Reader, version: c_int) -> Result<(), Refused> {
        read(file, version).map_err(|error| {
            file.context().log(c"warning", error.text());
            Refused
        })
    }
}

/// Registers the data type.
///
/// # Errors
/// A sentence for the log.
pub fn register(context: &Context) -> Result<(), String> {
    rdb::register::<Libraries>(context).map_err(|_| "the server refused the data type shadow-fn".to_owned())
}

/// Whether writing the next field panics, for the tests.
static PANICS: AtomicBool = AtomicBool::new(false);

/// Makes the process that writes the next field panic.
pub fn panic_at_next_save() {
    PANICS.store(true, Ordering::Relaxed);
}

/// Writes the field. Runs in the process that writes the file, often a fork: no lock of the worker is touched.
fn write(file: &Writer, omittable: bool) -> Result<(), Error> {
    rewrite::note_snapshot();
    assert!(!PANICS.swap(false, Ordering::Relaxed), "a panic of the process that saves was asked for");
    let module = module::read()?;
    let registry = module.functions.generation().registry();
    let scripts = kept_scripts::in_files(&module);
    if omittable && registry.is_empty() && scripts.is_empty() {
        return Ok(());
    }
    let mark = |given: bool, bit: u64| if given { bit } else { 0 };
    let marks = mark(!scripts.is_empty(), HAS_SCRIPTS) | mark(registry.release().is_some(), HAS_RELEASE);
    file.unsigned(registry.library_count() as u64 | marks);
    for library in registry.libraries() {
        file.bytes(&library.code);
    }
    if let Some(release) = registry.release() {
        file.bytes(release.shown().as_bytes());
        file.unsigned(release.time);
        file.bytes(&release.client);
        file.bytes(&release.user);
    }
    if !scripts.is_empty() {
        file.unsigned(scripts.len() as u64);
    }
    for script in scripts {
        file.unsigned(match script.origin() {
            Origin::Load => BY_LOAD,
            Origin::Eval => BY_EVAL,
        });
        file.bytes(&script.code);
    }
    Ok(())
}

/// Reads the field and loads what it holds.
fn read(file: &Reader, version: c_int) -> Result<(), Error> {
    let newest = Libraries::VERSION;
    if version > newest {
        return Err(Error::new(format!(
            "the file holds libraries in format {version}, and this version of the module reads formats up to \
             {newest}: load a newer version of the module"
        )));
    }
    let sources = read_sources(file)?;
    loading::load(&file.context(), sources)
}

fn read_sources(file: &Reader) -> Result<Sources, Error> {
    let mut sources = Sources::default();
    let libraries = || -> Result<_, Refused> {
        let count = file.unsigned()?;
        let libraries =
            (0..count & !(HAS_SCRIPTS | HAS_RELEASE)).map(|_| file.bytes()).collect::<Result<Vec<_>, _>>()?;
        let release = || Ok((file.bytes()?, file.unsigned()?, file.bytes()?, file.bytes()?));
        let release = if count & HAS_RELEASE != 0 { Some(release()?) } else { None };
        Ok((libraries, release, count & HAS_SCRIPTS != 0))
    };
    let (release, has_scripts);
    (sources.libraries, release, has_scripts) = libraries().map_err(|_| "the libraries in the file are cut short")?;
    if let Some((shown, time, client, user)) = release {
        let (label, changed) = Release::read_shown(&shown)?;
        let (client, user) = (client.into(), user.into());
        sources.author = Some((label, Author { time, client, user, changed }));
    }
    if has_scripts {
        let scripts = || -> Result<_, Refused> {
            let count = file.unsigned()?;
            (0..count).map(|_| Ok((file.unsigned()?, file.bytes()?))).collect::<Result<Vec<_>, _>>()
        };
        let scripts = scripts().map_err(|_| "the scripts in the file are cut short")?;
        let by = |(origin, code)| (if origin == BY_LOAD { Origin::Load } else { Origin::Eval }, code);
        sources.scripts = scripts.into_iter().map(by).collect();
    }
    Ok(sources)
}
