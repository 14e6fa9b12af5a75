//! How much is done at the server's timer: less while no calls come.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often something is done; the timer may run far more often.
const INTERVAL: Duration = Duration::from_millis(100);

/// After so long without a call the module is at rest: what the next call needs is left to that call.
const REST: Duration = Duration::from_secs(5);

/// How many intervals are one slow one.
const SLOW: u32 = 10;

/// What is to be done at a tick of the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Everything: calls come.
    Full,
    /// What cannot wait for a call, and need not be done more than once a second.
    Slow,
    /// Nothing that could wait.
    Rest,
}

impl Beat {
    /// Whether no call has come for long.
    pub fn is_at_rest(self) -> bool {
        self != Self::Full
    }
}

/// When the timer was followed, and when calls came.
#[derive(Default)]
pub struct Pace {
    followed: Cell<Option<Instant>>,
    /// How many calls there had been then.
    calls: Cell<u64>,
    /// Since when there have been no others.
    quiet_since: Cell<Option<Instant>>,
    /// Intervals at rest.
    rested: Cell<u32>,
}

impl Pace {
    /// What is to be done at a tick at the time `now`, when there have been this many calls; None if the last time is
    /// less than the interval ago.
    pub fn beat(&self, calls: u64, now: Instant) -> Option<Beat> {
        if self.followed.get().is_some_and(|last| now.duration_since(last) < INTERVAL) {
            return None;
        }
        self.followed.set(Some(now));
        if self.calls.replace(calls) != calls {
            self.quiet_since.set(None);
        }
        let quiet_since = self.quiet_since.get().unwrap_or(now);
        self.quiet_since.set(Some(quiet_since));
        if now.duration_since(quiet_since) < REST {
            self.rested.set(0);
            return Some(Beat::Full);
        }
        let rested = self.rested.get() + 1;
        self.rested.set(rested % SLOW);
        Some(if rested == SLOW { Beat::Slow } else { Beat::Rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done in so many ticks that are `apart` from each other.
    fn beats(pace: &Pace, calls: u64, now: &mut Instant, ticks: u32, apart: Duration) -> Vec<Beat> {
        let beat = |_| {
            *now += apart;
            pace.beat(calls, *now)
        };
        (0..ticks).filter_map(beat).collect()
    }

    #[test]
    fn without_calls_it_is_at_rest_until_the_next() {
        let (pace, mut now) = (Pace::default(), Instant::now());
        let full = [Beat::Full; 50];
        let rest: Vec<Beat> = [[Beat::Rest; 9].as_slice(), &[Beat::Slow]].concat().repeat(2);
        for calls in [0, 1, 7] {
            assert_eq!(beats(&pace, calls, &mut now, 50, INTERVAL), full, "{calls}");
            assert_eq!(beats(&pace, calls, &mut now, 20, INTERVAL), rest, "{calls}");
        }
    }

    #[test]
    fn one_call_in_five_seconds_keeps_it_from_resting() {
        let (pace, mut now) = (Pace::default(), Instant::now());
        for calls in 1..10 {
            assert_eq!(beats(&pace, calls, &mut now, 50, INTERVAL), [Beat::Full; 50], "{calls}");
        }
    }

    #[test]
    fn a_fast_timer_is_followed_ten_times_a_second() {
        let (pace, mut now) = (Pace::default(), Instant::now());
        assert_eq!(beats(&pace, 0, &mut now, 500, Duration::from_millis(2)).len(), 10);
        // A slow one each time.
        assert_eq!(beats(&pace, 0, &mut now, 5, Duration::from_secs(1)).len(), 5);
    }
}
