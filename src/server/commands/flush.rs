use super::super::api::{Arguments, Context};
use super::super::module::{self, FlushMode};
use super::super::stock;
use super::entry::Command;
use super::{is_option, wrong_arguments};
use crate::error::Error;

/// `SHADOW.FUNCTION FLUSH [ASYNC | SYNC]`: deletes all libraries.
pub struct Flush;

impl Command for Flush {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let mode = match arguments.len() {
            2 => default_mode(context),
            3 => mode(arguments.get(2)).ok_or("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?,
            _ => return Err(wrong_arguments(arguments)),
        };
        module::write(context)?.flush(context, mode)?;
        // Also when there was nothing to delete, as the server does it.
        context.replicate_verbatim();
        context.reply_ok();
        Ok(())
    }
}

/// The mode that `word` asks for; None if it is none.
pub fn mode(word: &[u8]) -> Option<FlushMode> {
    if is_option(word, "async") {
        Some(FlushMode::Async)
    } else if is_option(word, "sync") {
        Some(FlushMode::Sync)
    } else {
        None
    }
}

/// The server's setting decides, read anew each time: it can be changed while the server runs.
pub fn default_mode(context: &Context) -> FlushMode {
    match stock::setting(context, c"lazyfree-lazy-user-flush").as_deref() {
        Some(b"yes") => FlushMode::Async,
        _ => FlushMode::Sync,
    }
}
