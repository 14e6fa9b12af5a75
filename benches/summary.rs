//! What is left of many samples.

use std::fmt;

use crate::side::Side;

/// Median, least and greatest of some samples, in their unit.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    median: f64,
    min: f64,
    max: f64,
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

    /// The median.
    pub const fn median(&self) -> f64 {
        self.median
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} .. {})", number(self.median), number(self.min), number(self.max))
    }
}

/// Samples of both sides, taken by turns.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    stock: Vec<f64>,
    shadow: Vec<f64>,
}

impl Pairs {
    /// Adds a sample of one side.
    pub fn push(&mut self, side: Side, sample: f64) {
        match side {
            Side::Stock => self.stock.push(sample),
            Side::Shadow => self.shadow.push(sample),
        }
    }

    /// How often shadow fits into stock: the median over the pairs.
    pub fn ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.stock.iter().zip(&self.shadow).map(|(stock, shadow)| stock / shadow).collect();
        Spread::of(&ratios).median()
    }

    /// The cells of a table's row: stock, shadow, and their ratio.
    pub fn cells(&self) -> [String; 3] {
        [Spread::of(&self.stock).to_string(), Spread::of(&self.shadow).to_string(), ratio(self.ratio())]
    }
}

/// A ratio; none where one of the two sides never got there.
pub fn ratio(value: f64) -> String {
    if value.is_normal() { format!("{}x", number(value)) } else { "-".to_owned() }
}

/// A count, its thousands apart.
pub fn count(value: usize) -> String {
    grouped(&value.to_string())
}

/// A number with as many decimals as are worth reading, its thousands apart. Not below zero.
pub fn number(value: f64) -> String {
    if value.is_infinite() {
        return "never".to_owned();
    }
    let decimals = match value {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{}{fraction}", grouped(whole))
}

/// Digits without a sign, with a comma before every three.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
