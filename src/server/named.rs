use std::sync::Arc;

use super::super::module::Module;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::{Callback, FunctionRef, Library, Script};

/// A function or a script that a command tells about.
pub struct Chosen<'m> {
    /// The function's name as registered, or the digest of the script.
    pub name: &'m str,
    /// The library of a function; None for a script.
    pub library: Option<&'m Library>,
    pub callback: &'m Callback,
}

/// Those that `names` name, in that order; all of them, by their names, if there are none.
///
/// # Errors
/// The server's text for a name that does not exist.
pub fn chosen<'m, 'n>(
    module: &'m Module,
    callable: Callable,
    names: impl ExactSizeIterator<Item = &'n [u8]>,
) -> Result<Vec<Chosen<'m>>, Error> {
    let all = names.len() == 0;
    let mut chosen: Vec<Chosen> = match callable {
        Callable::Function => {
            let registry = module.functions.generation().registry();
            let of = |found: &'m FunctionRef| Chosen {
                name: &found.function().name,
                library: Some(found.library()),
                callback: &found.function().callback,
            };
            if all {
                registry.function_refs().map(of).collect()
            } else {
                let found = names.map(|name| registry.function(name).map(of).ok_or("ERR Function not found"));
                found.collect::<Result<_, _>>()?
            }
        }
        Callable::Script => {
            let cache = module.scripts.generation().registry();
            let of = |script: &'m Arc<Script>| Chosen { name: &script.name, library: None, callback: &script.callback };
            if all {
                cache.scripts().map(of).collect()
            } else {
                let found = names.map(|digest| cache.script(digest).map(of).ok_or(module.dialect.words.no_script));
                found.collect::<Result<_, _>>()?
            }
        }
    };
    if all {
        chosen.sort_unstable_by_key(|chosen| chosen.name);
    }
    Ok(chosen)
}
