//! Summaries of samples.

use std::fmt;
use std::time::Duration;

use crate::number::{number, ratio};

/// Median, smallest and largest of some samples, in their unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    ///
    /// When there are no samples.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    /// The median, then the smallest and the largest, if they differ; each as `show` prints it.
    pub fn show(&self, show: fn(f64) -> String) -> String {
        let median = show(self.median);
        if self.min.total_cmp(&self.max).is_eq() {
            return median;
        }
        format!("{median} ({} .. {})", show(self.min), show(self.max))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.show(number))
    }
}

/// Which of two samples is the better one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Better {
    /// Times and sizes.
    #[default]
    Lower,
    /// Throughputs.
    Higher,
}

/// Samples of both sides, taken alternately.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    better: Better,
    stock: Vec<f64>,
    shadow: Vec<f64>,
}

impl Pairs {
    /// Without samples so far.
    pub fn of(better: Better) -> Self {
        Self { better, ..Self::default() }
    }

    /// Adds a sample of each side, taken one right after the other.
    pub fn push(&mut self, [stock, shadow]: [f64; 2]) {
        self.stock.push(stock);
        self.shadow.push(shadow);
    }

    /// The server's own.
    pub fn stock(&self) -> Spread {
        Spread::of(&self.stock)
    }

    /// The module's.
    pub fn shadow(&self) -> Spread {
        Spread::of(&self.shadow)
    }

    /// How much better the module is: over 1 if it needs less, or gets more done. Computed pair by pair, so that a slow
    /// moment of the machine affects both sides.
    pub fn ratio(&self) -> Spread {
        let pairs = self.stock.iter().zip(&self.shadow);
        let ratios: Vec<f64> = pairs
            .map(|(stock, shadow)| match self.better {
                Better::Lower => stock / shadow,
                Better::Higher => shadow / stock,
            })
            .collect();
        Spread::of(&ratios)
    }

    /// The cells of a table's row: both medians, and the ratio with its spread.
    pub fn cells(&self) -> [String; 2] {
        let sides = format!("{} / {}", number(self.stock().median), number(self.shadow().median));
        [sides, self.ratio().show(ratio)]
    }
}

/// Times of single calls, in microseconds: the median, the 99th and 99.9th percentile, the slowest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    pub half: f64,
    pub hundredth: f64,
    pub thousandth: f64,
    pub slowest: f64,
}

impl Quantiles {
    /// # Panics
    ///
    /// When there are no times.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        // The smallest time that this many of a thousand do not exceed.
        let at = |part: usize| times[(times.len() * part).div_ceil(1_000) - 1].as_secs_f64() * 1e6;
        Self { half: at(500), hundredth: at(990), thousandth: at(999), slowest: at(1_000) }
    }
}

/// The geometric mean.
pub fn mean(ratios: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = ratios.len() as f64;
    (ratios.map(f64::ln).sum::<f64>() / count).exp()
}
