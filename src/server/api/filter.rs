//! The filter that every command passes before the server looks it up.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::{ClientId, Context, ServerString, User, api, guarded, string_bytes};

/// What is done with commands.
pub trait CommandFilter {
    /// Whether [`filter`](Self::filter) is to see a command of this name. Every command of every client pays for this
    /// question, so it is asked outside of the guard: it must not panic.
    fn wants(name: &[u8]) -> bool;

    /// Reads and rewrites the command.
    fn filter(command: &mut FilteredCommand);
}

/// A filter that is installed.
pub struct InstalledFilter(NonNull<raw::RedisModuleCommandFilter>);

impl InstalledFilter {
    /// Installs `F`. Commands that the module itself runs do not pass it. None when the server refuses.
    pub fn new<F: CommandFilter>(context: &Context) -> Option<Self> {
        let flags = raw::REDISMODULE_CMDFILTER_NOSELF as c_int;
        // SAFETY: Living context; the callback is of the API's type.
        let filter = unsafe { api!(RedisModule_RegisterCommandFilter)(context.raw(), Some(pass::<F>), flags) };
        NonNull::new(filter).map(Self)
    }

    /// Takes the filter away.
    pub fn remove(self, context: &Context) {
        // SAFETY: Living context; the filter was registered by this module, and is given up here.
        unsafe { api!(RedisModule_UnregisterCommandFilter)(context.raw(), self.0.as_ptr()) };
    }
}

unsafe extern "C" fn pass<F: CommandFilter>(context: *mut raw::RedisModuleCommandFilterCtx) {
    let mut command = FilteredCommand { context, lifetime: PhantomData };
    if F::wants(command.word(0)) {
        filter::<F>(&mut command);
    }
}

/// Apart, so that a command that is not wanted does not pay for what this needs.
#[cold]
#[inline(never)]
fn filter<F: CommandFilter>(command: &mut FilteredCommand) {
    guarded(|| F::filter(command));
}

/// Who sent a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client.
    Client(ClientId),
    /// A connection without a user: the master of this replica.
    Master,
    /// A script of the server's own, or another module. Those run commands with clients that are in no list.
    Program,
    /// Servers before 7.2 do not tell.
    Unknown,
}

/// A command that passes the filter. It lives as long as the callback.
///
/// A word that was read is gone when it is replaced, which the compiler checks:
///
/// ```
/// # use shadow::server::{FilteredCommand, ServerString};
/// fn replace(command: &mut FilteredCommand, other: &ServerString) -> usize {
///     let length = command.word(0).len();
///     command.replace(0, other);
///     length
/// }
/// ```
///
/// ```compile_fail,E0502
/// # use shadow::server::{FilteredCommand, ServerString};
/// fn replace(command: &mut FilteredCommand, other: &ServerString) -> usize {
///     let word = command.word(0);
///     command.replace(0, other);
///     word.len()
/// }
/// ```
pub struct FilteredCommand<'a> {
    context: *mut raw::RedisModuleCommandFilterCtx,
    lifetime: PhantomData<&'a ()>,
}

impl FilteredCommand<'_> {
    /// The number of words, the name included.
    pub fn word_count(&self) -> usize {
        // SAFETY: the context is alive during the callback.
        usize::try_from(unsafe { api!(RedisModule_CommandFilterArgsCount)(self.context) }).unwrap_or(0)
    }

    /// The word at `position`; empty beyond the end.
    pub fn word(&self, position: usize) -> &[u8] {
        // SAFETY: the context is alive during the callback; beyond the end the server returns null. The word lives
        // until it is replaced, for which this command must not be borrowed.
        unsafe {
            let word = api!(RedisModule_CommandFilterArgGet)(self.context, position as c_int);
            if word.is_null() { &[] } else { string_bytes(word) }
        }
    }

    /// Puts `word` in the place of the one at `position`.
    pub fn replace(&mut self, position: usize, word: &ServerString) {
        // SAFETY: the context is alive; the server takes over the reference that is added here.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgReplace)(self.context, position as c_int, word.raw());
        }
    }

    /// Puts `word` before the one at `position`.
    pub fn insert(&mut self, position: usize, word: &ServerString) {
        // SAFETY: as in `replace`.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgInsert)(self.context, position as c_int, word.raw());
        }
    }

    /// Who sent the command.
    pub fn sender(&self, context: &Context) -> Sender {
        // SAFETY: the context is alive during the callback. Optional: absent before 7.2.
        let id = unsafe { raw::RedisModule_CommandFilterGetClientId.map(|client_id| client_id(self.context)) };
        let Some(client) = id.map(ClientId::new) else { return Sender::Unknown };
        match User::of_client(context, client) {
            Ok(_) => Sender::Client(client),
            Err(libc::ENOTSUP) => Sender::Master,
            Err(_) => Sender::Program,
        }
    }
}
