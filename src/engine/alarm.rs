//! What ends a call or a load that takes too long: the one owner of the VM's interrupt.
//!
//! While a function runs in time, the VM has no callback to ask, and running costs nothing more. There are three reasons
//! to put one there: garbage is to be collected under the limit of memory, a load has a deadline, or another thread finds
//! a call overdue. It is the same callback for all, so none can take the place of another, and it is taken away only
//! when none is left. At the VM's safepoints it collects, looks at the deadline and asks the host, which may let others
//! in or have the call ended.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;
use std::time::Duration;

use super::context::Context;
use super::deadline::Deadline;
use super::host::Tick;
use super::stack::{Callback, Interrupt, InterruptSlot, Raise, Stack};
use crate::clock::Milliseconds;

thread_local! {
    /// The context of the call or load that runs on this thread.
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// How many safepoints go by between two questions to the host, if they go by fast.
const PATIENCE: u32 = 256;

/// After this time the host is asked at the next safepoint, however few there were.
const PAUSE: Milliseconds = Milliseconds(10);

/// The one callback.
const ASKING: Callback = Callback::of::<Overdue>();

/// Has the VM ask, from any thread.
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
        unsafe { self.0.arm(ASKING) }
    }
}

/// Has the VM of `stack` ask from its next safepoint on.
pub fn arm(stack: &Stack) {
    stack.arm(ASKING);
}

/// What is known of the time of the running call or load.
#[derive(Default)]
pub struct Patience {
    safepoints: Cell<u32>,
    /// When the host was asked last.
    asked: Cell<Milliseconds>,
    /// When a load is over; none for a call.
    deadline: Cell<Option<Deadline>>,
    /// The text that ends it. Raised again at every safepoint, which beats code that catches it.
    verdict: Cell<Option<&'static str>>,
}

impl Patience {
    /// Runs `body`, a load in the VM of `stack`, whose code is ended after `limit`; None lets it run.
    pub fn limited<T>(&self, stack: &Stack, limit: Option<Duration>, body: impl FnOnce() -> T) -> T {
        /// Forgets the deadline however `body` ends.
        struct Leave<'a>(&'a Patience, &'a Stack);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.deadline.set(None);
                self.1.silence();
            }
        }
        let Some(limit) = limit else {
            return body();
        };
        self.deadline.set(Some(Deadline::new(limit)));
        arm(stack);
        let _leave = Leave(self, stack);
        body()
    }

    /// Looks whether the deadline, if there is one, is over.
    fn keep_deadline(&self) {
        if let Some(mut deadline) = self.deadline.get() {
            self.verdict.set(deadline.check());
            self.deadline.set(Some(deadline));
        }
    }
}

/// Runs `body` as the call that this thread is at.
pub fn during<T>(context: &Context, body: impl FnOnce() -> T) -> T {
    /// Goes back to the call around it, that of another VM, however `body` ends.
    struct Leave(*const Context);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    context.patience.safepoints.set(0);
    context.patience.verdict.set(None);
    let _leave = Leave(CURRENT.replace(context));
    body()
}

/// Lends the context of the call or load that runs on this thread to `body`, if there is one.
pub fn with_current(body: impl FnOnce(&Context)) {
    // SAFETY: `during` borrows the context for as long as its address is there.
    if let Some(context) = unsafe { CURRENT.get().as_ref() } {
        body(context);
    }
}

/// What the VM asks at its safepoints: whether the call or load may go on, and whether garbage is to be collected.
struct Overdue;

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
            let now = Milliseconds::now();
            if safepoints % PATIENCE != 0 && now.since(patience.asked.get()) < PAUSE {
                return None;
            }
            patience.asked.set(now);
            patience.keep_deadline();
            if patience.verdict.get().is_none() {
                ask_host(context, stack);
            }
        }
        patience.verdict.get().map(Raise::api)
    }
}

/// Asks the host, and has the VM stop asking when neither the host nor a deadline wants to be asked again.
fn ask_host(context: &Context, stack: &Stack) {
    match context.with_host(|host| host.tick()) {
        Ok(Tick::Kill(text)) => context.patience.verdict.set(Some(text)),
        Ok(Tick::GoOn) => {}
        // Without a host the VM is inside a command of its own, and asks again afterwards.
        Ok(Tick::Silence) | Err(_) => {
            if context.patience.deadline.get().is_none() {
                stack.silence();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::time::{Duration, Instant};

    use super::super::tests::{Echo, Last, engine, load};
    use super::super::{Alarm, CallMode, Engine, Host, LogLevel, Permission, Tick, load_timeouts};

    const LIMIT: Duration = Duration::from_millis(50);

    /// Rings alarms whenever something is logged, loads a library into another engine at each command, and ends the call
    /// when it is asked.
    struct Ringing<'a> {
        alarm: Alarm,
        other: Option<&'a mut Engine>,
        tick: Tick,
        asked: u32,
    }

    impl Ringing<'_> {
        fn ring(&self) {
            // SAFETY: the engine is borrowed by the call or load that has this host.
            unsafe { self.alarm.ring() }
        }
    }

    impl Host for Ringing<'_> {
        fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode) -> &[u8] {
            if let Some(other) = &mut self.other {
                load(other, "return 1", &mut Echo::default());
            }
            self.ring();
            b"+OK\r\n"
        }
        fn permits(&mut self, _: &[&[u8]]) -> Permission {
            Permission::Unknown
        }
        fn tick(&mut self) -> Tick {
            self.asked += 1;
            self.tick
        }
        fn log(&mut self, _: LogLevel, _: &[u8]) {
            self.ring();
        }
    }

    fn ringing(engine: &Engine, tick: Tick) -> Ringing<'static> {
        Ringing { alarm: engine.alarm(), other: None, tick, asked: 0 }
    }

    /// Comes to its own end if nobody else ends it.
    const LONG: &str = "local t = {} for i = 1, 1e8 do t[i % 8] = i end";

    #[test]
    fn a_ring_that_comes_late_takes_no_deadline_away() {
        for body in ["redis.log(redis.LOG_WARNING, 'x')", "for i = 1, 1e5 do redis.log(redis.LOG_WARNING, 'x') end"] {
            for tick in [Tick::Silence, Tick::GoOn] {
                let mut engine = engine();
                let mut host = ringing(&engine, tick);
                let (began, timeouts) = (Instant::now(), load_timeouts());
                let source = format!("\n{body} {LONG} redis.register_function('f', function() end)");
                let refused = engine.load(source.as_bytes(), Some(LIMIT), &mut host).unwrap_err();
                assert_eq!(refused.0, b"ERR Error registering functions: ERR FUNCTION LOAD timeout", "{body}");
                assert!(began.elapsed() >= LIMIT && load_timeouts() > timeouts, "{body}");
            }
        }
    }

    #[test]
    fn a_deadline_and_a_limit_of_memory_are_kept_at_the_same_time() {
        let (mut engine, mut host) = (engine(), Echo::default());
        engine.set_memory_limit(2 << 20);
        let body = "\nfor i = 1, 2e7 do local t = {i} end";
        let refused = engine.load(body.as_bytes(), Some(LIMIT), &mut host).unwrap_err();
        assert_eq!(refused.0, b"ERR Error registering functions: ERR FUNCTION LOAD timeout");
        assert!(engine.memory() <= 2 << 20);
    }

    #[test]
    fn nobody_is_asked_after_a_load_with_a_deadline() {
        let mut engine = engine();
        let mut host = ringing(&engine, Tick::Kill("ended"));
        let body = "\nredis.register_function('f', function() for i = 1, 1e6 do end return 'done' end)";
        let slot = engine.load(body.as_bytes(), Some(LIMIT), &mut Echo::default()).unwrap().functions[0].slot;
        let mut last = Last::default();
        assert_eq!(engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut host, &mut last), Ok(()));
        assert_eq!(host.asked, 0);
    }

    #[test]
    fn a_load_in_another_vm_leaves_the_running_call_its_alarm() {
        let (mut engine, mut other) = (engine(), engine());
        let body = format!("redis.call('x') {LONG}");
        let slot = load(&mut engine, &body, &mut Echo::default());
        let mut host = ringing(&engine, Tick::Kill("ended"));
        host.other = Some(&mut other);
        let mut last = Last::default();
        let ended = engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut host, &mut last);
        assert!(ended.unwrap_err().0.starts_with(b"ERR ended"));
    }
}
