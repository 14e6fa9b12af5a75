//! Functions and scripts alike: each by its name, with what is known of its calls.

use std::sync::Arc;

use super::module::Module;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::{Callback, FunctionRef, Library, Script};

/// A function or a script.
pub struct Named<'m> {
    /// The function's name as registered, or the digest of the script.
    pub name: &'m str,
    /// The library of a function; None for a script.
    pub library: Option<&'m Library>,
    pub callback: &'m Callback,
}

impl<'m> Named<'m> {
    fn function(found: &'m FunctionRef) -> Self {
        let function = found.function();
        Self { name: &function.name, library: Some(found.library()), callback: &function.callback }
    }

    fn script(script: &'m Arc<Script>) -> Self {
        Self { name: &script.name, library: None, callback: &script.callback }
    }

    /// All functions, or all scripts, in no particular order.
    pub fn all(module: &'m Module, callable: Callable) -> Vec<Self> {
        match callable {
            Callable::Function => {
                module.functions.generation().registry().function_refs().map(Self::function).collect()
            }
            Callable::Script => module.scripts.generation().registry().scripts().map(Self::script).collect(),
        }
    }

    /// The function, or the script, of this name.
    ///
    /// # Errors
    /// The server's text for a name that does not exist.
    pub fn find(module: &'m Module, callable: Callable, name: &[u8]) -> Result<Self, Error> {
        let (found, absent) = match callable {
            Callable::Function => {
                let found = module.functions.generation().registry().function(name);
                (found.map(Self::function), "ERR Function not found")
            }
            Callable::Script => {
                let found = module.scripts.generation().registry().script(name);
                (found.map(Self::script), module.dialect.words.no_script)
            }
        };
        found.ok_or_else(|| absent.into())
    }

    /// Those that `names` name, in that order; all of them, by their names, if there are none.
    ///
    /// # Errors
    /// The server's text for a name that does not exist.
    pub fn chosen<'n>(
        module: &'m Module,
        callable: Callable,
        names: impl ExactSizeIterator<Item = &'n [u8]>,
    ) -> Result<Vec<Self>, Error> {
        if names.len() > 0 {
            return names.map(|name| Self::find(module, callable, name)).collect();
        }
        let mut all = Self::all(module, callable);
        all.sort_unstable_by_key(|one| one.name);
        Ok(all)
    }
}
