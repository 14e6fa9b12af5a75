//! How the server enters a command.

use std::ffi::c_int;

use redis_module::raw;

use super::super::api::{Arguments, Context};
use super::super::guard;
use super::super::intercept::authorise;
use crate::error::Error;

/// What a command that panicked answers.
const INTERNAL: &[u8] = b"ERR internal error in the shadow module, see the server's log";

/// A command of the module: what its C function does.
pub trait Command {
    /// Runs the command and replies.
    ///
    /// # Errors
    /// The error becomes the reply; nothing was replied then.
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error>;
}

/// The C function of the command `C`.
pub extern "C" fn command<C: Command>(
    context: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server calls this with the context and the arguments of a command, which live until it returns.
    let (context, arguments) = unsafe { (Context::new(context), Arguments::new(argv, argc)) };
    let outcome = guard::callback(context.raw(), || {
        authorise(&context, arguments)?;
        C::run(&context, arguments)
    });
    match outcome {
        Some(Ok(())) => {}
        Some(Err(error)) => context.reply_error(error.text()),
        // Half a reply is on its way: whatever followed would be taken for the rest of it.
        None if context.replied() => drop(guard::callback(context.raw(), || context.close_client())),
        None => drop(guard::callback(context.raw(), || context.reply_error(INTERNAL))),
    }
    raw::REDISMODULE_OK as c_int
}
