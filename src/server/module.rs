//! The module's state on the server's thread: the current generation and the worker.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;

use super::api::Context;
use super::cluster_reset::ClusterReset;
use super::gate::Gate;
use super::host::LoadHost;
use super::intercept::debug::Reload;
use super::running::{self, Ended, Running};
use super::settings;
use super::totals::Totals;
use crate::clock;
use crate::directory::Directory;
use crate::engine::{self, Dialect};
use crate::error::Error;
use crate::generation::Generation;
use crate::reclaim::{self, Reclaim};
use crate::registry::payload::{self, Rules, Versions};
use crate::registry::shebang;
use crate::watch::{self, Watch};

/// How a flush frees the old generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// On the server's thread, before the command replies.
    Sync,
    /// On the worker's.
    Async,
}

/// What RESTORE does with the libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay; a library of the same name is an error.
    Append,
    /// They stay, but for those of the same names.
    Replace,
}

impl Policy {
    /// The word in the command.
    pub const fn word(self) -> &'static CStr {
        match self {
            Self::Flush => c"FLUSH",
            Self::Append => c"APPEND",
            Self::Replace => c"REPLACE",
        }
    }
}

/// Where a generation that leaves is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freed {
    AsAsked,
    /// On the server's thread, for want of a worker that could take it.
    InPlace,
}

/// The last flush that retired a generation.
#[derive(Clone, Copy, Debug)]
pub struct LastFlush {
    pub mode: FlushMode,
    /// The time that the server's thread was at it, up to the reply, in ticks of the finest clock.
    pub took: u64,
    /// The libraries that went.
    pub libraries: usize,
}

/// What the module is while it is loaded.
///
/// The fields are dropped in this order: the watch before the VMs that it could ring.
pub struct Module {
    pub watch: Watch,
    pub generation: Box<Generation>,
    /// What a load prepares beside the current generation, which stays until it is complete.
    staged: Option<Box<Generation>>,
    pub reclaim: Reclaim,
    pub totals: Totals,
    pub last_flush: Option<LastFlush>,
    pub ended: Ended,
    pub dialect: Dialect,
    /// Whether the log says that the worker is gone.
    worker_missed: bool,
    pub cluster_reset: ClusterReset,
    /// While a file is loaded into the current generation: what the load was told.
    reload: Option<Reload>,
    /// The version of the server's files, once it was asked for.
    rdb_version: Cell<Option<u16>>,
    /// The libraries of `shadow.library-dir`, until they are loaded.
    pub directory: Option<Directory>,
}

impl Module {
    /// Builds the first generation and starts the worker. `directory` is what is to be loaded later.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new(dialect: Dialect, directory: Option<Directory>) -> Result<Self, String> {
        // Finds out here what it reads from now on.
        clock::ticks();
        let generation = Box::new(Generation::new(dialect.clone()).map_err(|error| error.to_string())?);
        configure(&generation);
        let spare_dialect = dialect.clone();
        let capacity = usize::try_from(settings::RECLAIM_QUEUE.get()).unwrap_or(usize::MAX);
        let reclaim = Reclaim::start(capacity, move || Generation::new(spare_dialect.clone()).ok())
            .map_err(|error| format!("the worker thread cannot be started: {error}"))?;
        let watch = Watch::start().map_err(|error| format!("the watch thread cannot be started: {error}"))?;
        watch.set_alarm(Some(generation.alarm()));
        Ok(Self {
            watch,
            generation,
            staged: None,
            reclaim,
            totals: Totals::default(),
            last_flush: None,
            ended: Ended::default(),
            dialect,
            worker_missed: false,
            cluster_reset: ClusterReset::default(),
            reload: None,
            rdb_version: Cell::new(None),
            directory,
        })
    }

    /// Writes down what went wrong in the threads, and does what a worker that is gone has left.
    pub fn attend_threads(&mut self, context: &Context) {
        let faults = [(reclaim::THREAD_NAME, self.reclaim.faults()), (watch::THREAD_NAME, self.watch.faults())];
        for (thread, words) in faults {
            for words in words {
                context.log(c"warning", format!("internal error in the thread {thread}: {words}").as_bytes());
            }
        }
        if !self.reclaim.is_alive() {
            if !std::mem::replace(&mut self.worker_missed, true) {
                let thread = reclaim::THREAD_NAME;
                let line =
                    format!("the thread {thread} has ended: flushes free in place until the server is restarted");
                context.log(c"warning", line.as_bytes());
            }
            self.reclaim.recover();
        }
    }

    /// Counts from 0 again all that only grows.
    pub fn reset_statistics(&self) {
        self.generation.registry().functions().for_each(|function| function.counters.reset());
        self.totals.reset();
        self.ended.reset();
        self.reclaim.reset_freed();
        engine::reset_refusals();
        engine::reset_load_timeouts();
    }

    /// Deletes all libraries: puts a fresh generation in the place of the current one and retires that.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built. Nothing has changed then.
    pub fn flush(&mut self, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().is_empty() {
            return Ok(());
        }
        let began = clock::ticks();
        let fresh = self.fresh()?;
        self.retire(fresh, mode, began);
        Ok(())
    }

    /// An empty generation: the spare, or one built here.
    fn fresh(&mut self) -> Result<Box<Generation>, Error> {
        let fresh = match self.reclaim.take_spare() {
            Some(spare) => spare,
            None => {
                self.totals.spares_missed.count();
                Box::new(Generation::new(self.dialect.clone())?)
            }
        };
        configure(&fresh);
        Ok(fresh)
    }

    /// Runs `body`, and sends the worker what it has retired.
    fn delivering(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        body(self)?;
        self.reclaim.deliver();
        Ok(())
    }

    /// The server empties its own registry with the data, for a `CLUSTER RESET`.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built.
    pub fn follow_reset(&mut self) -> Result<(), Error> {
        self.delivering(|module| module.flush(FlushMode::Async))
    }

    /// A file is going to be loaded: what is in memory goes, unless the file is to be added to it or a generation beside
    /// it is there to take the file.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built.
    pub fn begin_file(&mut self, reload: Reload) -> Result<(), Error> {
        if self.staged.is_some() {
            return Ok(());
        }
        self.reload = Some(reload);
        if reload.keep { Ok(()) } else { self.flush(FlushMode::Async) }
    }

    /// The load has ended. After a failure nothing of the file stays, unless it was to be added to what there was. The
    /// end of a load into a staged generation is told before or after this, by version of the server.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built.
    pub fn end_file(&mut self, complete: bool) -> Result<(), Error> {
        match self.reload.take() {
            Some(reload) if !complete && !reload.keep => self.flush(FlushMode::Async),
            _ => Ok(()),
        }
    }

    /// Loads a library that a file holds: into the staged generation if there is one, else into the current one.
    ///
    /// # Errors
    /// A sentence for the log that names the library.
    pub fn load_from_file(&mut self, context: &Context, code: &[u8]) -> Result<(), Error> {
        let mut host = LoadHost(context);
        let replace = self.reload.is_some_and(|reload| reload.merge);
        let target = self.staged.as_mut().unwrap_or(&mut self.generation);
        let load = |target: &mut Generation| target.load(code, replace, None, &mut host);
        target.without_memory_limit(load).map(drop).map_err(|error| {
            let name = shebang::parse(code, self.dialect.quoting()).map_or_else(|_| "?".into(), |header| header.name);
            Error::new([format!("failed loading library '{name}' from the file: ").as_bytes(), error.text()].concat())
        })
    }

    /// All libraries as a payload.
    pub fn dump(&self, context: &Context) -> Vec<u8> {
        let (rdb_version, compress) = self.payload_form(context);
        self.generation.dump(rdb_version, compress)
    }

    /// The version of the payloads that the server writes, and whether they are compressed.
    pub fn payload_form(&self, context: &Context) -> (u16, bool) {
        let compress = context.setting(c"rdbcompression").is_none_or(|value| value == b"yes");
        (self.rdb_version(context).unwrap_or(payload::OLDEST_VERSION), compress)
    }

    /// Loads the libraries of a payload.
    ///
    /// # Errors
    /// The server's text for what is wrong with the payload, a library in it, or the two together with what is there.
    /// Nothing has changed then.
    pub fn restore(&mut self, context: &Context, payload: &[u8], policy: Policy) -> Result<(), Error> {
        let relaxed = || context.setting(c"rdb-version-check").as_deref() == Some(b"relaxed");
        let versions = match self.rdb_version(context) {
            None => Versions::Relaxed,
            Some(own) if !self.dialect.is_valkey() => Versions::Redis(own),
            Some(own) if relaxed() => Versions::relaxed(own),
            Some(own) => Versions::Valkey(own),
        };
        let (pre_ga, unsealed) = (self.dialect.is_7_0(), self.dialect.takes_unsealed_payloads());
        let records = payload::read(payload, Rules { versions, pre_ga, unsealed })?;
        let mut fresh = if policy == Policy::Flush { Some(self.fresh()?) } else { None };
        let mut host = LoadHost(context);
        let target = fresh.as_mut().unwrap_or(&mut self.generation);
        let replace = policy == Policy::Replace;
        let restored = if context.state().obeys() {
            target.without_memory_limit(|target| target.restore(records, replace, &mut host))
        } else {
            target.restore(records, replace, &mut host)
        };
        match (fresh, restored) {
            (Some(fresh), Ok(())) => {
                self.retire(fresh, FlushMode::Async, clock::ticks());
                Ok(())
            }
            (Some(failed), Err(error)) => {
                let _ = self.discard(failed);
                Err(error)
            }
            (None, restored) => restored,
        }
    }

    /// The version of the server's files, which payloads carry: it stands in a payload of the server's own. None where
    /// FUNCTION was renamed away.
    fn rdb_version(&self, context: &Context) -> Option<u16> {
        if self.rdb_version.get().is_none() {
            self.rdb_version.set(context.own_functions().as_deref().and_then(payload::version));
        }
        self.rdb_version.get()
    }

    /// Begins to prepare a generation beside the current one.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built.
    pub fn stage(&mut self) -> Result<(), Error> {
        self.unstage();
        self.staged = Some(self.fresh()?);
        Ok(())
    }

    /// Puts the prepared generation in the place of the current one.
    pub fn commit_stage(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.retire(staged, FlushMode::Async, clock::ticks());
        }
    }

    /// Gives up the prepared generation.
    pub fn unstage(&mut self) {
        if let Some(staged) = self.staged.take() {
            let _ = self.discard(staged);
        }
    }

    /// The one door through which a generation leaves. `began`: when the flush did, by the finest clock. It is a flush if
    /// there were libraries.
    fn retire(&mut self, fresh: Box<Generation>, mode: FlushMode, began: u64) {
        // The watch lets go of the old VM before anybody can free it.
        self.watch.set_alarm(Some(fresh.alarm()));
        let old = std::mem::replace(&mut self.generation, fresh);
        let libraries = old.registry().library_count();
        let freed = match mode {
            FlushMode::Sync => {
                self.reclaim.prepare();
                drop(old);
                Freed::AsAsked
            }
            FlushMode::Async => self.discard(old),
        };
        if libraries == 0 {
            return;
        }
        self.totals.flushes.count();
        if freed == Freed::InPlace {
            self.totals.flushes_in_place.count();
        }
        self.last_flush = Some(LastFlush { mode, took: clock::ticks().saturating_sub(began), libraries });
    }

    /// Hands a generation to the worker, or frees it here when that cannot take it.
    fn discard(&self, old: Box<Generation>) -> Freed {
        match self.reclaim.retire(old) {
            Ok(()) => Freed::AsAsked,
            Err(old) => {
                drop(old);
                Freed::InPlace
            }
        }
    }
}

/// Gives a new generation what is set now.
fn configure(generation: &Generation) {
    generation.set_memory_limit(memory_limit());
    generation.set_compilation(settings::compilation());
}

/// Bytes that a VM may hold; 0 for no limit.
pub fn memory_limit() -> usize {
    usize::try_from(settings::MEMORY_LIMIT.get()).unwrap_or(usize::MAX)
}

/// The module's state, for the server's thread alone.
struct MainThread {
    module: RefCell<Option<Module>>,
    gate: Gate,
    /// A load began while nothing could be changed. Its libraries are refused.
    unready: Cell<bool>,
    /// Such a load was completed without libraries: what there is does not belong to the data any more.
    stale: Cell<bool>,
}

// SAFETY: everything that reaches the state runs in callbacks of the server, which all run on its main thread (with
// its global lock held). The worker knows nothing of it.
unsafe impl Sync for MainThread {}

static MAIN: MainThread =
    MainThread { module: RefCell::new(None), gate: Gate::new(), unready: Cell::new(false), stale: Cell::new(false) };

const BUSY: &str = "ERR The function registry cannot be changed while one of its functions is running";
const ABSENT: &str = "ERR The shadow module is not loaded";

/// Lends the module's state to `body`, to look at and to call functions. What runs on top of a running function (a
/// command of another module, the server's timer, a fork that saves) may look, too.
///
/// # Errors
/// Those of `body`; and when the state is being changed.
pub fn look<T>(body: impl FnOnce(&Module) -> Result<T, Error>) -> Result<T, Error> {
    match &*MAIN.module.try_borrow().map_err(|_| BUSY)? {
        Some(module) => body(module),
        None => Err(ABSENT.into()),
    }
}

/// Lends the module's state to `body`, to change it.
///
/// # Errors
/// Those of `body`; and while a function is running, whose generation must not go away under it.
pub fn change<T>(body: impl FnOnce(&mut Module) -> Result<T, Error>) -> Result<T, Error> {
    match &mut *MAIN.module.try_borrow_mut().map_err(|_| BUSY)? {
        Some(module) => {
            if MAIN.stale.get() {
                module.flush(FlushMode::Async)?;
                MAIN.stale.set(false);
            }
            body(module)
        }
        None => Err(ABSENT.into()),
    }
}

/// Begins a load by `body`.
///
/// # Errors
/// Those of [`change`]. The function that runs is ended then, the load gets no libraries, and those that are there go as
/// soon as they can.
pub fn begin_load(body: impl FnOnce(&mut Module) -> Result<(), Error>) -> Result<(), Error> {
    let begun = change(|module| module.delivering(body));
    MAIN.unready.set(begun.is_err());
    if begun.is_err() {
        running::with_current(|running| running.map(Running::kill));
    }
    begun
}

/// Changes the state by what a load has read, unless it could not begin.
///
/// # Errors
/// Those of [`change`]; and when the load could not begin.
pub fn change_in_load(body: impl FnOnce(&mut Module) -> Result<(), Error>) -> Result<(), Error> {
    if MAIN.unready.get() { Err(BUSY.into()) } else { change(body) }
}

/// Ends a load by `body`.
///
/// # Errors
/// Those of [`change`].
pub fn end_load(complete: bool, body: impl FnOnce(&mut Module) -> Result<(), Error>) -> Result<(), Error> {
    if MAIN.unready.take() && complete {
        MAIN.stale.set(true);
    }
    change(|module| module.delivering(body))
}

/// Gives the VMs the limit that is set now. Those of a module that is not installed yet get it when they are built.
pub fn limit_memory() {
    each_generation(|generation| generation.set_memory_limit(memory_limit()));
}

/// Has the VMs compile functions as it is set now, likewise.
pub fn set_compilation() {
    each_generation(|generation| generation.set_compilation(settings::compilation()));
}

fn each_generation(body: impl Fn(&Generation)) {
    let _ = look(|module| {
        for generation in [Some(&module.generation), module.staged.as_ref()].into_iter().flatten() {
            body(generation);
        }
        Ok(())
    });
}

/// Puts the module's state in place, or takes it away; what was there is dropped, the worker ended.
///
/// # Panics
/// While the state is lent.
pub fn install(module: Option<Module>) {
    let old = MAIN.module.replace(module);
    drop(old);
}

/// What watches the states in which writes are refused. Apart from the rest: it is asked before a call, and the timer
/// reaches it whatever runs.
pub fn gate() -> &'static Gate {
    &MAIN.gate
}
