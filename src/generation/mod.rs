//! A generation: everything that one flush throws away.

mod functions;
#[cfg(test)]
mod refusals;
mod scripts;

use crate::engine::{Alarm, Callable, Dialect, Engine, FunctionEngine, NativeCode, ScriptEngine};
use crate::error::Error;
use crate::hotness::Hotness;
use crate::reclaim::{Amount, Retire};
use crate::registry::{Registry, ScriptCache};

pub use crate::hotness::Compilation;
pub use scripts::Bounds;

/// A generation of libraries with their functions.
pub type Functions = Generation<Registry>;

/// A generation of scripts.
pub type Scripts = Generation<ScriptCache>;

/// What is loaded in a generation: libraries, or scripts.
pub trait Contents: Default + Send + 'static {
    /// The VM that runs them.
    type Engine: Engine;

    /// How many there are.
    fn count(&self) -> usize;

    /// Bytes that they take outside of the VM.
    fn bytes(&self) -> usize;

    /// Sets what is counted of their calls to 0.
    fn reset_counters(&self);
}

impl Contents for Registry {
    type Engine = FunctionEngine;

    fn count(&self) -> usize {
        self.library_count()
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn reset_counters(&self) {
        self.functions().for_each(|function| function.callback.counters.reset());
    }
}

impl Contents for ScriptCache {
    type Engine = ScriptEngine;

    fn count(&self) -> usize {
        self.count()
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn reset_counters(&self) {
        self.scripts().for_each(|script| script.callback.counters.reset());
    }
}

/// What is loaded, and the VM that runs it.
///
/// It owns all that it refers to and no object of the server, so it can be dropped on any thread. It moves between
/// threads:
///
/// ```
/// fn moves_between_threads<T: Send>() {}
/// moves_between_threads::<shadow::generation::Functions>();
/// moves_between_threads::<shadow::generation::Scripts>();
/// ```
///
/// and is never shared by them, which the compiler checks:
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<shadow::generation::Functions>();
/// ```
pub struct Generation<C: Contents> {
    registry: C,
    engine: C::Engine,
    hotness: Hotness,
    /// Bytes that the VM held when it was built.
    built_bytes: usize,
}

impl<C: Contents> Generation<C> {
    /// What is called in it.
    pub const CALLABLE: Callable = C::Engine::CALLABLE;

    /// An empty one with a new VM.
    ///
    /// # Errors
    /// When the VM cannot be built for want of memory.
    pub fn new(dialect: Dialect) -> Result<Self, Error> {
        let engine = C::Engine::new(dialect).map_err(|error| {
            Error::new(format!("ERR the VM of {}s cannot be built: {error}", Self::CALLABLE.word()))
        })?;
        let built_bytes = engine.vm().memory();
        Ok(Self { registry: C::default(), engine, hotness: Hotness::default(), built_bytes })
    }

    /// What is loaded.
    pub const fn registry(&self) -> &C {
        &self.registry
    }

    /// What makes a running call ask its host.
    pub fn alarm(&self) -> Alarm {
        self.engine.vm().alarm()
    }

    /// Bytes that the VM holds, as it counts against its limit.
    pub fn vm_memory(&self) -> usize {
        self.engine.vm().memory()
    }

    /// Bytes that the VM takes of the process's memory, without its machine code.
    pub fn vm_bytes(&self) -> usize {
        self.engine.vm().held()
    }

    /// Bytes that the VM held when nothing was loaded.
    const fn built_bytes(&self) -> usize {
        self.built_bytes
    }

    /// Bytes that the VM may hold; 0 for no bound.
    pub fn memory_limit(&self) -> usize {
        self.engine.vm().memory_limit()
    }

    /// Frees what nothing refers to, if there is a bound.
    fn collect(&self) {
        self.set_memory_limit(self.memory_limit());
    }

    /// Bytes that the VM, its machine code and the registry hold together.
    pub fn bytes(&self) -> usize {
        self.vm_bytes() + self.engine.vm().native_code().bytes + self.registry.bytes()
    }

    /// The machine code in the VM.
    pub fn native_code(&self) -> NativeCode {
        self.engine.vm().native_code()
    }

    /// Sets which functions are compiled, each before one of its next calls.
    pub fn set_compilation(&self, compilation: Compilation) {
        self.hotness.set(self.engine.vm(), compilation);
    }

    /// Bounds the memory of the VM, in bytes; 0 for no bound. What it holds beyond that stays.
    pub fn set_memory_limit(&self, limit: usize) {
        self.engine.vm().set_memory_limit(limit);
    }

    /// Runs `body`, in which the VM takes what it needs: what comes out of a file or from the master is never refused
    /// for want of memory.
    pub fn without_memory_limit<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        /// Bounds it again however `body` ends.
        struct Limit<'a, C: Contents>(&'a mut Generation<C>, usize);
        impl<C: Contents> Drop for Limit<'_, C> {
            fn drop(&mut self) {
                self.0.engine.vm().resume_memory_limit(self.1);
            }
        }
        let limit = self.engine.vm().suspend_memory_limit();
        body(Limit(self, limit).0)
    }
}

impl<C: Contents> Retire for Generation<C> {
    fn amount(&self) -> Amount {
        Amount { programs: self.registry.count() as u64, bytes: self.bytes() as u64 }
    }
}
