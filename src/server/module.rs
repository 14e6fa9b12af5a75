//! The module's state on the server's thread: the current generation and the worker.

use std::cell::RefCell;

use super::api::Context;
use super::call::ServerHost;
use super::gate::Gate;
use super::settings::Settings;
use crate::engine::Dialect;
use crate::error::Error;
use crate::generation::Generation;
use crate::reclaim::Reclaim;
use crate::registry::{FunctionFlags, shebang};

/// How a flush frees the old generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// On the server's thread, before the command replies.
    Sync,
    /// On the worker's.
    Async,
}

/// Totals since the module was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Flushes that retired a generation.
    pub flushes: u64,
    /// Of these, ASYNC ones that freed it in place: the queue was full or the worker gone.
    pub flushes_in_place: u64,
    /// Generations for which no spare was ready.
    pub spares_missed: u64,
}

/// What the module is while it is loaded.
pub struct Module {
    pub generation: Box<Generation>,
    /// What an asynchronous load is preparing while the current generation goes on serving.
    staged: Option<Box<Generation>>,
    pub reclaim: Reclaim,
    pub totals: Totals,
    pub dialect: Dialect,
}

impl Module {
    /// Builds the first generation and starts the worker.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn new(settings: &Settings, dialect: Dialect) -> Result<Self, String> {
        let generation = Box::new(Generation::new(dialect.clone()).map_err(|error| error.to_string())?);
        let spare_dialect = dialect.clone();
        let reclaim = Reclaim::start(settings.reclaim_queue, move || Generation::new(spare_dialect.clone()).ok())
            .map_err(|error| format!("the worker thread cannot be started: {error}"))?;
        Ok(Self { generation, staged: None, reclaim, totals: Totals::default(), dialect })
    }

    /// Deletes all libraries: puts a fresh generation in the place of the current one and retires that.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built. Nothing has changed then.
    pub fn flush(&mut self, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().is_empty() {
            return Ok(());
        }
        let fresh = self.fresh()?;
        self.retire(fresh, mode);
        Ok(())
    }

    /// An empty generation: the spare, or one built here.
    fn fresh(&mut self) -> Result<Box<Generation>, Error> {
        match self.reclaim.take_spare() {
            Some(spare) => Ok(spare),
            None => {
                self.totals.spares_missed += 1;
                Ok(Box::new(Generation::new(self.dialect.clone())?))
            }
        }
    }

    /// Loads a library that a file holds: into the staged generation, or into the current one.
    ///
    /// # Errors
    /// A sentence for the log that names the library.
    pub fn load_from_file(&mut self, context: &Context, code: &[u8], staged: bool) -> Result<(), Error> {
        let mut host = ServerHost::new(context, FunctionFlags::empty(), &self.dialect);
        let target = match &mut self.staged {
            Some(stage) if staged => stage,
            _ => &mut self.generation,
        };
        target.load(code, false, None, &mut host).map(drop).map_err(|error| {
            let name = shebang::parse(code).map_or_else(|_| "?".into(), |header| header.name);
            Error::new([format!("failed loading library '{name}' from the file: ").as_bytes(), error.text()].concat())
        })
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
            self.retire(staged, FlushMode::Async);
        }
    }

    /// Gives up the prepared generation.
    pub fn unstage(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.discard(staged);
        }
    }

    /// The one door through which a generation leaves.
    fn retire(&mut self, fresh: Box<Generation>, mode: FlushMode) {
        let old = std::mem::replace(&mut self.generation, fresh);
        self.totals.flushes += 1;
        match mode {
            FlushMode::Sync => {
                self.reclaim.prepare();
                drop(old);
            }
            FlushMode::Async => self.discard(old),
        }
    }

    /// Hands a generation to the worker, or frees it here when that cannot take it.
    fn discard(&mut self, old: Box<Generation>) {
        if let Err(old) = self.reclaim.retire(old) {
            self.totals.flushes_in_place += 1;
            drop(old);
        }
    }
}

/// The module's state, for the server's thread alone.
struct MainThread {
    module: RefCell<Option<Module>>,
    gate: Gate,
}

// SAFETY: everything that reaches the state runs in callbacks of the server, which all run on its main thread (with
// its global lock held). The worker knows nothing of it.
unsafe impl Sync for MainThread {}

static MAIN: MainThread = MainThread { module: RefCell::new(None), gate: Gate::new() };

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
        Some(module) => body(module),
        None => Err(ABSENT.into()),
    }
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
