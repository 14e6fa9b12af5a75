//! How much is measured.

use std::time::Duration;

/// Sizes and rounds.
pub struct Plan {
    /// Flushes to measure: libraries, and how often.
    pub flushes: &'static [(usize, usize)],
    /// Libraries of the measurements of memory and of latency.
    pub libraries: usize,
    /// How often memory is measured, each time in a fresh server.
    pub memory_rounds: usize,
    /// How long to wait for the memory to be back.
    pub memory_patience: Duration,
    /// How often latency is measured.
    pub latency_rounds: usize,
    /// How long the client of that measurement sends its PINGs.
    pub latency_window: Duration,
    /// How often each function is measured.
    pub call_rounds: usize,
    /// Calls in a measurement are divided by this.
    pub call_divisor: usize,
}

impl Plan {
    /// The short one when `BENCH_SHORT=1` is in the environment: it shows that all works, not how fast it is.
    pub fn from_environment() -> Self {
        match std::env::var("BENCH_SHORT") {
            Ok(value) if value == "1" => Self::short(),
            _ => Self::full(),
        }
    }

    const fn full() -> Self {
        Self {
            flushes: &[(10, 11), (1_000, 11), (10_000, 7), (100_000, 5)],
            libraries: 100_000,
            memory_rounds: 3,
            memory_patience: Duration::from_secs(5),
            latency_rounds: 5,
            latency_window: Duration::from_millis(500),
            call_rounds: 11,
            call_divisor: 1,
        }
    }

    const fn short() -> Self {
        Self {
            flushes: &[(10, 5), (1_000, 3), (10_000, 3)],
            libraries: 10_000,
            memory_rounds: 1,
            memory_patience: Duration::from_secs(1),
            latency_rounds: 2,
            latency_window: Duration::from_millis(200),
            call_rounds: 3,
            call_divisor: 10,
        }
    }
}
