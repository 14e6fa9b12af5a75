//! The start of threads beside the server's.

#![allow(unsafe_code, reason = "sets the signals and the priority of a thread")]

use std::io;
use std::mem::MaybeUninit;
use std::panic::resume_unwind;
use std::ptr;
use std::thread::{Builder, JoinHandle, scope};

/// Starts a thread that leaves the server alone: it gets no signals, which are the server's to handle, and it does not
/// take the processor from the main thread when it wakes. `stack`: how large its stack is, in bytes. What is not used
/// of a stack takes no memory.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn(name: &str, stack: usize, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    with_signals_blocked(|| {
        Builder::new().name(name.to_owned()).stack_size(stack).spawn(move || {
            yield_to_the_server();
            body();
        })
    })
}

/// Runs `body` on a thread with a stack of `stack` bytes, and waits for it.
///
/// # Panics
/// As `body` does, and when the thread cannot be started.
pub fn with_stack<T: Send>(stack: usize, body: impl FnOnce() -> T + Send) -> T {
    scope(|threads| {
        let thread = with_signals_blocked(|| Builder::new().stack_size(stack).spawn_scoped(threads, body));
        thread.expect("a thread can be started").join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Keeps this thread from preempting another when it wakes. Without it, a flush on a busy machine could lose the
/// processor to the worker that it has just woken.
fn yield_to_the_server() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: concerns the calling thread (0) alone. Where it is refused, the thread runs as any other.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
}

/// Runs `start` with all signals blocked, so that a thread started inside never gets one.
fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written before they are read: `all` by sigfillset, `before` by the first pthread_sigmask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        result
    }
}
