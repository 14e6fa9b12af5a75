//! The clocks that calls are measured by, and the reading of a clock.

#![allow(unsafe_code, reason = "reads the clocks of the kernel and of the processor")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds by the clock that is cheap to read and coarse: a reading, or the difference of two. It is a few
/// milliseconds behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milliseconds(pub u64);

impl Milliseconds {
    /// The time since some fixed moment.
    pub fn now() -> Self {
        Self(nanoseconds(libc::CLOCK_MONOTONIC_COARSE) / 1_000_000)
    }

    /// The time from `earlier` to this reading.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The time from this reading to now.
    pub fn elapsed(self) -> Self {
        Self::now().since(self)
    }
}

/// Milliseconds since 1970, by the clock that people set.
pub fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Ticks of the finest clock: a reading, or the difference of two. Only for statistics.
///
/// Two readings of the kernel's clock would be a visible part of a call. Where the kernel itself measures time by the
/// processor's counter, that is read directly; elsewhere a tick is a nanosecond of the kernel's clock. What must hold
/// after a suspend of the machine must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The time since some fixed moment.
    #[inline]
    pub fn now() -> Self {
        Self(match counter() {
            Some(_) => processor_counter(),
            None => nanoseconds(libc::CLOCK_MONOTONIC),
        })
    }

    /// The time from this reading to now.
    #[inline]
    pub fn elapsed(self) -> Self {
        Self(Self::now().0.saturating_sub(self.0))
    }

    /// A difference as microseconds with three digits behind the point.
    pub fn microseconds(self) -> String {
        format!("{:.3}", self.duration().as_nanos() as f64 / 1_000.0)
    }

    /// A difference as a time. From a tenth of a second after the first reading on, the same difference is always the
    /// same time: who watches a sum of times takes one that becomes less for one that was reset.
    pub fn duration(self) -> Duration {
        match counter() {
            Some(counter) => counter.pace().duration(self.0),
            None => Duration::from_nanos(self.0),
        }
    }
}

/// Finds out which clock the ticks are of. The first reading would do it, which should not be a call's.
pub fn detect_counter() {
    counter();
}

/// The processor's counter and the clock, read at the same moment. The time since then on both tells how fast the
/// counter runs.
struct Counter {
    first: u64,
    began: Instant,
    /// How fast it runs, once that is known well.
    settled: OnceLock<Pace>,
}

/// After which time it is known well how fast the counter runs: both can be read within a tenth of a microsecond.
const SETTLING: Duration = Duration::from_millis(100);

impl Counter {
    fn new() -> Self {
        let (first, began) = read_together();
        Self { first, began, settled: OnceLock::new() }
    }

    fn pace(&self) -> Pace {
        self.settled.get().copied().unwrap_or_else(|| {
            let (now, clock) = read_together();
            let pace = Pace { counted: now.saturating_sub(self.first), elapsed: clock - self.began };
            if pace.elapsed < SETTLING { pace } else { *self.settled.get_or_init(|| pace) }
        })
    }
}

/// The processor's counter and the clock: of a few readings that in which least time passed between the two. The thread
/// may lose the processor there.
fn read_together() -> (u64, Instant) {
    let read = |_| {
        let (before, clock, after) = (processor_counter(), Instant::now(), processor_counter());
        (after.wrapping_sub(before), before, clock)
    };
    let (_, counter, clock) = (1..8).map(read).fold(read(0), |best, next| if next.0 < best.0 { next } else { best });
    (counter, clock)
}

/// How far the counter went in a time.
#[derive(Clone, Copy)]
struct Pace {
    counted: u64,
    elapsed: Duration,
}

impl Pace {
    /// `ticks` as a time.
    fn duration(self, ticks: u64) -> Duration {
        let nanoseconds = u128::from(ticks).saturating_mul(self.elapsed.as_nanos()) / u128::from(self.counted.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// The processor's counter, if the kernel relies on it.
#[inline]
fn counter() -> Option<&'static Counter> {
    static COUNTER: OnceLock<Option<Counter>> = OnceLock::new();
    COUNTER.get_or_init(first_reading).as_ref()
}

#[cold]
fn first_reading() -> Option<Counter> {
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let relied_on = cfg!(target_arch = "x86_64") && source.is_ok_and(|source| source.trim_ascii() == b"tsc");
    relied_on.then(Counter::new)
}

#[cfg(target_arch = "x86_64")]
fn processor_counter() -> u64 {
    // SAFETY: every processor of this architecture has the instruction. A process that may not use it could not read
    // the kernel's clock either, when that is the same counter.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_counter() -> u64 {
    0
}

/// The time that a clock of the kernel shows, in nanoseconds.
pub fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the address is of a live timespec.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_as_long_as_the_clock_says() {
        let (start, began) = (Ticks::now(), Instant::now());
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (measured, elapsed) = (start.elapsed().duration(), began.elapsed());
        // The thread may lose the processor between two readings that belong together.
        assert!(measured >= Duration::from_millis(19) && elapsed >= Duration::from_millis(20), "{measured:?}");
        assert!(measured < elapsed + Duration::from_secs(5), "{measured:?} in {elapsed:?}");
    }

    #[test]
    fn a_counter_of_any_speed_gives_the_time() {
        for (ticks, counted, elapsed, expected) in [
            (3_000, 3_000_000_000, Duration::from_secs(1), 1_000),
            (24, 24_000_000, Duration::from_secs(1), 1_000),
            (5_000_000_000, 5_000_000_000, Duration::from_secs(5), 5_000_000_000),
            (u64::MAX, u64::MAX, Duration::from_secs(6 * 365 * 86_400), 6 * 365 * 86_400 * 1_000_000_000),
        ] {
            let duration = Pace { counted, elapsed }.duration(ticks);
            assert!(duration.abs_diff(Duration::from_nanos(expected)) < Duration::from_micros(1), "{duration:?}");
        }
    }

    #[test]
    fn a_counter_that_was_set_back_gives_no_panic() {
        Pace { counted: 0, elapsed: Duration::MAX }.duration(u64::MAX);
        assert_eq!(Pace { counted: 0, elapsed: Duration::from_secs(1) }.duration(0), Duration::ZERO);
    }

    #[test]
    fn a_sum_of_times_never_becomes_less() {
        detect_counter();
        let began = Instant::now();
        while began.elapsed() < SETTLING {
            std::hint::spin_loop();
        }
        // As long as a year: whatever changes is seen.
        let year = Ticks(1 << 56);
        let first = year.duration();
        assert!((0..10_000).all(|_| year.duration() == first), "{first:?}");
    }
}
