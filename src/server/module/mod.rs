//! The module's state on the server's main thread: the current generation and what works for it.

pub mod loading;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ffi::CStr;

use super::api::Context;
use super::cluster_reset::ClusterReset;
use super::gate::Gate;
use super::load_host::LoadHost;
use super::main_thread::MainThread;
use super::payload_form::PayloadForm;
use super::totals::Totals;
use crate::clock::{self, Ticks};
use crate::directory::Directory;
use crate::engine::{self, Dialect, Host, LOAD_LIMIT};
use crate::error::Error;
use crate::generation::{Compilation, Generation};
use crate::reclaim::{self, Reclaim};
use crate::registry::payload;
use crate::watch::{self, Watch};
use loading::Loading;

/// Where a flush frees the old generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// On the main thread, before the command replies.
    Sync,
    /// On the worker.
    Async,
}

/// What RESTORE does with the libraries that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay; a library of the same name is an error.
    Append,
    /// They stay, except those of the same names.
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
    /// On the main thread, for want of a worker that could take it.
    InPlace,
}

/// The last flush that retired a generation.
#[derive(Clone, Copy, Debug)]
pub struct LastFlush {
    /// What the flush was asked for.
    pub mode: FlushMode,
    /// How long it kept the main thread, up to the reply.
    pub took: Ticks,
    /// How many libraries went.
    pub libraries: usize,
}

/// What the module is while it is loaded.
///
/// The generation is private. It changes by `load`, `delete`, `restore`, `flush` and the load of a data file, and it
/// ends in `replace_generation`.
///
/// The fields are dropped in this order: the watch before the VMs that it could ring.
pub struct Module {
    pub watch: Watch,
    generation: Box<Generation>,
    loading: Loading,
    pub reclaim: Reclaim,
    pub gate: Gate,
    pub totals: Totals,
    pub last_flush: Option<LastFlush>,
    pub dialect: Dialect,
    pub payload_form: PayloadForm,
    pub cluster_reset: ClusterReset,
    /// The libraries of `shadow.library-dir`, until they are loaded.
    pub directory: Option<Directory>,
    /// Whether the log says that the worker is gone.
    worker_missed: bool,
}

impl Module {
    /// Builds the first generation and starts the threads. `directory`: the libraries to load later. `queue`: the
    /// retired generations that may wait for the worker.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new(dialect: Dialect, directory: Option<Directory>, queue: usize) -> Result<Self, String> {
        clock::detect_counter();
        let generation = Box::new(Generation::new(dialect.clone()).map_err(|error| error.to_string())?);
        configure(&generation);
        let spare_dialect = dialect.clone();
        let reclaim = Reclaim::start(queue, move || Generation::new(spare_dialect.clone()).ok())
            .map_err(|error| format!("the worker thread cannot be started: {error}"))?;
        let watch = Watch::start().map_err(|error| format!("the watch thread cannot be started: {error}"))?;
        watch.set_alarm(Some(generation.alarm()));
        Ok(Self {
            watch,
            generation,
            loading: Loading::default(),
            reclaim,
            gate: Gate::new(),
            totals: Totals::default(),
            last_flush: None,
            dialect,
            payload_form: PayloadForm::default(),
            cluster_reset: ClusterReset::default(),
            directory,
            worker_missed: false,
        })
    }

    /// The current generation, to read and to call functions.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Loads a library, in the place of the one of the same name if `replace`. Returns its name.
    ///
    /// # Errors
    /// The server's text for what is wrong with it. Nothing has changed then.
    pub fn load(&mut self, context: &Context, code: &[u8], replace: bool) -> Result<Box<str>, Error> {
        let obeys = context.state().obeys();
        let limit = if obeys { None } else { Some(LOAD_LIMIT) };
        fill(&mut self.generation, context, obeys, |generation, host| generation.load(code, replace, limit, host))
    }

    /// Deletes a library.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Error> {
        self.generation.delete(name)
    }

    /// All libraries as a payload.
    pub fn dump(&self, context: &Context) -> Vec<u8> {
        let (rdb_version, compress) = self.payload_form.written(context);
        self.generation.dump(rdb_version, compress)
    }

    /// Loads the libraries of a payload.
    ///
    /// # Errors
    /// The server's text for what is wrong with the payload, with a library in it, or with the two together with what
    /// is loaded; or no VM could be built. Nothing has changed then.
    pub fn restore(&mut self, context: &Context, payload: &[u8], policy: Policy) -> Result<(), Error> {
        let records = payload::read(payload, self.payload_form.accepted(context, &self.dialect))?;
        let mut fresh = if policy == Policy::Flush { Some(self.fresh()?) } else { None };
        let target = fresh.as_mut().unwrap_or(&mut self.generation);
        let restored = fill(target, context, context.state().obeys(), |target, host| {
            target.restore(records, policy == Policy::Replace, host)
        });
        match (fresh, &restored) {
            (Some(fresh), Ok(())) => self.replace_generation(context, fresh, FlushMode::Async, Ticks::now()),
            (Some(failed), Err(_)) => drop(self.dispose(context, failed)),
            (None, _) => {}
        }
        restored
    }

    /// Deletes all libraries.
    ///
    /// # Errors
    /// When no spare is ready and no VM can be built. Nothing has changed then.
    pub fn flush(&mut self, context: &Context, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().is_empty() {
            return Ok(());
        }
        let began = Ticks::now();
        let fresh = self.fresh()?;
        self.replace_generation(context, fresh, mode, began);
        Ok(())
    }

    /// An empty generation: the spare, or one built here.
    fn fresh(&self) -> Result<Box<Generation>, Error> {
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

    /// Puts `fresh` in the place of the current generation, which ends here: nothing else replaces it. It counts as a
    /// flush that began at `began`, if there were libraries.
    fn replace_generation(&mut self, context: &Context, fresh: Box<Generation>, mode: FlushMode, began: Ticks) {
        // The watch lets go of the old VM before anybody can free it.
        self.watch.set_alarm(Some(fresh.alarm()));
        let old = std::mem::replace(&mut self.generation, fresh);
        let libraries = old.registry().library_count();
        let freed = match mode {
            FlushMode::Sync => {
                drop(old);
                self.reclaim.prepare();
                self.deliver_soon(context);
                Freed::AsAsked
            }
            FlushMode::Async => self.dispose(context, old),
        };
        if libraries == 0 {
            return;
        }
        self.totals.flushes.count();
        if freed == Freed::InPlace {
            self.totals.flushes_in_place.count();
        }
        self.last_flush = Some(LastFlush { mode, took: began.elapsed(), libraries });
    }

    /// Hands a generation that nothing refers to over to the worker, or frees it here when that cannot take it.
    fn dispose(&self, context: &Context, generation: Box<Generation>) -> Freed {
        match self.reclaim.hand_over(generation) {
            Ok(()) => {
                self.deliver_soon(context);
                Freed::AsAsked
            }
            Err(generation) => {
                drop(generation);
                Freed::InPlace
            }
        }
    }

    /// Makes the event loop send the worker its next job once the reply is on its way.
    fn deliver_soon(&self, context: &Context) {
        if self.reclaim.has_parked() {
            context.soon(deliver);
        }
    }

    /// Logs what went wrong in the threads, and frees what a worker that is gone has left.
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

    /// Sets every counter that only grows back to 0.
    pub fn reset_statistics(&self) {
        self.generation.registry().functions().for_each(|function| function.counters.reset());
        self.totals.reset();
        self.reclaim.reset_freed();
        engine::reset_refusals();
        engine::reset_load_timeouts();
    }
}

/// Sends the worker its next job.
fn deliver(_: &Context) {
    if let Ok(module) = read() {
        module.reclaim.deliver();
    }
}

/// Loads libraries into `target` by `body`. What `must_load`, because it comes from the master or out of a file, is
/// never refused for want of memory.
fn fill<T>(
    target: &mut Generation,
    context: &Context,
    must_load: bool,
    body: impl FnOnce(&mut Generation, &mut dyn Host) -> T,
) -> T {
    let mut host = LoadHost(context);
    if must_load { target.without_memory_limit(|target| body(target, &mut host)) } else { body(target, &mut host) }
}

/// What the settings say about every VM. Apart from the module's state, which may be borrowed when a setting changes.
static MEMORY_LIMIT: MainThread<Cell<usize>> = MainThread::new(Cell::new(0));
static COMPILATION: MainThread<Cell<Compilation>> = MainThread::new(Cell::new(Compilation::Off));

/// Applies the settings to a new generation.
fn configure(generation: &Generation) {
    generation.set_memory_limit(MEMORY_LIMIT.get());
    generation.set_compilation(COMPILATION.get());
}

/// Limits the bytes that a VM may hold, now and from now on; 0 for no limit.
pub fn set_memory_limit(bytes: usize) {
    MEMORY_LIMIT.set(bytes);
    each_generation(|generation| generation.set_memory_limit(bytes));
}

/// Bytes that a VM may hold; 0 for no limit.
pub fn memory_limit() -> usize {
    MEMORY_LIMIT.get()
}

/// Says which functions are compiled to machine code, now and from now on.
pub fn set_compilation(compilation: Compilation) {
    COMPILATION.set(compilation);
    each_generation(|generation| generation.set_compilation(compilation));
}

/// The generations that there are: none before the module is installed.
fn each_generation(body: impl Fn(&Generation)) {
    if let Ok(module) = read() {
        body(&module.generation);
        module.loading.staged().into_iter().for_each(body);
    }
}

static MODULE: MainThread<RefCell<Option<Module>>> = MainThread::new(RefCell::new(None));

const BUSY: &str = "ERR The function registry cannot be changed while one of its functions is running";
const ABSENT: &str = "ERR The shadow module is not loaded";

/// The module's state, to read and to call functions. What runs on top of a running function (a command of another
/// module, the server's timer, a fork that saves) may read, too.
///
/// # Errors
/// While the state is being changed, and when the module is not installed.
#[inline]
pub fn read() -> Result<Ref<'static, Module>, &'static str> {
    let state = MODULE.try_borrow().map_err(|_| BUSY)?;
    Ref::filter_map(state, Option::as_ref).map_err(|_| ABSENT)
}

/// The module's state, to change it.
///
/// # Errors
/// While a function is running, whose generation must not go away under it; when the module is not installed; and when
/// [libraries that must go](loading) cannot go for want of a VM.
pub fn write(context: &Context) -> Result<RefMut<'static, Module>, Error> {
    let state = MODULE.try_borrow_mut().map_err(|_| BUSY)?;
    let mut module = RefMut::filter_map(state, Option::as_mut).map_err(|_| ABSENT)?;
    loading::flush_stale(&mut module, context)?;
    Ok(module)
}

/// Puts the module's state in place, or takes it away. The old state is dropped, which ends its threads.
///
/// # Panics
/// While the state is borrowed.
pub fn install(module: Option<Module>) {
    let old = MODULE.replace(module);
    drop(old);
}
