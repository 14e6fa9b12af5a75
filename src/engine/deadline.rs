//! The time limit of LOAD.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// How long the stock server lets the body of a library run.
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
    limit: Duration,
    /// When to check how much processor time the thread has had.
    next_check: Instant,
    /// The thread's processor time at which the load is over. Nearly every load ends before it is worth asking the
    /// system for that.
    over: Option<Duration>,
}

/// How long a load may run before its processor time is counted.
const UNCOUNTED: Duration = Duration::from_millis(1);

impl Deadline {
    /// That of a load which begins now.
    pub fn new(limit: Duration) -> Self {
        Self { limit, next_check: Instant::now() + UNCOUNTED, over: None }
    }

    /// The text that ends the load once it is over, which is counted. The clock decides when to check, processor time
    /// whether the load is over: it does not fail because the machine was busy with something else.
    pub fn check(&mut self) -> Option<&'static str> {
        let now = Instant::now();
        if now < self.next_check {
            return None;
        }
        let used = processor_time();
        let left = self.over.get_or_insert(used + self.limit).saturating_sub(used);
        if left.is_zero() {
            TIMEOUTS.fetch_add(1, Ordering::Relaxed);
            return Some(TIMED_OUT);
        }
        self.next_check = now + left;
        None
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::from_nanos(clock::nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID))
}
