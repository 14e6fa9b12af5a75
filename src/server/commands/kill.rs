use super::super::api::{Arguments, Context};
use super::super::busy::busy_error;
use super::super::module;
use super::super::running::with_current;
use super::super::stock;
use super::entry::Command;
use super::wrong_arity;
use crate::engine::Callable;
use crate::error::Error;

const NOT_BUSY: &str = "NOTBUSY No scripts in execution right now.";
const FROM_MASTER: &str = "UNKILLABLE The busy script was sent by a master instance in the context of replication and \
     cannot be killed.";
const HAS_WRITTEN: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
     either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";

/// `SHADOW.FUNCTION KILL [FORCE]`: ends the running function; with FORCE also one that has written.
pub struct Kill;

impl Command for Kill {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        kill(context, arguments, Callable::Function)
    }
}

/// Ends the running call if it is one of `callable`.
pub fn kill(context: &Context, arguments: Arguments, callable: Callable) -> Result<(), Error> {
    let force = match arguments.len() {
        2 => false,
        _ if arguments.len() == 3 && arguments.get(2).eq_ignore_ascii_case(b"force") => true,
        _ => return Err(wrong_arity(arguments)),
    };
    with_current(|running| {
        let Some(running) = running else {
            // A script of the server's own may be the one that everybody waits for.
            return Err(stock::busy_error(context).map_or_else(|| NOT_BUSY.into(), Error::new));
        };
        if running.obeys {
            return Err(FROM_MASTER.into());
        }
        if !force && running.has_written(context) {
            return Err(HAS_WRITTEN.into());
        }
        if running.callee.callable != callable {
            return Err(busy_error(context, &module::read()?.dialect, running.callee.callable));
        }
        running.kill();
        context.reply_ok();
        Ok(())
    })
}
