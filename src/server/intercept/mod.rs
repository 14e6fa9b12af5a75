//! Interception: FUNCTION, FCALL and FCALL_RO, as clients type them, answered by the shadow registry.
//!
//! The server offers every command to the module's filter before it looks it up. The filter puts the shadow command's
//! name in the place of the word that was typed; everything else (permissions, keys, MULTI, replication) then sees the
//! shadow command. What the server would refuse by itself (an unknown subcommand, a wrong number of words) is left to
//! it, so that the text of the refusal names what was typed.

pub mod debug;
pub mod permissions;

use std::cell::Cell;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::{Arguments, Context, FilteredCommand, Text, api};
use super::guard;
use super::running::with_current;
use crate::engine::Dialect;
use crate::error::Error;

/// A command that is intercepted.
struct Interception {
    /// The word that clients type.
    typed: &'static str,
    /// What stands in its place.
    shadow: &'static str,
}

const INTERCEPTIONS: [Interception; 3] = [
    Interception { typed: "fcall", shadow: "shadow.fcall" },
    Interception { typed: "fcall_ro", shadow: "shadow.fcall_ro" },
    Interception { typed: "function", shadow: "shadow.function" },
];

/// The place of FUNCTION among them.
const FUNCTION: usize = 2;

/// The least number of words of FCALL and FCALL_RO.
const CALL_WORDS: usize = 3;

/// The server's subcommands of FUNCTION and the number of words that each takes; negative: at least so many.
const SUBCOMMANDS: [(&str, i32); 9] = [
    ("load", -3),
    ("delete", 3),
    ("flush", -2),
    ("restore", -3),
    ("dump", 2),
    ("list", -2),
    ("stats", 2),
    ("kill", 2),
    ("help", 2),
];

/// The filter while it is installed.
struct Filter {
    handle: *mut raw::RedisModuleCommandFilter,
    dialect: Dialect,
    /// The names put in place, in the order of `INTERCEPTIONS`. Each command that gets one holds a reference to it, so
    /// that an intercepted command is known by the very string it is named with.
    names: [Text; 3],
    /// A subcommand that waits for a running function.
    waits: Text,
}

/// A value for the server's thread alone.
struct MainThread<T>(T);

// SAFETY: read and written by callbacks of the server only, which all run on its main thread.
unsafe impl<T> Sync for MainThread<T> {}

/// The filter that is installed, which `install` has put on the heap and `remove` takes from there.
static FILTER: MainThread<Cell<Option<NonNull<Filter>>>> = MainThread(Cell::new(None));

/// The filter that is installed. It is removed only while nobody looks at it: when the module is unloaded.
fn installed<'a>() -> Option<&'a Filter> {
    // SAFETY: the address is there for as long as the filter, of which nothing changes.
    FILTER.0.get().map(|filter| unsafe { filter.as_ref() })
}

/// Whether commands are intercepted.
pub fn is_installed() -> bool {
    installed().is_some()
}

/// Starts to intercept.
///
/// # Errors
/// When the server refuses the filter.
pub fn install(context: &Context, dialect: Dialect) -> Result<(), String> {
    let names = INTERCEPTIONS.map(|interception| Text::new(interception.shadow.as_bytes()));
    // SAFETY: the context is that of the module's entry point.
    let handle = unsafe {
        api!(RedisModule_RegisterCommandFilter)(context.raw(), Some(filter), raw::REDISMODULE_CMDFILTER_NOSELF as i32)
    };
    if handle.is_null() {
        return Err("the server refused the command filter".to_owned());
    }
    let filter = Box::new(Filter { handle, dialect, names, waits: Text::new(b"list") });
    FILTER.0.set(NonNull::new(Box::into_raw(filter)));
    Ok(())
}

/// Stops intercepting; called when the module is unloaded.
pub fn remove(context: &Context) {
    if let Some(filter) = FILTER.0.take() {
        // SAFETY: the filter was made a raw address by `install`, registered there with the same module, and is registered
        // no more afterwards. Nothing refers to it now.
        unsafe {
            let filter = Box::from_raw(filter.as_ptr());
            api!(RedisModule_UnregisterCommandFilter)(context.raw(), filter.handle);
        }
    }
}

/// The name of the command as the client typed it, in lower case.
pub fn typed_name(arguments: Arguments) -> Vec<u8> {
    if let Some(filter) = installed() {
        for (name, interception) in filter.names.iter().zip(&INTERCEPTIONS) {
            if arguments.is_named_by(name) {
                return interception.typed.as_bytes().to_vec();
            }
        }
    }
    arguments.get(0).to_ascii_lowercase()
}

/// Checks an intercepted command's permissions as it was typed; any other passes.
///
/// # Errors
/// The server's refusal of the typed command.
pub fn authorise(context: &Context, arguments: Arguments) -> Result<(), Error> {
    let Some(filter) = installed() else { return Ok(()) };
    match permissions::intercepted_name(arguments) {
        Some(typed) => permissions::check(context, arguments, &typed, &filter.dialect),
        None => Ok(()),
    }
}

/// Runs before every command of every client. What is not ours leaves after a look at its length and first letter:
/// GET and SET are as long as `acl`.
unsafe extern "C" fn filter(context: *mut raw::RedisModuleCommandFilterCtx) {
    // SAFETY: the context of the callback that is running.
    let command = unsafe { FilteredCommand::new(context) };
    let name = command.word(0);
    let Some(first) = name.first() else { return };
    // `acl`; `fcall`, `debug`; `script`; `function`, `fcall_ro`.
    if matches!((name.len(), first | 0x20), (3, b'a') | (5, b'f' | b'd') | (6, b's') | (8, b'f')) {
        rewrite(context, command);
    }
}

/// Rewrites a command that may be one of ours. Apart, so that any other one is not made to wait for what this needs.
#[cold]
#[inline(never)]
fn rewrite(context: *mut raw::RedisModuleCommandFilterCtx, command: FilteredCommand) {
    guard::callback(std::ptr::null_mut(), || {
        let Some(filter) = installed() else { return };
        let typed = command.word(0).to_ascii_lowercase();
        match typed.as_slice() {
            b"acl" => permissions::translate(&command, filter.dialect.is_7_0()),
            b"debug" => debug::note(&command),
            // To the server no script of its own runs. What it would say of one is what it says of any command that
            // has to wait for ours.
            b"script" => {
                if command.word(1).eq_ignore_ascii_case(b"kill") && with_current(|running| running.is_some()) {
                    command.replace(0, &filter.names[FUNCTION]);
                    command.replace(1, &filter.waits);
                }
            }
            _ => {
                let which = INTERCEPTIONS.iter().position(|one| one.typed.as_bytes() == typed);
                if let Some(which) = which
                    && is_well_formed(&command, which)
                    && is_from_a_client(context)
                {
                    command.replace(0, &filter.names[which]);
                }
            }
        }
    });
}

/// Whether the server would not refuse the command for its words alone.
fn is_well_formed(command: &FilteredCommand, which: usize) -> bool {
    let words = command.len();
    if INTERCEPTIONS[which].typed != "function" {
        return words >= CALL_WORDS;
    }
    let subcommand = command.word(1);
    SUBCOMMANDS
        .iter()
        .find(|(name, _)| subcommand.eq_ignore_ascii_case(name.as_bytes()))
        .is_some_and(|&(_, arity)| if arity < 0 { words as i32 >= -arity } else { words as i32 == arity })
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
