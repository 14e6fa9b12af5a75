//! The subcommands of SHADOW.SCRIPT.

use super::super::api::{Arguments, Context};
use super::super::module::{self, FlushMode};
use super::entry::Command;
use super::flush::{default_mode, mode};
use super::kill::kill;
use crate::c_string::to_nul;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::Origin;

/// `SHADOW.SCRIPT LOAD script`: caches a script and replies with its digest.
pub struct Load;

impl Command for Load {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let script = module::write(context)?.cache_script(context, arguments.get(2), Origin::Load)?;
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
        module::write(context)?.flush_scripts(context, mode)?;
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
