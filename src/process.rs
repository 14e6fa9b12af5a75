//! The end of the process.

#![allow(unsafe_code, reason = "ends the process")]

/// Ends the process with this exit code, without what runs at an orderly exit: other threads may be at work, and in a
/// forked process it is the parent's.
pub fn end_at_once(code: i32) -> ! {
    // SAFETY: takes a number, and does not return.
    unsafe { libc::_exit(code) }
}
