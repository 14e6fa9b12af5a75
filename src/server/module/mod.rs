//! The module's state on the server's main thread: the current generations and what works for them.

mod current;
pub mod loading;
mod threads;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ffi::CStr;
use std::sync::Arc;

use super::api::{Context, InnerCalls, State};
use super::cluster_reset::ClusterReset;
use super::command_keys::CommandKeys;
use super::deploys::Deploys;
use super::followed::Followed;
use super::gate::Gate;
use super::listeners::Listeners;
use super::load_host::LoadHost;
use super::main_thread::MainThread;
use super::pace::Pace;
use super::payload_form::PayloadForm;
use super::profile::Profiler;
use super::settings::{CALL_PATH, KEEP_GENERATIONS, KEEP_GENERATIONS_BYTES, Path};
use super::totals::CacheTotals;
use crate::clock::{self, Ticks};
use crate::directory::Directory;
use crate::engine::{self, Callable, Dialect, Host, LOAD_LIMIT};
use crate::error::Error;
use crate::generation::{Bounds, Compilation, Contents, Functions, Generation, Scripts};
use crate::reclaim::Supply;
use crate::registry::{Digest, Label, Origin, Registry, Script, ScriptCache, payload};
use loading::Loading;
use threads::Threads;

pub use current::{Current, Keep};

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

/// What the module is while it is loaded.
///
/// The generations are private. They change by `load`, `delete`, `restore`, `cache_script`, `follow_script`, evictions,
/// the flushes and the load of a data file, and they end in [`Current::replace`].
///
/// The threads are dropped first: the watch before the VMs that it could ring.
pub struct Module {
    pub threads: Threads,
    pub functions: Current<Registry>,
    pub scripts: Current<ScriptCache>,
    loading: Loading,
    pub gate: Gate,
    pub listeners: Listeners,
    pub pace: Pace,
    pub followed: Followed,
    pub command_keys: CommandKeys,
    pub cache_totals: CacheTotals,
    /// What was evicted here and not yet in the files and on the replicas, which have it.
    evicted: Vec<Digest>,
    pub dialect: Dialect,
    pub payload_form: PayloadForm,
    pub cluster_reset: ClusterReset,
    pub profiler: Profiler,
    pub deploys: Deploys,
    pub inner_calls: InnerCalls,
    /// The libraries of `shadow.library-dir`, until they are loaded.
    pub directory: Option<Directory>,
}

impl Module {
    /// Builds the first generations and starts the threads. `directory`: the libraries to load later. `queue`: the
    /// retired generations that may wait for the worker.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new(
        context: &Context,
        dialect: Dialect,
        directory: Option<Directory>,
        queue: usize,
    ) -> Result<Self, String> {
        clock::detect_counter();
        let inner_calls = InnerCalls::new(context, dialect.valkey.as_ref().map(|version| version.number));
        inner_calls.prefer_call_argv(prefers_call_argv());
        let functions = Current::new(&dialect).map_err(|error| error.to_string())?;
        let scripts = Current::new(&dialect).map_err(|error| error.to_string())?;
        let depots: [Arc<dyn Supply>; 2] = [functions.depot.clone(), scripts.depot.clone()];
        let threads = Threads::start(queue, depots.into())?;
        threads.watch.set_alarm(Callable::Function, Some(functions.generation().alarm()));
        threads.watch.set_alarm(Callable::Script, Some(scripts.generation().alarm()));
        Ok(Self {
            threads,
            functions,
            scripts,
            loading: Loading::default(),
            gate: Gate::new(),
            listeners: Listeners::default(),
            pace: Pace::default(),
            followed: Followed::default(),
            command_keys: CommandKeys::default(),
            cache_totals: CacheTotals::default(),
            evicted: Vec::new(),
            dialect,
            payload_form: PayloadForm::default(),
            cluster_reset: ClusterReset::default(),
            profiler: Profiler::default(),
            deploys: Deploys::new(context)?,
            inner_calls,
            directory,
        })
    }

    /// Loads a library, in the place of the one of the same name if `replace`. Returns its name.
    ///
    /// # Errors
    /// The server's text for what is wrong with it. Nothing has changed then.
    pub fn load(&mut self, context: &Context, code: &[u8], replace: bool) -> Result<Box<str>, Error> {
        let obeys = context.state().obeys();
        let limit = if obeys { None } else { Some(LOAD_LIMIT) };
        let generation = self.functions.generation_mut();
        let loaded = fill(generation, context, obeys, |generation, host| generation.load(code, replace, limit, host));
        self.functions.expect_flush(&self.threads, context);
        loaded
    }

    /// Deletes a library.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Error> {
        self.functions.generation_mut().delete(name)
    }

    /// All libraries as a payload.
    pub fn dump(&self, context: &Context) -> Vec<u8> {
        let (rdb_version, compress) = self.payload_form.written(context);
        self.functions.generation().dump(rdb_version, compress)
    }

    /// Loads the libraries of a payload.
    ///
    /// # Errors
    /// The server's text for what is wrong with the payload, with a library in it, or with the two together with what
    /// is loaded; or no VM could be built. Nothing has changed then.
    pub fn restore(&mut self, context: &Context, payload: &[u8], policy: Policy) -> Result<(), Error> {
        let records = payload::read(payload, self.payload_form.accepted(context, &self.dialect))?;
        let Self { functions, threads, .. } = self;
        let mut fresh = if policy == Policy::Flush { Some(functions.fresh()?) } else { None };
        let target = fresh.as_deref_mut().unwrap_or_else(|| functions.generation_mut());
        let restored = fill(target, context, context.state().obeys(), |target, host| {
            target.restore(records, policy == Policy::Replace, host)
        });
        match (fresh, &restored) {
            (Some(fresh), Ok(())) => functions.replace(threads, context, fresh, FlushMode::Async, Ticks::now()),
            (Some(failed), Err(_)) => functions.dispose(threads, context, vec![failed]),
            (None, _) => functions.expect_flush(threads, context),
        }
        restored
    }

    /// Puts a generation that was built in the place of the current one, which is kept as the settings say. While a
    /// file is loaded nothing is kept: what could be brought back would depend on when the file was rewritten.
    pub fn deploy(&mut self, context: &Context, generation: Box<Functions>) {
        let is_loading = context.state().contains(State::LOADING);
        let keep = if is_loading { Keep { generations: 0, bytes: 0 } } else { keep() };
        self.functions.deploy(&self.threads, context, generation, keep);
        self.functions.totals.deploys.count();
    }

    /// Brings back the version of this label, or the last one that was kept.
    ///
    /// # Errors
    /// When it was not kept. Nothing has changed then.
    pub fn roll_back(&mut self, context: &Context, label: Option<&Label>) -> Result<(), Error> {
        let is_it = |generation: &Functions| {
            let release = generation.registry().release();
            label.is_none_or(|label| release.is_some_and(|release| !release.changed && release.label == *label))
        };
        if self.functions.bring_back(&self.threads, context, keep(), is_it) {
            self.functions.totals.rollbacks.count();
            return Ok(());
        }
        Err(match label {
            Some(label) => Error::new(format!("ERR No version '{}' is kept", label.as_str())),
            None => "ERR There is no version to roll back to".into(),
        })
    }

    /// Frees what is kept beyond what the settings say.
    pub fn trim_versions(&mut self, context: &Context) {
        self.functions.trim(&self.threads, context, keep());
    }

    /// Deletes all libraries.
    ///
    /// # Errors
    /// When no spare is ready and no VM can be built. Nothing has changed then.
    pub fn flush(&mut self, context: &Context, mode: FlushMode) -> Result<(), Error> {
        self.functions.flush(&self.threads, context, mode)
    }

    /// Caches a script. If there is no room for it under the limit of memory, others are evicted; `spares_kept`: none
    /// that files and replicas have.
    ///
    /// # Errors
    /// The server's text for what is wrong with it. Nothing has changed then.
    pub fn cache_script(
        &mut self,
        context: &Context,
        code: &[u8],
        origin: Origin,
        spares_kept: impl FnOnce() -> bool,
    ) -> Result<Arc<Script>, Error> {
        let promotes = self.dialect.loading_keeps_scripts();
        let generation = self.scripts.generation_mut();
        let result = if context.state().obeys() {
            generation.without_memory_limit(|generation| generation.add(code, origin, promotes))
        } else {
            match generation.add(code, origin, promotes) {
                Err(error) if error.text() == engine::out_of_memory(Callable::Script) => {
                    let (script, evicted) = generation.add_for_others(code, origin, spares_kept(), error)?;
                    self.note_evicted(&evicted);
                    Ok(script)
                }
                result => result,
            }
        };
        self.scripts.expect_flush(&self.threads, context);
        result
    }

    /// Caches a script as the master or a file has it, whose files and replicas have it then, too. One that cannot be
    /// loaded answers why.
    pub fn follow_script(&mut self, context: &Context, code: &[u8], origin: Origin) {
        follow_script(self.scripts.generation_mut(), context, code, origin);
        self.scripts.expect_flush(&self.threads, context);
    }

    /// Whether a script is yet to be kept after `origin` has brought it, or brought it again.
    pub fn owes_script(&self, code: &[u8], origin: Origin) -> bool {
        let known = self.scripts.generation().registry().script_of(code);
        let promotes = origin == Origin::Load && self.dialect.loading_keeps_scripts();
        known.is_none_or(|script| !script.is_kept() || promotes && script.origin() == Origin::Eval)
    }

    /// Notes that the files and replicas have a script as it is, or are getting it. Gives it; None if they had it.
    pub fn keep_script(&mut self, digest: &[u8]) -> Option<Arc<Script>> {
        let generation = self.scripts.generation_mut();
        let script = Arc::clone(generation.registry().script(digest).filter(|script| !script.is_kept())?);
        generation.set_kept(digest, true);
        Some(script)
    }

    /// Takes a script out of the cache.
    pub fn remove_script(&mut self, digest: &[u8]) {
        self.scripts.generation_mut().remove(digest);
    }

    /// Takes a script out of the cache that the master has evicted. One that SCRIPT LOAD has brought here stays.
    pub fn follow_eviction(&mut self, digest: &[u8]) {
        let generation = self.scripts.generation_mut();
        match generation.registry().script(digest).map(|script| script.origin()) {
            Some(Origin::Eval) => {
                generation.remove(digest);
                self.cache_totals.evicted.count();
            }
            Some(Origin::Load) => generation.set_kept(digest, false),
            None => {}
        }
    }

    /// Evicts scripts that are too many. `spares_kept`: none that files and replicas have.
    pub fn evict_scripts(&mut self, spares_kept: bool) {
        let bounds = self.bounds(spares_kept);
        let evicted = self.scripts.generation_mut().evict(bounds);
        self.note_evicted(&evicted);
    }

    /// Whether scripts are to be evicted, or were evicted and others do not know it.
    pub fn has_evictions(&self, spares_kept: bool) -> bool {
        !self.evicted.is_empty() || self.scripts.generation().exceeds(self.bounds(spares_kept))
    }

    /// The digests of those that went and that files and replicas had, since this was called before.
    pub fn take_evicted(&mut self) -> Vec<Digest> {
        std::mem::take(&mut self.evicted)
    }

    fn bounds(&self, spares_kept: bool) -> Bounds {
        let bytes = Some(SCRIPT_CACHE.get()).filter(|&bytes| bytes > 0);
        Bounds { scripts: self.dialect.evaluated_scripts_kept(), bytes, spares_kept }
    }

    fn note_evicted(&mut self, evicted: &[Arc<Script>]) {
        evicted.iter().for_each(|_| self.cache_totals.evicted.count());
        self.evicted.extend(evicted.iter().filter(|script| script.is_kept()).map(|script| script.digest));
    }

    /// Deletes all scripts.
    ///
    /// # Errors
    /// When no spare is ready and no VM can be built. Nothing has changed then.
    pub fn flush_scripts(&mut self, context: &Context, mode: FlushMode) -> Result<(), Error> {
        self.scripts.flush(&self.threads, context, mode)?;
        self.evicted.clear();
        Ok(())
    }

    /// Logs what went wrong in the threads, and frees what a worker that is gone has left.
    pub fn attend_threads(&mut self, context: &Context) {
        self.threads.attend(context);
    }

    /// Sets every counter that only grows back to 0.
    pub fn reset_statistics(&self) {
        self.functions.reset_statistics();
        self.scripts.reset_statistics();
        self.cache_totals.reset();
        engine::reset_refusals();
        engine::reset_load_timeouts();
    }
}

/// How much the settings say is kept of what deploys replace.
fn keep() -> Keep {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Keep { generations: number(KEEP_GENERATIONS.get()), bytes: number(KEEP_GENERATIONS_BYTES.get()) }
}

/// Loads libraries into `target` by `body`. What `must_load`, because it comes from the master or out of a file, is
/// never refused for want of memory.
fn fill<T>(
    target: &mut Functions,
    context: &Context,
    must_load: bool,
    body: impl FnOnce(&mut Functions, &mut dyn Host) -> T,
) -> T {
    let mut host = LoadHost(context);
    if must_load { target.without_memory_limit(|target| body(target, &mut host)) } else { body(target, &mut host) }
}

/// Caches a script as the master or a file has it.
fn follow_script(target: &mut Scripts, context: &Context, code: &[u8], origin: Origin) {
    let (digest, error) = target.without_memory_limit(|target| target.add_from_file(code, origin));
    target.set_kept(digest.as_bytes(), keeps_scripts());
    if let Some(error) = error {
        let line = [format!("the kept script {digest} cannot be called: ").as_bytes(), error.text()].concat();
        context.log(c"warning", &line);
    }
}

/// What the settings say about every VM. Apart from the module's state, which may be borrowed when a setting changes.
static MEMORY_LIMIT: MainThread<Cell<usize>> = MainThread::new(Cell::new(0));
static COMPILATION: MainThread<Cell<Compilation>> = MainThread::new(Cell::new(Compilation::Off));
/// What they say about the cache of scripts.
static SCRIPT_CACHE: MainThread<Cell<usize>> = MainThread::new(Cell::new(0));
static KEEP_SCRIPTS: MainThread<Cell<bool>> = MainThread::new(Cell::new(false));

/// Applies the settings to a new generation.
fn configure<C: Contents>(generation: &Generation<C>) {
    generation.set_memory_limit(MEMORY_LIMIT.get());
    generation.set_compilation(COMPILATION.get());
}

/// Limits the bytes that each VM may hold, now and from now on; 0 for no limit.
pub fn set_memory_limit(bytes: usize) {
    MEMORY_LIMIT.set(bytes);
    // There are none before the module is installed.
    if let Ok(module) = read() {
        module.functions.each(|generation| generation.set_memory_limit(bytes));
        module.scripts.each(|generation| generation.set_memory_limit(bytes));
    }
}

/// Bytes that each VM may hold; 0 for no limit.
pub fn memory_limit() -> usize {
    MEMORY_LIMIT.get()
}

/// Says whether inner commands take the faster way, where there is one.
pub fn set_call_path() {
    if let Ok(module) = read() {
        module.inner_calls.prefer_call_argv(prefers_call_argv());
    }
}

/// Whether the setting permits the faster way.
fn prefers_call_argv() -> bool {
    CALL_PATH.get() == Path::Auto as u64
}

/// Says which functions and scripts are compiled to machine code, now and from now on.
pub fn set_compilation(compilation: Compilation) {
    COMPILATION.set(compilation);
    if let Ok(module) = read() {
        module.functions.each(|generation| generation.set_compilation(compilation));
        module.scripts.each(|generation| generation.set_compilation(compilation));
    }
}

/// Bounds the bytes that all scripts may take, from now on; 0 for no bound. What is too much goes with the next tick.
pub fn set_script_cache(bytes: usize) {
    SCRIPT_CACHE.set(bytes);
}

/// Whether scripts are in the server's files and on its replicas.
pub fn keeps_scripts() -> bool {
    KEEP_SCRIPTS.get()
}

/// Says whether scripts are in the server's files and on its replicas. Those that are cached get there when they are
/// used next.
pub fn set_keep_scripts(keep: bool) {
    KEEP_SCRIPTS.set(keep);
    // What changes from now on gets nowhere. No script is running: settings are changed by commands, which wait then.
    if !keep && let Some(module) = MODULE.try_borrow_mut().ok().as_deref_mut().and_then(Option::as_mut) {
        module.evicted.clear();
        module.scripts.generation_mut().forget_kept();
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
