//! How the server enters a command.

use super::super::api::command::Enter;
use super::super::api::{Arguments, Context};
use super::super::intercept::authorise;
use crate::engine::Callable;
use crate::error::{Error, INTERNAL};

/// Whether a command that there is for functions and for scripts is that for functions or that for scripts.
pub trait Kind {
    /// What the command is about.
    const CALLABLE: Callable;
}

/// The command for functions.
pub struct OfFunctions;

/// The command for scripts.
pub struct OfScripts;

impl Kind for OfFunctions {
    const CALLABLE: Callable = Callable::Function;
}

impl Kind for OfScripts {
    const CALLABLE: Callable = Callable::Script;
}

/// A command of the module.
pub trait Command {
    /// Runs the command and replies.
    ///
    /// # Errors
    /// The error becomes the reply; nothing was replied then.
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error>;
}

impl<C: Command> Enter for C {
    fn enter(context: &Context, arguments: Arguments) {
        let result = authorise(context, arguments).and_then(|()| C::run(context, arguments));
        if let Err(error) = result {
            context.reply_error(error.text());
        }
    }

    fn recover(context: &Context) {
        if context.replied() {
            // Part of a reply is on its way: the client would take whatever follows for the rest of it.
            context.close_client();
        } else {
            context.reply_error(INTERNAL.as_bytes());
        }
    }
}
