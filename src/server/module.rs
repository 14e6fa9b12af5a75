//! The module's state on the server's thread: the current generation and the worker.

use std::cell::{Cell, UnsafeCell};

use super::gate::Gate;
use super::settings::Settings;
use crate::engine::Dialect;
use crate::error::Error;
use crate::generation::Generation;
use crate::reclaim::Reclaim;

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
        Ok(Self { generation, reclaim, totals: Totals::default(), dialect })
    }

    /// Deletes all libraries: puts a fresh generation in the place of the current one and retires that.
    ///
    /// # Errors
    /// When no spare is ready and a VM cannot be built. Nothing has changed then.
    pub fn flush(&mut self, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().is_empty() {
            return Ok(());
        }
        let fresh = match self.reclaim.take_spare() {
            Some(spare) => spare,
            None => {
                self.totals.spares_missed += 1;
                Box::new(Generation::new(self.dialect.clone())?)
            }
        };
        self.retire(fresh, mode);
        Ok(())
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
            FlushMode::Async => {
                if let Err(old) = self.reclaim.retire(old) {
                    self.totals.flushes_in_place += 1;
                    drop(old);
                }
            }
        }
    }
}

/// The module's state, for the server's thread alone.
///
/// `enter` lends the whole of it to one command at a time. While a function runs, commands of other modules may run
/// on top of it; they get an error instead of a second reference.
struct Cells {
    module: UnsafeCell<Option<Module>>,
    entered: Cell<bool>,
    gate: Gate,
}

struct MainThread(Cells);

// SAFETY: everything that reaches the cells runs in callbacks of the server, which all run on its main thread (with
// its global lock held). The worker knows nothing of them.
unsafe impl Sync for MainThread {}

static MODULE: MainThread =
    MainThread(Cells { module: UnsafeCell::new(None), entered: Cell::new(false), gate: Gate::new() });

const BUSY: &str = "ERR The function registry cannot be used while one of its functions is running";

/// Lends the module's state to `body`.
///
/// # Errors
/// When it is lent already, or the module is not loaded.
pub fn enter<T>(body: impl FnOnce(&mut Module) -> Result<T, Error>) -> Result<T, Error> {
    /// Ends the loan however `body` ends.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            MODULE.0.entered.set(false);
        }
    }
    if MODULE.0.entered.replace(true) {
        return Err(BUSY.into());
    }
    let _leave = Leave;
    // SAFETY: one thread (see above), and `entered` was false: no other reference exists until `_leave` is dropped.
    match unsafe { &mut *MODULE.0.module.get() } {
        Some(module) => body(module),
        None => Err("ERR The shadow module is not loaded".into()),
    }
}

/// Puts the module's state in place, or takes it away; what was there is dropped, the worker ended.
pub fn install(module: Option<Module>) {
    assert!(!MODULE.0.entered.get(), "the module's state cannot change while it is lent");
    // SAFETY: one thread, and not lent.
    let old = unsafe { std::mem::replace(&mut *MODULE.0.module.get(), module) };
    drop(old);
}

/// What watches the states in which writes are refused. Apart from the rest: it is asked before a call, and the timer
/// reaches it whatever runs.
pub fn gate() -> &'static Gate {
    &MODULE.0.gate
}
