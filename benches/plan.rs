//! How much is measured: sizes and rounds.

use std::time::Duration;

/// Sizes and rounds.
pub struct Plan {
    /// Flushes to measure: libraries, and how often.
    pub flushes: &'static [(usize, usize)],
    /// Deploys to measure: libraries, and how often, each time in fresh servers.
    pub deploys: &'static [(usize, usize)],
    /// Numbers of libraries to measure everything of, the least first.
    pub scale: &'static [Scale],
    /// Libraries of the measurements of memory and of the collector.
    pub libraries: usize,
    /// How often memory is measured, each time in a fresh server.
    pub memory_rounds: usize,
    /// How long to wait for the memory to be back.
    pub memory_patience: Duration,
    /// How long memory is sampled after the last flush: until the allocator has given back what it gives back.
    pub trace_window: Duration,
    /// How many servers are started to measure calls in the server.
    pub call_starts: usize,
    /// How often each call is measured in each of them.
    pub call_rounds: usize,
    /// How often by a client.
    pub client_rounds: usize,
    /// Calls in a measurement are divided by this.
    pub call_divisor: usize,
    /// How often the collector is measured, each time in a fresh server.
    pub collector_rounds: usize,
    /// How many servers are started to measure GET with and without the filter.
    pub interception_starts: usize,
    /// How often GET is measured each time.
    pub interception_rounds: usize,
    /// How often each call is measured while something looks at it.
    pub inside_rounds: usize,
    /// How often its instructions are counted.
    pub inside_counts: usize,
    /// How often a server without calls is measured, each time a fresh one.
    pub idle_rounds: usize,
    /// For how long.
    pub idle_window: Duration,
}

/// A number of libraries.
pub struct Scale {
    pub libraries: usize,
    /// How often it is measured, each time in a fresh server.
    pub rounds: usize,
    /// How long the other client sends its PINGs.
    pub window: Duration,
}

impl Plan {
    /// The short one if `BENCH_SHORT=1` is in the environment: it shows that everything works, not how fast it is.
    pub fn from_environment() -> Self {
        if Self::is_short() { SHORT } else { FULL }
    }

    /// Whether the short one is asked for.
    pub fn is_short() -> bool {
        std::env::var("BENCH_SHORT").is_ok_and(|value| value == "1")
    }
}

const FULL: Plan = Plan {
    flushes: &[(10, 11), (100, 11), (1_000, 11), (10_000, 7), (100_000, 7)],
    deploys: &[(10, 5), (1_000, 5), (100_000, 3)],
    scale: &[
        Scale { libraries: 10, rounds: 5, window: Duration::from_millis(300) },
        Scale { libraries: 1_000, rounds: 5, window: Duration::from_millis(300) },
        Scale { libraries: 10_000, rounds: 3, window: Duration::from_millis(300) },
        Scale { libraries: 100_000, rounds: 3, window: Duration::from_millis(300) },
        Scale { libraries: 1_000_000, rounds: 1, window: Duration::from_secs(2) },
    ],
    libraries: 100_000,
    memory_rounds: 3,
    memory_patience: Duration::from_secs(5),
    trace_window: Duration::from_secs(10),
    call_starts: 5,
    call_rounds: 5,
    client_rounds: 7,
    call_divisor: 1,
    collector_rounds: 3,
    interception_starts: 5,
    interception_rounds: 15,
    inside_rounds: 201,
    inside_counts: 5,
    idle_rounds: 5,
    idle_window: Duration::from_secs(20),
};

const SHORT: Plan = Plan {
    flushes: &[(10, 3), (1_000, 3), (10_000, 1)],
    deploys: &[(10, 2), (1_000, 1), (10_000, 1)],
    scale: &[
        Scale { libraries: 10, rounds: 2, window: Duration::from_millis(100) },
        Scale { libraries: 1_000, rounds: 1, window: Duration::from_millis(100) },
        Scale { libraries: 10_000, rounds: 1, window: Duration::from_millis(100) },
    ],
    libraries: 10_000,
    memory_rounds: 1,
    memory_patience: Duration::from_secs(1),
    trace_window: Duration::from_secs(1),
    call_starts: 2,
    call_rounds: 2,
    client_rounds: 3,
    call_divisor: 10,
    collector_rounds: 1,
    interception_starts: 2,
    interception_rounds: 2,
    inside_rounds: 2,
    inside_counts: 1,
    idle_rounds: 1,
    idle_window: Duration::from_secs(1),
};
