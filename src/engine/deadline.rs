//! The time limit of LOAD.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// As long as the stock server lets the body of a library run.
pub const LOAD_LIMIT: Duration = Duration::from_millis(500);

/// How a load ends at its limit.
const TIMED_OUT: &str = "FUNCTION LOAD timeout";

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

/// When a load is over.
#[derive(Clone, Copy)]
pub struct Deadline {
    /// When to look how much of the time the thread has had.
    look: Instant,
    /// The thread's processor time at which the load is over.
    over: Duration,
}

impl Deadline {
    /// That of a load which begins now.
    pub fn new(limit: Duration) -> Self {
        Self { look: Instant::now() + limit, over: processor_time() + limit }
    }

    /// The text that ends the load, once it is over; that is counted. The time of the clock decides when to look, the
    /// processor's whether it is: a load does not fail because the machine was busy with something else.
    pub fn check(&mut self) -> Option<&'static str> {
        let now = Instant::now();
        if now < self.look {
            return None;
        }
        let left = self.over.saturating_sub(processor_time());
        if left.is_zero() {
            TIMEOUTS.fetch_add(1, Ordering::Relaxed);
            return Some(TIMED_OUT);
        }
        self.look = now + left;
        None
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::from_nanos(clock::nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID))
}
