//! What is counted of the module's work as a whole.

use std::cell::Cell;

/// A number that only grows, until it is reset.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Counts one more.
    pub fn count(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }

    fn reset(&self) {
        self.0.set(0);
    }
}

/// Totals since the module was loaded, or since they were last reset. Those of calls go on when their functions are gone.
#[derive(Debug, Default)]
pub struct Totals {
    /// Calls of functions that ran, those that failed included.
    pub calls: Counter,
    /// Calls of functions that were refused before they ran.
    pub rejected_calls: Counter,
    /// Calls whose reply was an error or had one in it.
    pub failed_calls: Counter,
    /// Flushes that retired a generation.
    pub flushes: Counter,
    /// Of these, ASYNC ones that freed it in place: the queue was full or the worker gone.
    pub flushes_in_place: Counter,
    /// Generations for which no spare was ready.
    pub spares_missed: Counter,
}

impl Totals {
    /// Begins anew.
    pub fn reset(&self) {
        let Self { calls, rejected_calls, failed_calls, flushes, flushes_in_place, spares_missed } = self;
        for counter in [calls, rejected_calls, failed_calls, flushes, flushes_in_place, spares_missed] {
            counter.reset();
        }
    }
}
