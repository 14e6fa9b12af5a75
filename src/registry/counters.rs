//! What is counted of the calls of a function.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Ticks;

/// The calls of one function since it was loaded, or since they were last reset.
///
/// One thread at a time counts, so a counter is read and written back; the type is atomic because a registry goes from
/// one thread to another.
#[derive(Debug, Default)]
pub struct Counters {
    calls: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    /// In ticks of the finest clock.
    spent: AtomicU64,
    longest: AtomicU64,
}

/// What the counters show at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ran, those that failed included.
    pub calls: u64,
    /// Calls that were refused before the function ran.
    pub rejected: u64,
    /// Calls whose reply was an error or had one in it.
    pub failed: u64,
    /// The time that all calls took together.
    pub spent: Duration,
    /// The time that the longest of them took.
    pub longest: Duration,
}

impl Counters {
    /// Counts a call that took `ticks`.
    #[inline]
    pub fn count(&self, Ticks(ticks): Ticks, failed: bool) {
        add(&self.calls, 1);
        add(&self.spent, ticks);
        if ticks > self.longest.load(Relaxed) {
            self.longest.store(ticks, Relaxed);
        }
        if failed {
            add(&self.failed, 1);
        }
    }

    /// Counts a call that was refused.
    pub fn reject(&self) {
        add(&self.rejected, 1);
    }

    /// Calls that ran.
    #[inline]
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Whether nothing has been counted.
    pub fn are_zero(&self) -> bool {
        self.calls.load(Relaxed) == 0 && self.rejected.load(Relaxed) == 0
    }

    /// The time that all calls took together.
    pub fn spent_ticks(&self) -> Ticks {
        Ticks(self.spent.load(Relaxed))
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            failed: self.failed.load(Relaxed),
            spent: self.spent_ticks().duration(),
            longest: Ticks(self.longest.load(Relaxed)).duration(),
        }
    }

    /// Begins anew.
    pub fn reset(&self) {
        for counter in [&self.calls, &self.rejected, &self.failed, &self.spent, &self.longest] {
            counter.store(0, Relaxed);
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_and_the_longest_is_kept() {
        let counters = Counters::default();
        assert!(counters.are_zero());
        for (ticks, failed) in [(700_000_000, false), (1_500_000_000, true), (300_000_000, false)] {
            counters.count(Ticks(ticks), failed);
        }
        counters.reject();
        let counts = counters.counts();
        assert_eq!((counts.calls, counts.rejected, counts.failed), (3, 1, 1));
        let part = counts.longest.as_secs_f64() / counts.spent.as_secs_f64();
        assert!((part - 0.6).abs() < 0.01, "{counts:?}");
        counters.reset();
        assert!(counters.are_zero());
    }

    #[test]
    fn a_function_that_was_only_refused_counts_as_called() {
        let counters = Counters::default();
        counters.reject();
        assert!(!counters.are_zero());
    }
}
