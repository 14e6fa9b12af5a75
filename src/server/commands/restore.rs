use super::super::api::{Arguments, Context};
use super::super::module::{self, Policy};
use super::super::stock;
use super::entry::Command;
use super::{is_option, wrong_arguments};
use crate::error::Error;

/// `SHADOW.FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]`: loads the libraries of a payload, all or none.
pub struct Restore;

/// `SHADOW.FUNCTION IMPORT [FLUSH | APPEND | REPLACE]`: copies the libraries of the server's own registry.
pub struct Import;

impl Command for Restore {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        if arguments.len() > 4 {
            return Err(wrong_arguments(arguments));
        }
        let policy = policy(arguments.range(3, arguments.len()).next())?;
        module::write(context)?.restore(context, arguments.get(2), policy)?;
        context.replicate_verbatim();
        context.reply_ok();
        Ok(())
    }
}

impl Command for Import {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        if arguments.len() > 3 {
            return Err(wrong_arguments(arguments));
        }
        let policy = policy(arguments.range(2, arguments.len()).next())?;
        let payload = stock::functions(context).ok_or("ERR The server's own functions cannot be read")?;
        module::write(context)?.restore(context, &payload, policy)?;
        // Replicas have functions of their own: they get what was imported here.
        replicate_restore(context, &payload, policy);
        context.reply_ok();
        Ok(())
    }
}

/// Sends a RESTORE to the replicas and the append-only file.
pub fn replicate_restore(context: &Context, payload: &[u8], policy: Policy) {
    context.replicate(c"SHADOW.FUNCTION", &[b"RESTORE", payload, policy.word().to_bytes()]);
}

fn policy(word: Option<&[u8]>) -> Result<Policy, Error> {
    let Some(word) = word else { return Ok(Policy::Append) };
    [Policy::Flush, Policy::Append, Policy::Replace]
        .into_iter()
        .find(|policy| policy.word().to_str().is_ok_and(|name| is_option(word, name)))
        .ok_or_else(|| "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.".into())
}
