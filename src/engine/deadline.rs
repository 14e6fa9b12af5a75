//! The time limit of LOAD.
//!
//! A library's body is asked at the VM's safepoints whether its time is up. Raising again at every safepoint is what
//! beats code that would catch the error. Only bodies of libraries pay for it; calls of functions run without.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::alarm;
use super::stack::{Interrupt, Raise, Stack};
use crate::clock;

/// As long as the stock server lets the body of a library run.
pub const LOAD_LIMIT: Duration = Duration::from_millis(500);

thread_local! {
    /// The limit of the load that runs on this thread.
    static DEADLINE: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Loads that ended at their limit, in all VMs.
static TIMEOUTS: AtomicU64 = AtomicU64::new(0);

/// How many loads have ended at their limit.
pub fn load_timeouts() -> u64 {
    TIMEOUTS.load(Ordering::Relaxed)
}

/// Counts them from 0 again.
pub fn reset_load_timeouts() {
    TIMEOUTS.store(0, Ordering::Relaxed);
}

/// The limit of a load.
#[derive(Clone, Copy)]
struct Deadline {
    /// When to look how much of the time the thread has had.
    look: Instant,
    /// The thread's processor time at which the load is over.
    over: Duration,
    /// Whether it was found to be over.
    reached: bool,
}

impl Deadline {
    fn new(limit: Duration) -> Self {
        Self { look: Instant::now() + limit, over: processor_time() + limit, reached: false }
    }

    /// Whether the limit is reached. The time of the clock decides when to look, the processor's whether it is: a load
    /// does not fail because the machine was busy with something else.
    fn is_reached(mut self) -> bool {
        let now = Instant::now();
        if now < self.look {
            return false;
        }
        let left = self.over.saturating_sub(processor_time());
        self.look = now + left;
        self.reached = left.is_zero();
        DEADLINE.set(Some(self));
        self.reached
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::from_nanos(clock::nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID))
}

struct LoadDeadline;

impl Interrupt for LoadDeadline {
    fn check(stack: &Stack) -> Option<Raise> {
        alarm::with_current(|context| context.memory.relieve(stack));
        let reached = DEADLINE.get().is_some_and(Deadline::is_reached);
        reached.then(|| Raise::api("FUNCTION LOAD timeout"))
    }
}

/// Runs `body`, in which the code of `stack`'s VM is ended after `limit`; None lets it run.
pub fn limited<T>(stack: &Stack, limit: Option<Duration>, body: impl FnOnce() -> T) -> T {
    /// Disarms however `body` ends.
    struct Disarm<'a>(&'a Stack);
    impl Drop for Disarm<'_> {
        fn drop(&mut self) {
            self.0.silence();
            DEADLINE.set(None);
        }
    }
    let Some(limit) = limit else {
        return body();
    };
    DEADLINE.set(Some(Deadline::new(limit)));
    stack.arm::<LoadDeadline>();
    let _disarm = Disarm(stack);
    let result = body();
    if DEADLINE.get().is_some_and(|deadline| deadline.reached) {
        TIMEOUTS.fetch_add(1, Ordering::Relaxed);
    }
    result
}
