//! Interception: FUNCTION, FCALL and FCALL_RO, as clients type them, answered by the shadow registry.
//!
//! The server offers every command to the module's filter before it looks it up. The filter replaces the name that was
//! typed by that of the shadow command; everything else (permissions, keys, MULTI, replication) then sees the shadow
//! command. A command that the server would refuse by itself (an unknown subcommand, a wrong number of words) is left
//! alone, so that the refusal names what was typed.

pub mod debug;
mod permissions;

use std::cell::RefCell;

use super::api::{Arguments, CommandFilter, Context, FilteredCommand, InstalledFilter, ServerString};
use super::commands::spec::Spec;
use super::main_thread::MainThread;
use super::running;
use crate::engine::{Callable, Dialect};
use crate::error::Error;

/// A command that is intercepted.
struct Interception {
    /// The word that clients type.
    typed: &'static str,
    /// The module's command that takes its place.
    command: &'static Spec,
    /// The name of that command. Each intercepted command holds this very string, and is known by it.
    name: ServerString,
}

impl Interception {
    /// The interception for `command`; None if the server has no command of that name.
    fn new(command: &'static Spec) -> Option<Self> {
        Some(Self { typed: command.stock_name()?, command, name: ServerString::new(command.name.to_bytes()) })
    }

    /// Whether the server would take the command, by its subcommand and its number of words.
    fn admits(&self, words: &FilteredCommand) -> bool {
        if self.command.subcommands.is_empty() {
            return self.command.stock_takes(words.word_count());
        }
        let word = words.word(1);
        let mut subcommands = self.command.subcommands.iter();
        let found = subcommands.find(|subcommand| word.eq_ignore_ascii_case(subcommand.name.to_bytes()));
        found.is_some_and(|subcommand| subcommand.stock_takes(words.word_count()))
    }
}

/// What the filter needs while it is installed.
struct Filter {
    installed: InstalledFilter,
    dialect: Dialect,
    /// The module's commands.
    commands: Vec<&'static Spec>,
    interceptions: Vec<Interception>,
    /// A command that must wait while a function is running.
    waits: [ServerString; 2],
}

impl Filter {
    /// The interception that gave this command its name; None if it was typed by that name.
    fn interception(&self, arguments: Arguments) -> Option<&Interception> {
        self.interceptions.iter().find(|one| arguments.is_named_by(&one.name))
    }

    /// Apart, so that a command does not pay for what this needs while no filter is installed.
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

/// Runs `body` with the filter; None if none is installed.
fn with_filter<T>(body: impl FnOnce(&Filter) -> T) -> Option<T> {
    FILTER.try_borrow().ok()?.as_ref().map(body)
}

/// Whether the server's commands for functions, or for scripts, are intercepted.
pub fn answers(callable: Callable) -> bool {
    with_filter(|_| callable == Callable::Function).unwrap_or(false)
}

/// Begins to intercept the server's commands that one of `commands` stands beside.
///
/// # Errors
/// When the server refuses the filter.
pub fn install(
    context: &Context,
    dialect: Dialect,
    commands: impl Iterator<Item = &'static Spec>,
) -> Result<(), String> {
    let commands: Vec<&Spec> = commands.filter(|command| command.callable == Callable::Function).collect();
    let interceptions = commands.iter().filter_map(|command| Interception::new(command)).collect();
    let waits = [ServerString::new(b"shadow.function"), ServerString::new(b"list")];
    let installed = InstalledFilter::new::<Rewriting>(context).ok_or("the server refused the command filter")?;
    FILTER.replace(Some(Filter { installed, dialect, commands, interceptions, waits }));
    Ok(())
}

/// Stops intercepting; called when the module is unloaded.
pub fn remove(context: &Context) {
    if let Some(filter) = FILTER.take() {
        filter.installed.remove(context);
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

/// Checks the permissions of an intercepted command under its typed name; any other command passes.
///
/// # Errors
/// The server's refusal of the typed command.
pub fn authorise(context: &Context, arguments: Arguments) -> Result<(), Error> {
    with_filter(|filter| filter.authorise(context, arguments)).unwrap_or(Ok(()))
}

/// What the server calls for every command of every client.
struct Rewriting;

impl CommandFilter for Rewriting {
    /// Compares only the length of the name and its first letter, because every command of every client pays for it;
    /// the letter, because GET and SET are as long as `acl`.
    #[inline]
    fn wants(name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        // `acl`; `fcall`, `debug`; `script`; `function`, `fcall_ro`.
        matches!((name.len(), first | 0x20), (3, b'a') | (5, b'f' | b'd') | (6, b's') | (8, b'f'))
    }

    fn filter(command: &mut FilteredCommand) {
        with_filter(|filter| filter.rewrite(command));
    }
}

impl Filter {
    fn rewrite(&self, command: &mut FilteredCommand) {
        let typed = command.word(0).to_ascii_lowercase();
        match typed.as_slice() {
            // Redis 7.0 puts no command of a module into a category: rules for categories are given by name there.
            b"acl" => permissions::translate(command, &self.commands, self.dialect.is_7_0()),
            b"debug" => debug::note(command),
            // The server believes that no script is running. Rewritten to a command that must wait, SCRIPT KILL gets
            // the -BUSY that it should get.
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
                    && interception.admits(command)
                    && command.is_from_a_client()
                {
                    command.replace(0, &interception.name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::registered;
    use super::*;

    #[test]
    fn every_name_that_is_rewritten_or_followed_is_wanted() {
        let of_functions = registered().filter(|command| command.callable == Callable::Function);
        let typed: Vec<&str> = of_functions.filter_map(Spec::stock_name).collect();
        assert_eq!(typed, ["function", "fcall", "fcall_ro"]);
        for name in typed.into_iter().chain(["acl", "debug", "script"]) {
            assert!(Rewriting::wants(name.as_bytes()) && Rewriting::wants(name.to_uppercase().as_bytes()), "{name}");
        }
        for name in ["get", "set", "hset", "incr", "eval", "lpush", "config", "evalsha", "sort_ro", ""] {
            assert!(!Rewriting::wants(name.as_bytes()), "{name}");
        }
    }
}
