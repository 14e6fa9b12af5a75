//! How long calls took: how many of them took about how long.
//!
//! Of the crates that have such a histogram, one needs exclusive access, so a lock in each call, and the others take 18
//! KB or more for each function that was ever called. This one takes 700 bytes and 512 for each power of two that calls
//! fall into, and counting costs some twenty instructions.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use once_cell::race::OnceBox;

use crate::clock::Ticks;

/// Into how many steps of the same length each power of two is divided. The middle of a step is less than 0.8 % away
/// from what is in it.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 6;

/// The least and the greatest power of two that are told apart. What is shorter than the least (100 ns where a tick is
/// of a processor of 2.5 GHz) or longer than the greatest (minutes) counts as that.
const LEAST: u32 = 8;
const GREATEST: u32 = 39;

/// Counts of the steps of one power of two.
type Octave = [AtomicU64; STEPS];

/// A histogram of times. One thread at a time counts.
pub struct Histogram {
    /// Those of the longest times come first: the number of zeros before a time's first bit tells which it is in.
    octaves: [OnceBox<Octave>; (GREATEST - LEAST + 1) as usize],
}

impl Histogram {
    /// Counts a time.
    #[inline]
    pub fn count(&self, Ticks(ticks): Ticks) {
        let zeros = (ticks | 1).leading_zeros();
        match self.octaves.get(zeros.wrapping_sub(u64::BITS - 1 - GREATEST) as usize) {
            Some(octave) => {
                let step = (ticks << zeros >> (u64::BITS - 1 - STEP_BITS)) as usize % STEPS;
                let octave = octave.get_or_init(|| Box::new([const { AtomicU64::new(0) }; STEPS]));
                octave[step].store(octave[step].load(Relaxed).wrapping_add(1), Relaxed);
            }
            None => self.count_extreme(ticks),
        }
    }

    /// Counts a time that is too short or too long.
    #[cold]
    fn count_extreme(&self, ticks: u64) {
        self.count(Ticks(ticks.clamp(1 << LEAST, (1 << (GREATEST + 1)) - 1)));
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.octaves
            .iter()
            .filter_map(OnceBox::get)
            .flat_map(|octave| octave.iter())
            .for_each(|step| step.store(0, Relaxed));
    }

    /// What has been counted.
    pub fn times(&self) -> Times {
        let mut steps = Vec::new();
        for (power, octave) in (LEAST..).zip(self.octaves.iter().rev()) {
            for (step, count) in (0_u64..).zip(octave.get().into_iter().flat_map(|octave| octave.iter())) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let start = (STEPS as u64 + step) << (power - STEP_BITS);
                    let middle = start + (1 << (power - STEP_BITS) >> 1);
                    steps.push((Ticks(middle), count));
                }
            }
        }
        Times { steps, longest: None }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { octaves: [const { OnceBox::new() }; (GREATEST - LEAST + 1) as usize] }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.times().fmt(f)
    }
}

/// The times of a histogram at one moment: the middle of each step, and how many there are in it. The shortest come
/// first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    steps: Vec<(Ticks, u64)>,
    /// The longest time, if that is known exactly.
    longest: Option<Ticks>,
}

impl Times {
    /// The same times, the longest of which is known.
    pub fn with_longest(self, longest: Ticks) -> Self {
        Self { longest: Some(longest), ..self }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|&(_, count)| count).sum()
    }

    /// The time that this part of all, in percent, is not longer than; None if there are no times.
    pub fn percentile(&self, percent: f64) -> Option<Ticks> {
        let count = self.count();
        let wanted = ((percent / 100.0 * count as f64).round() as u64).clamp(1, count.max(1));
        let mut before = 0;
        let found = self.steps.iter().find(|&&(_, count)| {
            before += count;
            before >= wanted
        });
        // The middle of the last step may be beyond all that is in it.
        found.map(|&(time, _)| self.longest.map_or(time, |longest| time.min(longest)))
    }

    /// How many are not longer than each of `bounds`, which grow, when they are expressed as these are.
    pub fn up_to<T: PartialOrd>(&self, bounds: &[T], express: impl Fn(Ticks) -> T) -> Vec<u64> {
        let (mut steps, mut counted) = (self.steps.iter().peekable(), 0);
        let up_to = |bound: &T| {
            while let Some((_, count)) = steps.next_if(|&&(time, _)| express(time) <= *bound) {
                counted += count;
            }
            counted
        };
        bounds.iter().map(up_to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(times: impl IntoIterator<Item = u64>) -> Histogram {
        let histogram = Histogram::default();
        times.into_iter().for_each(|time| histogram.count(Ticks(time)));
        histogram
    }

    /// The exact percentile of `times`, which are sorted.
    fn exact(times: &[u64], percent: f64) -> u64 {
        let rank = (percent / 100.0 * times.len() as f64).round() as usize;
        times[rank.clamp(1, times.len()) - 1]
    }

    /// A million times whose logarithms have a normal distribution, as those of calls often have.
    fn many_times() -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(16);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let mut times: Vec<u64> = (0..1_000_000).map(|_| (9.0 + 1.5 * normal()).exp() as u64).collect();
        times.sort_unstable();
        times
    }

    #[test]
    fn percentiles_of_a_million_times_are_within_one_percent() {
        let times = many_times();
        let counted = histogram(times.iter().copied()).times();
        assert_eq!(counted.count(), 1_000_000);
        for percent in [1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0] {
            let (found, exact) = (counted.percentile(percent).unwrap().0 as f64, exact(&times, percent) as f64);
            assert!((found / exact - 1.0).abs() < 0.01, "{percent}: {found} instead of {exact}");
        }
    }

    #[test]
    fn every_time_is_within_one_percent_of_its_step() {
        for power in LEAST..=GREATEST {
            for time in [1 << power, (1 << power) + (1 << power) / 3, (2 << power) - 1] {
                let found = histogram([time]).times().percentile(50.0).unwrap().0;
                assert!((found as f64 / time as f64 - 1.0).abs() < 0.01, "{found} instead of {time}");
            }
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_counts_as_the_shortest_or_longest() {
        let counted = histogram([0, 1, u64::MAX]).times();
        assert_eq!(counted.count(), 3);
        assert!(counted.percentile(50.0).unwrap().0 < 1 << (LEAST + 1));
        assert!(counted.percentile(100.0).unwrap().0 > 1 << GREATEST);
    }

    #[test]
    fn the_counts_up_to_bounds_add_up() {
        let counted = histogram([1_000, 1_000, 5_000, 70_000]).times();
        assert_eq!(counted.up_to(&[900, 2_000, 6_000, 1_000_000], |Ticks(time)| time), [0, 2, 3, 4]);
    }

    #[test]
    fn nothing_is_left_after_a_reset() {
        let histogram = histogram([1_000, 2_000]);
        histogram.reset();
        assert_eq!(histogram.times(), Times::default());
        assert_eq!(histogram.times().percentile(50.0), None);
        histogram.count(Ticks(3_000));
        assert_eq!(histogram.times().count(), 1);
    }
}
