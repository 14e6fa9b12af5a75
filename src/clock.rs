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

    /// A difference as a time.
    pub fn duration(self) -> Duration {
        match counter() {
            Some(counter) => counter.duration(self.0, processor_counter(), counter.began.elapsed()),
            None => Duration::from_nanos(self.0),
        }
    }
}

/// Finds out which clock the ticks are of. The first reading would do it, which should not be a call's.
pub fn detect_counter() {
    counter();
}

/// The processor's counter and the clock, read at about the same moment. The time since then on both tells how fast the
/// counter runs.
struct Counter {
    first: u64,
    began: Instant,
}

impl Counter {
    /// `ticks` as a time. The counter reads `now`, and was first read `elapsed` ago.
    fn duration(&self, ticks: u64, now: u64, elapsed: Duration) -> Duration {
        let counted = u128::from(now.saturating_sub(self.first).max(1));
        let nanoseconds = u128::from(ticks).saturating_mul(elapsed.as_nanos()) / counted;
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
    relied_on.then(|| Counter { first: processor_counter(), began: Instant::now() })
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
        let counter = Counter { first: 1_000, began: Instant::now() };
        for (ticks, now, elapsed, expected) in [
            (3_000, 3_000_001_000, Duration::from_secs(1), 1_000),
            (24, 24_001_000, Duration::from_secs(1), 1_000),
            (5_000_000_000, 5_000_001_000, Duration::from_secs(5), 5_000_000_000),
            (u64::MAX, u64::MAX, Duration::from_secs(6 * 365 * 86_400), 6 * 365 * 86_400 * 1_000_000_000),
        ] {
            let duration = counter.duration(ticks, now, elapsed);
            assert!(duration.abs_diff(Duration::from_nanos(expected)) < Duration::from_micros(1), "{duration:?}");
        }
    }

    #[test]
    fn a_counter_that_was_set_back_gives_no_panic() {
        let counter = Counter { first: 1_000, began: Instant::now() };
        counter.duration(u64::MAX, 10, Duration::MAX);
        assert_eq!(counter.duration(0, 10, Duration::from_secs(1)), Duration::ZERO);
    }
}
