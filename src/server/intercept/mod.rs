//! Interception: the server's commands for functions and for scripts, as clients type them, answered by the module.
//!
//! The server offers every command to the module's filter before it looks it up. The filter replaces the name that was
//! typed by that of the shadow command; everything else (permissions, keys, MULTI, replication) then sees the shadow
//! command. A command that the server would refuse by itself (an unknown subcommand, a wrong number of words) is left
//! alone, so that the refusal names what was typed. So is what the server alone can do: a script of another engine, the
//! debugger, the end of a call that is not ours.

pub mod debug;
mod debugger;
mod permissions;

use std::cell::RefCell;

use bitflags::bitflags;

use super::api::{
    Arguments, CommandFilter, Context, DetachedContext, FilteredCommand, InstalledFilter, KnownCommand, Sender,
    ServerString,
};
use super::commands::spec::Spec;
use super::main_thread::MainThread;
use super::running;
use crate::engine::{Callable, Dialect};
use crate::error::Error;
use crate::registry::declaration::{Engines, names_other_engine};
use debugger::Requests;

bitflags! {
    /// Which of the server's commands are intercepted: the values of the setting `shadow.intercept`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Scope: i64 {
        /// FUNCTION, FCALL, FCALL_RO.
        const FUNCTIONS = 1;
        /// SCRIPT, EVAL, EVALSHA, EVAL_RO, EVALSHA_RO.
        const SCRIPTS = 2;
    }
}

impl Scope {
    /// Whether it has the commands for functions, or for scripts.
    const fn has(self, callable: Callable) -> bool {
        self.contains(match callable {
            Callable::Function => Self::FUNCTIONS,
            Callable::Script => Self::SCRIPTS,
        })
    }
}

/// A command of the server that the module has as well.
struct Interception {
    /// The word that clients type.
    typed: &'static str,
    /// The server's command of that name.
    stock: KnownCommand,
    /// The module's command that takes its place.
    command: &'static Spec,
    /// The name of that command. Each intercepted command holds this very string, and is known by it.
    name: ServerString,
}

impl Interception {
    /// The interception for `command`; None if the server has no command of that name.
    fn new(context: &Context, command: &'static Spec) -> Option<Self> {
        let (typed, name) = (command.stock_name()?, ServerString::new(command.name.to_bytes()));
        Some(Self { typed, stock: KnownCommand::new(context, typed), command, name })
    }

    /// Whether the server would take the command, by its subcommand and its number of words.
    fn admits(&self, words: &FilteredCommand, dialect: &Dialect) -> bool {
        if self.command.subcommands.is_empty() {
            return self.command.stock_takes(words.word_count(), dialect);
        }
        let word = words.word(1);
        let mut subcommands = self.command.subcommands.iter();
        let found = subcommands.find(|subcommand| word.eq_ignore_ascii_case(subcommand.name.to_bytes()));
        found.is_some_and(|subcommand| subcommand.stock_takes(words.word_count(), dialect))
    }

    /// Whether it calls something, rather than to manage what is called.
    const fn calls(&self) -> bool {
        self.command.subcommands.is_empty()
    }

    /// Whether the command is this subcommand of it.
    fn is(&self, words: &FilteredCommand, subcommand: &str) -> bool {
        !self.calls() && words.word(1).eq_ignore_ascii_case(subcommand.as_bytes())
    }
}

/// What the filter needs while it is installed.
struct Filter {
    installed: InstalledFilter,
    /// The server gives a filter none.
    context: DetachedContext,
    dialect: Dialect,
    scope: Scope,
    /// The module's commands.
    commands: Vec<&'static Spec>,
    interceptions: Vec<Interception>,
    /// A command that must wait while a call is running.
    waits: [ServerString; 2],
    debugger: Requests,
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
    with_filter(|filter| filter.scope.has(callable)).unwrap_or(false)
}

/// Begins to intercept the server's commands of this scope that one of `commands` stands beside.
///
/// # Errors
/// When the server refuses the filter.
pub fn install(
    context: &Context,
    dialect: Dialect,
    scope: Scope,
    commands: impl Iterator<Item = &'static Spec>,
) -> Result<(), String> {
    let commands: Vec<&Spec> = commands.collect();
    let interceptions = commands.iter().filter_map(|command| Interception::new(context, command)).collect();
    let waits = [ServerString::new(b"shadow.function"), ServerString::new(b"list")];
    let installed = InstalledFilter::new::<Rewriting>(context).ok_or("the server refused the command filter")?;
    let (context, debugger) = (DetachedContext::new(), Requests::default());
    FILTER.replace(Some(Filter { installed, context, dialect, scope, commands, interceptions, waits, debugger }));
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
    /// Compares only the length of the name and its first letters, because every command of every client pays for it:
    /// GET and SET are as long as `acl`, EXEC begins as `eval` does.
    #[inline]
    fn wants(name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        // `acl`; `eval`; `fcall`, `debug`; `script`; `evalsha`, `eval_ro`; `function`, `fcall_ro`; `evalsha_ro`.
        match (name.len(), first | 0x20) {
            (3, b'a') | (5, b'f' | b'd') | (6, b's') | (8, b'f') => true,
            (4 | 7 | 10, b'e') => name[1] | 0x20 == b'v',
            _ => false,
        }
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
            b"acl" => permissions::translate(command, &self.commands, self.scope, self.dialect.is_7_0()),
            b"debug" => debug::note(command),
            typed => {
                if let Some(interception) = self.interceptions.iter().find(|one| one.typed.as_bytes() == typed) {
                    self.intercept(command, interception);
                }
            }
        }
    }

    fn intercept(&self, command: &mut FilteredCommand, interception: &Interception) {
        let callable = interception.command.callable;
        if callable == Callable::Script && interception.is(command, "debug") {
            self.debugger.note(command, command.sender(self.context.get()));
        }
        if !interception.admits(command, &self.dialect) {
            return;
        }
        let kills = interception.is(command, "kill");
        if !self.scope.has(callable) {
            // The server believes that nothing is running. Rewritten to a command that must wait, what asks about a
            // running call gets the -BUSY that it should get.
            if running::is_any() && (kills || interception.is(command, "stats")) {
                for (position, word) in self.waits.iter().enumerate() {
                    command.replace(position, word);
                }
            }
            return;
        }
        // When nothing of ours runs, there may be a call of the server's own to end; otherwise both answer the same.
        if kills && !running::is_any() && interception.stock.is_there() {
            return;
        }
        let sender = command.sender(self.context.get());
        // What a master sends by the server's names is about the server's own: it may not intercept. Else it would have
        // sent ours.
        let is_typed = matches!(sender, Sender::Client(_) | Sender::Unknown);
        if is_typed && !self.belongs_to_the_server(command, interception, sender) {
            command.replace(0, &interception.name);
        }
    }

    /// Whether this is for the server's own engines: a script that names another engine than Lua, or a call of a client
    /// whose scripts are debugged.
    fn belongs_to_the_server(&self, command: &FilteredCommand, interception: &Interception, sender: Sender) -> bool {
        if interception.command.callable != Callable::Script {
            return false;
        }
        let code = match () {
            () if interception.calls() => 1,
            () if interception.is(command, "load") => 2,
            () => return false,
        };
        let is_foreign =
            self.dialect.engines() == Engines::Any && names_other_engine(command.word(code), self.dialect.quoting());
        is_foreign || interception.calls() && self.debugger.holds(self.context.get(), sender)
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::registered;
    use super::*;

    #[test]
    fn every_name_that_is_rewritten_or_followed_is_wanted() {
        let typed: Vec<&str> = registered().filter_map(Spec::stock_name).collect();
        let all = ["function", "fcall", "fcall_ro", "script", "eval", "evalsha", "eval_ro", "evalsha_ro"];
        assert_eq!(typed, all);
        for name in typed.into_iter().chain(["acl", "debug"]) {
            assert!(Rewriting::wants(name.as_bytes()) && Rewriting::wants(name.to_uppercase().as_bytes()), "{name}");
        }
        for name in ["get", "set", "hset", "incr", "exec", "echo", "lpush", "config", "exists", "expire", "sort_ro"] {
            assert!(!Rewriting::wants(name.as_bytes()), "{name}");
        }
        for name in ["", "a", "e", "f"] {
            assert!(!Rewriting::wants(name.as_bytes()), "{name}");
        }
    }
}
