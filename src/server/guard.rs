//! The guard at the C boundary: every function that the server calls goes through here.
//!
//! A panic must not unwind into the server. It leaves a line in the log, and the server goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use super::api::log;
use crate::fault;

/// Runs `body`, which the server called; None after a panic. `context` is for the line in the log and may be null.
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
    let line = format!("internal error: {}", fault::words(panic));
    let _ = catch_unwind(AssertUnwindSafe(|| log(context, c"warning", line.as_bytes())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_callback_and_goes_no_further() {
        assert_eq!(callback(std::ptr::null_mut(), || 1), Some(1));
        assert_eq!(callback::<()>(std::ptr::null_mut(), || panic!("in a test")), None);
        assert_eq!(callback::<()>(std::ptr::null_mut(), || std::panic::panic_any(7)), None);
    }
}
