//! The subcommands of SHADOW.SCRIPT.

mod list;

use super::super::api::{Arguments, Context, State};
use super::super::kept_scripts::{PAUSED, are_sent, are_spared, keep, send_flush};
use super::super::module::{self, FlushMode, keeps_scripts};
use super::entry::Command;
use super::flush::{default_mode, mode};
use super::kill::kill;
use crate::c_string::to_nul;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::Origin;

pub use list::List;

/// `SHADOW.SCRIPT LOAD script`: caches a script and replies with its digest.
pub struct Load;

impl Command for Load {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let (code, origin) = (arguments.get(2), Origin::Load);
        let script = {
            let mut module = module::write(context)?;
            if are_sent(context.state()) && context.writes_are_paused() && module.owes_script(code, origin) {
                return Err(PAUSED.into());
            }
            module.cache_script(context, code, origin, || are_spared(context))?
        };
        keep(context, &script.digest, false)?;
        context.reply_bulk(script.digest.as_bytes());
        Ok(())
    }
}

/// `SHADOW.SCRIPT EXISTS sha1 [sha1 ...]`: which of these are cached.
pub struct Exists;

impl Command for Exists {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let module = module::read()?;
        let cache = module.scripts.generation().registry();
        context.reply_array(arguments.len() - 2);
        for digest in arguments.range(2, arguments.len()) {
            // The server reads it up to the first NUL.
            context.reply_integer(cache.script(to_nul(digest)).is_some().into());
        }
        Ok(())
    }
}

/// `SHADOW.SCRIPT FLUSH [ASYNC | SYNC]`: deletes all scripts.
pub struct Flush;

impl Command for Flush {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let mode = match arguments.len() {
            2 => Some(default_mode(context)),
            3 => mode(arguments.get(2)),
            _ => None,
        };
        let mode: FlushMode = mode.ok_or("ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
        let state = context.state();
        if are_sent(state) && context.writes_are_paused() {
            return Err(PAUSED.into());
        }
        // Without what its master keeps, a replica could not take its place.
        if keeps_scripts() && state.contains(State::SLAVE | State::READONLY) && !state.obeys() {
            return Err("READONLY You can't write against a read only replica.".into());
        }
        module::write(context)?.flush_scripts(context, mode)?;
        send_flush(context, mode);
        context.reply_ok();
        Ok(())
    }
}

/// `SHADOW.SCRIPT KILL [FORCE]`: ends the running script; with FORCE also one that has written.
pub struct Kill;

impl Command for Kill {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        kill(context, arguments, Callable::Script)
    }
}

/// `SHADOW.SCRIPT SHOW sha1`: the text of a cached script.
pub struct Show;

impl Command for Show {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let module = module::read()?;
        let found = module.scripts.generation().registry().script(arguments.get(2));
        let script = found.ok_or(module.dialect.words.no_script)?;
        context.reply_bulk(&script.code);
        Ok(())
    }
}

/// `SHADOW.SCRIPT DEBUG YES | SYNC | NO`: refused. A debugger takes over the connection, which no module can give it.
pub struct Debug;

impl Command for Debug {
    fn run(_: &Context, _: Arguments) -> Result<(), Error> {
        Err("ERR Scripts of the shadow cache cannot be debugged: use SCRIPT DEBUG and EVAL of the server itself".into())
    }
}
