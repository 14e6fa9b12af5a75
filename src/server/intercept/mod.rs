//! Interception: FUNCTION, FCALL and FCALL_RO, as clients type them, answered by the shadow registry.
//!
//! The server offers every command to the module's filter before it looks it up. The filter puts the shadow command's
//! name in the place of the word that was typed; everything else (permissions, keys, MULTI, replication) then sees the
//! shadow command. What the server would refuse by itself (an unknown subcommand, a wrong number of words) is left to
//! it, so that the text of the refusal names what was typed.

pub mod debug;
mod permissions;

use std::cell::RefCell;

use redis_module::raw;

use super::api::{Arguments, Context, FilteredCommand, Text, api};
use super::commands::spec::Spec;
use super::guard;
use super::main_thread::MainThread;
use super::running;
use crate::engine::Dialect;
use crate::error::Error;

/// A command that is intercepted.
struct Interception {
    /// The word that clients type.
    typed: &'static str,
    /// What stands in its place.
    command: &'static Spec,
    /// Its name. Each command that gets it holds a reference to this string, so that an intercepted command is known by
    /// the very string it is named with.
    name: Text,
}

impl Interception {
    /// The interception of a command that the server has, too.
    fn new(command: &'static Spec) -> Option<Self> {
        Some(Self { typed: command.stock_name()?, command, name: Text::new(command.name.to_bytes()) })
    }

    /// Whether the server would not refuse the command for its words alone.
    fn admits(&self, words: &FilteredCommand) -> bool {
        if self.command.subcommands.is_empty() {
            return self.command.stock_takes(words.len());
        }
        let word = words.word(1);
        let mut subcommands = self.command.subcommands.iter();
        let found = subcommands.find(|subcommand| word.eq_ignore_ascii_case(subcommand.name.to_bytes()));
        found.is_some_and(|subcommand| subcommand.stock_takes(words.len()))
    }
}

/// The filter while it is installed.
struct Filter {
    handle: *mut raw::RedisModuleCommandFilter,
    dialect: Dialect,
    /// The module's commands.
    commands: Vec<&'static Spec>,
    interceptions: Vec<Interception>,
    /// A command that waits for a running function.
    waits: [Text; 2],
}

impl Filter {
    /// What made this command what it is; None for one that was typed so.
    fn interception(&self, arguments: Arguments) -> Option<&Interception> {
        self.interceptions.iter().find(|one| arguments.is_named_by(&one.name))
    }

    /// Apart, so that a command that passes no filter is not made to wait for what this needs.
    #[inline(never)]
    fn authorise(&self, context: &Context, arguments: Arguments) -> Result<(), Error> {
        match self.interception(arguments) {
            Some(interception) => permissions::check(context, arguments, interception, &self.dialect),
            None => Ok(()),
        }
    }
}

/// The filter that is installed.
static FILTER: MainThread<RefCell<Option<Filter>>> = MainThread::new(RefCell::new(None));

/// Lends the filter to `body`, if one is installed.
fn with_filter<T>(body: impl FnOnce(&Filter) -> T) -> Option<T> {
    FILTER.try_borrow().ok()?.as_ref().map(body)
}

/// Whether commands are intercepted.
pub fn is_installed() -> bool {
    with_filter(|_| ()).is_some()
}

/// Starts to intercept those of the module's `commands` that the server has, too.
///
/// # Errors
/// When the server refuses the filter.
pub fn install(
    context: &Context,
    dialect: Dialect,
    commands: impl Iterator<Item = &'static Spec>,
) -> Result<(), String> {
    let commands: Vec<&Spec> = commands.collect();
    let interceptions = commands.iter().filter_map(|command| Interception::new(command)).collect();
    let waits = [Text::new(b"shadow.function"), Text::new(b"list")];
    // SAFETY: the context is that of the module's entry point.
    let handle = unsafe {
        api!(RedisModule_RegisterCommandFilter)(context.raw(), Some(filter), raw::REDISMODULE_CMDFILTER_NOSELF as i32)
    };
    if handle.is_null() {
        return Err("the server refused the command filter".to_owned());
    }
    FILTER.replace(Some(Filter { handle, dialect, commands, interceptions, waits }));
    Ok(())
}

/// Stops intercepting; called when the module is unloaded.
pub fn remove(context: &Context) {
    if let Some(filter) = FILTER.take() {
        // SAFETY: the context is that of the callback that is running; `install` has registered the filter with this
        // module, and it is taken, so this happens once.
        unsafe { api!(RedisModule_UnregisterCommandFilter)(context.raw(), filter.handle) };
    }
}

/// The name by which an intercepted command was typed, in lower case; None for one that was not intercepted.
pub fn intercepted_name(arguments: Arguments) -> Option<&'static str> {
    with_filter(|filter| filter.interception(arguments).map(|one| one.typed)).flatten()
}

/// The name of the command as the client typed it, in lower case.
pub fn typed_name(arguments: Arguments) -> Vec<u8> {
    match intercepted_name(arguments) {
        Some(typed) => typed.into(),
        None => arguments.get(0).to_ascii_lowercase(),
    }
}

/// Checks an intercepted command's permissions as it was typed; any other passes.
///
/// # Errors
/// The server's refusal of the typed command.
pub fn authorise(context: &Context, arguments: Arguments) -> Result<(), Error> {
    with_filter(|filter| filter.authorise(context, arguments)).unwrap_or(Ok(()))
}

/// Runs before every command of every client.
unsafe extern "C" fn filter(context: *mut raw::RedisModuleCommandFilterCtx) {
    // SAFETY: the context of the callback that is running.
    let command = unsafe { FilteredCommand::new(context) };
    if may_be_ours(command.word(0)) {
        rewrite(context, command);
    }
}

/// A first look, which every command of every client pays: at the length of its name and the first letter, because GET
/// and SET are as long as `acl`.
#[inline]
fn may_be_ours(name: &[u8]) -> bool {
    let Some(first) = name.first() else { return false };
    // `acl`; `fcall`, `debug`; `script`; `function`, `fcall_ro`.
    matches!((name.len(), first | 0x20), (3, b'a') | (5, b'f' | b'd') | (6, b's') | (8, b'f'))
}

/// Rewrites a command that may be one of ours. Apart, so that any other one is not made to wait for what this needs.
#[cold]
#[inline(never)]
fn rewrite(context: *mut raw::RedisModuleCommandFilterCtx, command: FilteredCommand) {
    guard::callback(std::ptr::null_mut(), || with_filter(|filter| filter.rewrite(context, command)));
}

impl Filter {
    fn rewrite(&self, context: *mut raw::RedisModuleCommandFilterCtx, command: FilteredCommand) {
        let typed = command.word(0).to_ascii_lowercase();
        match typed.as_slice() {
            // Where the server puts no command of a module into a category, rules for categories are given by name.
            b"acl" => permissions::translate(&command, &self.commands, self.dialect.is_7_0()),
            b"debug" => debug::note(&command),
            // To the server no script of its own runs. What it would say of one is what it says of any command that
            // has to wait for ours.
            b"script" => {
                if command.word(1).eq_ignore_ascii_case(b"kill") && running::is_any() {
                    for (position, word) in self.waits.iter().enumerate() {
                        command.replace(position, word);
                    }
                }
            }
            _ => {
                let interception = self.interceptions.iter().find(|one| one.typed.as_bytes() == typed);
                if let Some(interception) = interception
                    && interception.admits(&command)
                    && is_from_a_client(context)
                {
                    command.replace(0, &interception.name);
                }
            }
        }
    }
}

/// Whether a client sent the command, rather than another module. Servers before 7.2 do not tell.
fn is_from_a_client(context: *mut raw::RedisModuleCommandFilterCtx) -> bool {
    // SAFETY: the context is alive during the callback. Without a place for the answer the call only says whether
    // there is a client of that id; those that modules run commands with are in no list.
    unsafe {
        match raw::RedisModule_CommandFilterGetClientId {
            Some(client_id) => {
                let id = client_id(context);
                api!(RedisModule_GetClientInfoById)(std::ptr::null_mut(), id) as isize == raw::REDISMODULE_OK
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::registered;
    use super::*;

    #[test]
    fn every_name_that_is_rewritten_or_followed_passes_the_first_look() {
        let typed: Vec<&str> = registered().filter_map(Spec::stock_name).collect();
        assert_eq!(typed, ["function", "fcall", "fcall_ro"]);
        for name in typed.into_iter().chain(["acl", "debug", "script"]) {
            assert!(may_be_ours(name.as_bytes()) && may_be_ours(name.to_uppercase().as_bytes()), "{name}");
        }
        for name in ["get", "set", "hset", "incr", "eval", "lpush", "config", "evalsha", "sort_ro", ""] {
            assert!(!may_be_ours(name.as_bytes()), "{name}");
        }
    }
}
