//! What ends a call that takes too long.
//!
//! While a function runs in time, the VM has no callback to ask, and running costs nothing more. When a call is overdue,
//! another thread puts the callback in its place; from then on the VM asks it at its safepoints, and it asks the host,
//! which may let others in or have the call ended.

use std::cell::Cell;
use std::ptr;

use super::context::Context;
use super::host::Tick;
use super::stack::{Interrupt, InterruptSlot, Raise, Stack};
use crate::clock;

thread_local! {
    /// The context of the call that runs on this thread.
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// How many safepoints go by between two questions to the host, if they go by fast.
const PATIENCE: u32 = 256;

/// After how many milliseconds the host is asked at the next safepoint, however few there were.
const PAUSE: u64 = 10;

/// Puts the callback of overdue calls into a VM, from any thread.
#[derive(Clone, Copy, Debug)]
pub struct Alarm(InterruptSlot);

impl Alarm {
    pub(super) fn new(stack: &Stack) -> Self {
        Self(stack.interrupt_slot())
    }

    /// Has the VM ask from its next safepoint on.
    ///
    /// # Safety
    /// The VM is alive: the caller holds the lock under which its engine is given up.
    pub unsafe fn ring(self) {
        // SAFETY: the caller's promise.
        unsafe { self.0.arm::<Overdue>() }
    }
}

/// What is known of the running call's overdue time.
#[derive(Default)]
pub struct Patience {
    safepoints: Cell<u32>,
    /// When the host was asked last, by the coarse clock in milliseconds.
    asked: Cell<u64>,
    /// The text that ends the call. Raised again at every safepoint, which beats code that catches it.
    verdict: Cell<Option<&'static str>>,
}

/// Runs `body` as the call that this thread is at.
pub fn during<T>(context: &Context, body: impl FnOnce() -> T) -> T {
    /// Forgets the call however `body` ends.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(ptr::null());
        }
    }
    context.patience.safepoints.set(0);
    context.patience.verdict.set(None);
    CURRENT.set(context);
    let _leave = Leave;
    body()
}

/// Lends the context of the call or load that runs on this thread to `body`, if there is one.
pub fn with_current(body: impl FnOnce(&Context)) {
    // SAFETY: `during` borrows the context for as long as its address is there.
    if let Some(context) = unsafe { CURRENT.get().as_ref() } {
        body(context);
    }
}

/// What the VM asks at its safepoints: whether the call may go on, and whether garbage is to be collected.
pub struct Overdue;

impl Interrupt for Overdue {
    fn check(stack: &Stack) -> Option<Raise> {
        let current = CURRENT.get();
        // SAFETY: `during` borrows the context for as long as its address is there.
        let Some(context) = (unsafe { current.as_ref() }) else {
            // Armed for a call that has ended since.
            stack.silence();
            return None;
        };
        context.memory.relieve(stack);
        let patience = &context.patience;
        if patience.verdict.get().is_none() {
            let safepoints = patience.safepoints.get();
            patience.safepoints.set(safepoints.wrapping_add(1));
            // Between two safepoints a function that is not written in Lua may have run, for long.
            let now = clock::coarse();
            if safepoints % PATIENCE != 0 && now.saturating_sub(patience.asked.get()) < PAUSE {
                return None;
            }
            patience.asked.set(now);
            match context.with_host(|host| host.tick()) {
                Ok(Tick::Kill(text)) => patience.verdict.set(Some(text)),
                Ok(Tick::GoOn) => {}
                // Without a host the VM is inside a command of its own, and asks again afterwards.
                Ok(Tick::Silence) | Err(_) => stack.silence(),
            }
        }
        patience.verdict.get().map(Raise::api)
    }
}
