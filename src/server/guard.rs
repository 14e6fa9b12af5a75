//! The guard at the C boundary: every function that the server calls goes through here.
//!
//! A panic must not unwind into the server. It ends the command with an error, leaves a line in the log, and the
//! server goes on.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use super::api::{Arguments, Context, log};
use super::intercept::authorise;
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
    let run = || {
        authorise(&context, arguments)?;
        C::run(&context, arguments)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => context.reply_error(error.text()),
        Err(panic) => {
            report(context.raw(), &*panic);
            if context.replied() {
                // Half a reply is on its way: whatever followed would be taken for the rest of it.
                let _ = catch_unwind(AssertUnwindSafe(|| context.close_client()));
            } else {
                let _ = catch_unwind(AssertUnwindSafe(|| context.reply_error(INTERNAL)));
            }
        }
    }
    raw::REDISMODULE_OK as c_int
}

/// Runs `body`, a callback of the server that cannot reply; None after a panic.
pub fn callback<T>(context: *mut raw::RedisModuleCtx, body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => Some(result),
        Err(panic) => {
            report(context, &*panic);
            None
        }
    }
}

fn report(context: *mut raw::RedisModuleCtx, panic: &(dyn Any + Send)) {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words");
    let line = format!("internal error: {what}");
    let _ = catch_unwind(AssertUnwindSafe(|| log(context, c"warning", line.as_bytes())));
}
