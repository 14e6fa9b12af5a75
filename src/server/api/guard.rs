//! The guard at the C boundary: every function that the server calls runs its body in here.
//!
//! A panic must not unwind into the server. It leaves a line in the log, and the server goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Context, log_in};
use crate::fault;

/// Runs `body`; None after a panic, which is logged without the name of the module.
pub fn guarded<T>(body: impl FnOnce() -> T) -> Option<T> {
    guarded_in(None, body)
}

/// Runs `body`; None after a panic. `context` is for the line in the log.
pub(super) fn guarded_in<T>(context: Option<&Context>, body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => Some(result),
        Err(panic) => {
            report(context, &*panic);
            None
        }
    }
}

fn report(context: Option<&Context>, panic: &(dyn Any + Send)) {
    let line = format!("internal error: {}", fault::words(panic));
    let _ = catch_unwind(AssertUnwindSafe(|| log_in(context, c"warning", line.as_bytes())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_callback_and_goes_no_further() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded::<()>(|| panic!("in a test")), None);
        assert_eq!(guarded::<()>(|| std::panic::panic_any(7)), None);
    }
}
