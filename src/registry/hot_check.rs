//! When a function is next checked for being hot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The number of calls at which to check next whether the function is hot. One thread at a time reads and writes it.
#[derive(Debug)]
pub struct HotCheck(AtomicU64);

impl HotCheck {
    /// Whether it is time after `calls` calls.
    #[inline]
    pub fn is_due(&self, calls: u64) -> bool {
        calls >= self.0.load(Relaxed)
    }

    /// Puts the next check off until the function has this many calls.
    pub fn set(&self, calls: u64) {
        self.0.store(calls, Relaxed);
    }

    /// Whether there will be another check.
    pub fn is_open(&self) -> bool {
        self.0.load(Relaxed) != u64::MAX
    }

    /// Ends the checks.
    pub fn close(&self) {
        self.0.store(u64::MAX, Relaxed);
    }
}

impl Default for HotCheck {
    /// The first check is after the first call.
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}
