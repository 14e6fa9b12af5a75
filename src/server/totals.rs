//! Counters of each registry as a whole.

use std::cell::Cell;

/// A number that only grows until it is reset.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// The current number.
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Adds one.
    pub fn count(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }

    fn reset(&self) {
        self.0.set(0);
    }
}

/// Totals of the calls of functions, or of scripts, since the module was loaded or since the last reset. Unlike the
/// counters of each of them, these stay when they go.
#[derive(Debug, Default)]
pub struct Totals {
    /// Calls that ran, including those that failed.
    pub calls: Counter,
    /// Calls that were refused before they ran.
    pub rejected_calls: Counter,
    /// Calls whose reply was an error or contained one.
    pub failed_calls: Counter,
    /// Calls that KILL ended.
    pub kills: Counter,
    /// Calls that `shadow.read-only-timeout` ended.
    pub timeouts: Counter,
    /// Commands of calls that reached a key which their call did not declare, and those of them that were refused.
    pub undeclared_keys: Counter,
    pub undeclared_keys_denied: Counter,
    /// Calls that took longer than `slowlog-log-slower-than` allows.
    pub slow_calls: Counter,
    /// Flushes that retired a generation.
    pub flushes: Counter,
    /// ASYNC flushes among these that freed the generation in place: the queue was full or the worker gone.
    pub flushes_in_place: Counter,
    /// Versions that were put in place, and those that were brought back.
    pub deploys: Counter,
    pub rollbacks: Counter,
    /// Generations that were needed when no spare was ready.
    pub spares_missed: Counter,
}

impl Totals {
    /// Starts again from 0.
    pub fn reset(&self) {
        let Self {
            calls,
            rejected_calls,
            failed_calls,
            kills,
            timeouts,
            undeclared_keys,
            undeclared_keys_denied,
            slow_calls,
            flushes,
            flushes_in_place,
            deploys,
            rollbacks,
            spares_missed,
        } = self;
        let of_calls = [calls, rejected_calls, failed_calls, kills, timeouts];
        let inside = [undeclared_keys, undeclared_keys_denied, slow_calls];
        let of_flushes = [flushes, flushes_in_place, deploys, rollbacks, spares_missed];
        of_calls.into_iter().chain(inside).chain(of_flushes).for_each(Counter::reset);
    }
}

/// Totals of the cache of scripts, for the same time.
#[derive(Debug, Default)]
pub struct CacheTotals {
    /// Calls of scripts that were not cached.
    pub missed: Counter,
    /// Scripts that had to go for others.
    pub evicted: Counter,
}

impl CacheTotals {
    /// Starts again from 0.
    pub fn reset(&self) {
        self.missed.reset();
        self.evicted.reset();
    }
}
