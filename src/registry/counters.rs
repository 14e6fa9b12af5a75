//! What is counted of the calls of a function.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use once_cell::race::OnceBox;

use super::findings::{Case, Findings};
use super::histogram::{Histogram, Times};
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
    /// Nothing before the first call, which many functions never see.
    details: OnceBox<Details>,
}

/// What is looked at more closely.
#[derive(Debug, Default)]
struct Details {
    /// How long the calls took.
    histogram: Histogram,
    /// Commands that they ran, and the time that those took.
    commands: AtomicU64,
    commands_spent: AtomicU64,
    /// The undeclared keys that they reached.
    findings: Mutex<Findings>,
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
    /// Commands that the calls ran.
    pub commands: u64,
    /// The time within `spent` that these took.
    pub commands_spent: Duration,
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

    /// Counts that a call of this time falls where it falls among the others.
    #[inline]
    pub fn count_time(&self, took: Ticks) {
        self.details.get_or_init(Box::default).histogram.count(took);
    }

    /// Counts `commands` commands of a call, which took `spent` together.
    #[inline]
    pub fn count_commands(&self, commands: u64, Ticks(spent): Ticks) {
        let details = self.details.get_or_init(Box::default);
        add(&details.commands, commands);
        add(&details.commands_spent, spent);
    }

    /// Notes a command that reached an undeclared key.
    pub fn note_undeclared(&self, case: Case) {
        let details = self.details.get_or_init(Box::default);
        details.findings.lock().unwrap_or_else(PoisonError::into_inner).note(case);
    }

    /// The undeclared keys that commands reached; None without any.
    pub fn findings(&self) -> Option<Findings> {
        let findings = self.details.get()?.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(findings).filter(|findings| findings.found() > 0)
    }

    /// How long the calls took that [`count_time`](Self::count_time) has counted.
    pub fn times(&self) -> Times {
        let times = self.details.get().map(|details| details.histogram.times());
        times.unwrap_or_default().with_longest(self.longest_ticks())
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

    /// The time that the longest call took.
    fn longest_ticks(&self) -> Ticks {
        Ticks(self.longest.load(Relaxed))
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        let details = self.details.get();
        Counts {
            calls: self.calls.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            failed: self.failed.load(Relaxed),
            spent: self.spent_ticks().duration(),
            longest: self.longest_ticks().duration(),
            commands: details.map_or(0, |details| details.commands.load(Relaxed)),
            commands_spent: Ticks(details.map_or(0, |details| details.commands_spent.load(Relaxed))).duration(),
        }
    }

    /// Begins anew.
    pub fn reset(&self) {
        let Self { calls, rejected, failed, spent, longest, details } = self;
        for counter in [calls, rejected, failed, spent, longest] {
            counter.store(0, Relaxed);
        }
        if let Some(Details { histogram, commands, commands_spent, findings }) = details.get() {
            histogram.reset();
            commands.store(0, Relaxed);
            commands_spent.store(0, Relaxed);
            *findings.lock().unwrap_or_else(PoisonError::into_inner) = Findings::default();
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
