//! A generation: everything that one flush throws away.

use std::time::Duration;

use crate::engine::{Dialect, Engine, Host, Registration, Sink};
use crate::error::Error;
use crate::registry::{Function, FunctionRef, Library, Registry, RegistryError, Slot, shebang};

/// The registry and the VM that its functions live in.
///
/// It owns all that it refers to and no object of the server, so it can be dropped on any thread.
pub struct Generation {
    registry: Registry,
    engine: Engine,
}

impl Generation {
    /// An empty registry with a new VM.
    ///
    /// # Errors
    /// When the VM cannot be built for want of memory.
    pub fn new(dialect: Dialect) -> Result<Self, Error> {
        let engine = Engine::new(dialect)
            .map_err(|error| Error::new(format!("ERR the function VM cannot be built: {error}")))?;
        Ok(Self { registry: Registry::new(), engine })
    }

    /// What is loaded.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Bytes that the VM holds.
    pub fn vm_memory(&self) -> usize {
        self.engine.memory()
    }

    /// Loads a library from its source, in the place of the one of the same name if `replace`. Returns its name.
    ///
    /// `limit` bounds the time that its body may run.
    ///
    /// # Errors
    /// In the server's order of checks. Everything is as it was then.
    pub fn load(
        &mut self,
        code: &[u8],
        replace: bool,
        limit: Option<Duration>,
        host: &mut dyn Host,
    ) -> Result<Box<str>, Error> {
        let header = shebang::parse(code)?;
        header.check_engine()?;
        if !replace && self.registry.library(header.name.as_bytes()).is_some() {
            return Err(RegistryError::LibraryExists(header.name).into());
        }
        let registered = self.engine.load(&code[header.body..], limit, host)?;
        if let Err(error) = self.check(&registered, &header.name) {
            self.engine.release(registered.iter().map(|function| function.slot));
            return Err(error.into());
        }
        let library = Library {
            name: header.name.clone(),
            code: code.into(),
            functions: registered.into_iter().map(Function::from).collect(),
        };
        if let Some(replaced) = self.registry.insert(library) {
            self.release(&replaced);
        }
        Ok(header.name)
    }

    /// Whether a library of `name` may have these functions.
    fn check(&self, registered: &[Registration], name: &str) -> Result<(), RegistryError> {
        if registered.is_empty() {
            return Err(RegistryError::NoFunctions);
        }
        match self.registry.conflict(registered.iter().map(|function| &*function.name), Some(name)) {
            Some(taken) => Err(RegistryError::FunctionExists(taken.into())),
            None => Ok(()),
        }
    }

    /// Deletes a library.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Error> {
        let library = self.registry.remove(name).ok_or(RegistryError::LibraryNotFound)?;
        self.release(&library);
        Ok(())
    }

    fn release(&mut self, library: &Library) {
        self.engine.release(library.functions.iter().map(|function| function.slot.0));
    }

    /// Calls a function of this generation and writes what it returns to `sink`.
    ///
    /// # Errors
    /// What the function raised. Nothing was written to `sink` then.
    pub fn call<'a>(
        &self,
        function: &FunctionRef,
        keys: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        arguments: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        host: &mut dyn Host,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let function = function.function();
        Ok(self.engine.call(function.slot.0, &function.name, keys, arguments, host, sink)?)
    }
}

impl From<Registration> for Function {
    fn from(registration: Registration) -> Self {
        Self {
            name: registration.name,
            description: registration.description,
            flags: registration.flags,
            slot: Slot(registration.slot),
        }
    }
}
