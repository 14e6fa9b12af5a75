//! When a function is next looked at whether it has proved hot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// After how many calls a function is looked at whether it has proved hot. One thread at a time reads and writes it.
#[derive(Debug)]
pub struct Look(AtomicU64);

impl Look {
    /// Whether it is time after `calls` calls.
    #[inline]
    pub fn is_due(&self, calls: u64) -> bool {
        calls >= self.0.load(Relaxed)
    }

    /// Has the next look wait for so many calls.
    pub fn set(&self, calls: u64) {
        self.0.store(calls, Relaxed);
    }

    /// Whether there will be another look.
    pub fn is_open(&self) -> bool {
        self.0.load(Relaxed) != u64::MAX
    }

    /// Has it never looked at again.
    pub fn close(&self) {
        self.0.store(u64::MAX, Relaxed);
    }
}

impl Default for Look {
    /// The first look is after the first call.
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}
