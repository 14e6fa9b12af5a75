//! Settings of the server that the module follows in each call.

use std::cell::{Cell, RefCell};

use super::api::Context;
use super::stock;
use crate::clock::Ticks;

/// What the server's settings say. They are read when the module is loaded and when they change; where the server does
/// not announce that (before 7.2), ten times a second, or once while no calls come. Where CONFIG was renamed away they
/// are the server's defaults.
pub struct Followed {
    /// `latency-tracking`.
    tracks_latency: Cell<bool>,
    /// `slowlog-log-slower-than`, in microseconds; below 0 for no log.
    slower_than: Cell<i64>,
    /// `slowlog-max-len`.
    slow_calls: Cell<usize>,
    /// `latency-tracking-info-percentiles`.
    percentiles: RefCell<Vec<Percentile>>,
}

/// A percentile that is shown, and how the server writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentile {
    pub percent: f64,
    pub text: String,
}

impl Percentile {
    fn read(text: &str) -> Option<Self> {
        Some(Self { percent: text.parse().ok()?, text: text.to_owned() })
    }
}

/// Whatever its speed, a processor's counter counts at least this often in a microsecond; a clock of nanoseconds, too.
const TICKS: u64 = 500;

impl Followed {
    /// Reads the settings.
    pub fn refresh(&self, context: &Context) {
        let names =
            [c"latency-tracking", c"slowlog-log-slower-than", c"slowlog-max-len", c"latency-tracking-info-percentiles"];
        let [tracks, slower_than, slow_calls, percentiles] =
            stock::settings(context, names).map(|value| String::from_utf8(value?).ok());
        let number = |text: Option<String>| text?.parse::<i64>().ok();
        self.tracks_latency.set(tracks.is_none_or(|value| value == "yes"));
        self.slower_than.set(number(slower_than).unwrap_or(10_000));
        self.slow_calls.set(number(slow_calls).map_or(128, |length| usize::try_from(length).unwrap_or(0)));
        let percentiles = percentiles.unwrap_or_else(|| "50 99 99.9".to_owned());
        self.percentiles.replace(percentiles.split(' ').filter_map(Percentile::read).collect());
    }

    /// Whether the times of calls are kept.
    pub const fn tracks_latency(&self) -> bool {
        self.tracks_latency.get()
    }

    /// Whether a call that took this long is slow.
    #[inline]
    pub fn is_slow(&self, took: Ticks) -> bool {
        let limit = self.slower_than.get();
        // Nearly every call is faster than any clock could make that many microseconds of its ticks.
        limit >= 0 && took.0 >= (limit as u64).saturating_mul(TICKS) && took.duration().as_micros() >= limit as u128
    }

    /// How many slow calls are kept.
    pub const fn slow_calls(&self) -> usize {
        self.slow_calls.get()
    }

    /// The percentiles that INFO shows.
    pub fn percentiles(&self) -> Vec<Percentile> {
        self.percentiles.borrow().clone()
    }
}

impl Default for Followed {
    fn default() -> Self {
        Self {
            tracks_latency: Cell::new(true),
            slower_than: Cell::new(-1),
            slow_calls: Cell::new(0),
            percentiles: RefCell::default(),
        }
    }
}
