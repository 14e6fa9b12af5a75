//! Numbers as the server prints and reads them.

mod decimal;
mod grisu;
mod print;
mod read;

use std::ops::Deref;

pub use print::{general, text};
pub use read::read;

/// Room for a number's text and a NUL, in bytes. The longest there is has 26: a sign, `0.`, six zeros and 17 digits.
pub const TEXT_ROOM: usize = 32;

/// The text of a number, as a value that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    length: usize,
    /// Zeros follow the text.
    bytes: [u8; TEXT_ROOM],
}

impl Text {
    /// No text yet.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; TEXT_ROOM] };

    /// # Panics
    /// If it is no text of a number but a longer one.
    fn new(text: &[u8]) -> Self {
        let mut this = Self::EMPTY;
        this.set(text);
        this
    }

    /// Appends to it.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    /// Appends zeros. Panics as `push`.
    fn push_zeros(&mut self, count: usize) {
        self.bytes[self.length..][..count].fill(b'0');
        self.length += count;
    }

    /// It is empty before.
    ///
    /// # Panics
    /// As `new`.
    #[inline]
    fn set(&mut self, text: &[u8]) {
        self.bytes[..text.len()].copy_from_slice(text);
        self.length = text.len();
    }

    /// The text with zeros after it.
    #[inline]
    pub fn padded(&self) -> &[u8; TEXT_ROOM] {
        &self.bytes
    }

    /// The text with a NUL after it.
    #[inline]
    pub fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }

    /// Makes it, which is empty, the text of a number that a script passes to a command.
    ///
    /// `short` is the newer servers' form (integers as such, else a short text that reads back as the same number);
    /// without it 17 digits are printed, as 7.0 does.
    #[inline]
    pub fn set_argument(&mut self, number: f64, short: bool) {
        // Nearly every number is a small integer, which all print alike.
        match small_integer(number) {
            Some(integer) => self.set(itoa::Buffer::new().format(integer).as_bytes()),
            None => *self = argument_text(number, short),
        }
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// `number` as an integer if it is one of 32 bits, and not the negative zero.
#[inline]
fn small_integer(number: f64) -> Option<i32> {
    let integer = number as i32;
    (f64::from(integer).to_bits() == number.to_bits()).then_some(integer)
}

/// The text for [`Text::set_argument`].
fn argument_text(number: f64, short: bool) -> Text {
    if !short || !number.is_finite() {
        return general(number, 17);
    }
    // The server tries integers up to 2^62 only; what is larger takes the short text.
    if number.abs() <= 4_611_686_018_427_387_904.0
        && let Some(integer) = exact_integer(number)
    {
        return integer_text(integer);
    }
    print::short(number)
}

fn integer_text(integer: i64) -> Text {
    Text::new(itoa::Buffer::new().format(integer).as_bytes())
}

/// `number` as a 64-bit integer when it is one exactly.
pub fn exact_integer(number: f64) -> Option<i64> {
    // 2^63 itself is a double and does not fit; the cast of anything below it is exact.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let integer = number as i64;
    ((-LIMIT..LIMIT).contains(&number) && integer as f64 == number).then_some(integer)
}

/// `number` cut to a 64-bit integer as the x86 instruction does it: what does not fit, and NaN, is the lowest integer.
pub fn truncated(number: f64) -> i64 {
    // The cast stops at the limits. The highest integer is no double, so it comes from numbers beyond it alone.
    let integer = number as i64;
    if integer == i64::MAX || number.is_nan() { i64::MIN } else { integer }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose bits are spread over everything.
    pub fn spread(count: u64) -> impl Iterator<Item = u64> {
        (1..=count)
            .map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    fn argument(number: f64, short: bool) -> String {
        let mut text = Text::EMPTY;
        text.set_argument(number, short);
        String::from_utf8(text.to_vec()).unwrap()
    }

    fn old(number: f64) -> String {
        argument(number, false)
    }

    fn new(number: f64) -> String {
        argument(number, true)
    }

    #[test]
    fn seventeen_digits_are_printed_for_7_0() {
        assert_eq!(old(3.0), "3");
        assert_eq!(old(0.1), "0.10000000000000001");
        assert_eq!(old(1e15), "1000000000000000");
        assert_eq!(old(1e17), "1e+17");
        assert_eq!(old(-0.0), "-0");
        assert_eq!(old(9_223_372_036_854_775_808.0), "9.2233720368547758e+18");
        assert_eq!(old(f64::INFINITY), "inf");
        assert_eq!(old(f64::NAN), "nan");
        assert_eq!(old(-f64::NAN), "-nan");
    }

    #[test]
    fn later_servers_print_integers_first_and_then_a_short_text() {
        assert_eq!(new(1e17), "100000000000000000");
        assert_eq!(new(-0.0), "0");
        assert_eq!(new(0.1), "0.1");
        assert_eq!(new(1e-5), "0.00001");
        assert_eq!(new(1e-7), "1e-7");
        assert_eq!(new(9_223_372_036_854_775_808.0), "9223372036854776000");
        assert_eq!(new(-9_223_372_036_854_775_808.0), "-9223372036854776000");
        assert_eq!(new(4_611_686_018_427_387_904.0), "4611686018427387904");
        assert_eq!(new(1e21), "1e+21");
        assert_eq!(new(1e19), "1e+19");
        assert_eq!(new(12_345_678_901_234_567_890.0), "12345678901234567000");
        assert_eq!(new(1.5), "1.5");
        assert_eq!(new(-0.000_123_456_7), "-1.234567e-4");
        assert_eq!(new(0.001_234_567_89), "0.00123456789");
        assert_eq!(new(f64::NEG_INFINITY), "-inf");
        // Neither the closest nor the fewest digits, but the servers'.
        assert_eq!(new(2.045_599_743_943_924_3e133), "2.0455997439439244e+133");
        assert_eq!(new(228_429_866_853_658_850.0), "228429866853658848");
        assert_eq!(new(1.539_920_307_372_461_3e100), "1.5399203073724613e+100");
    }

    #[test]
    fn truncation_is_the_processors() {
        assert_eq!(truncated(3.99), 3);
        assert_eq!(truncated(-3.99), -3);
        assert_eq!(truncated(f64::NAN), i64::MIN);
        assert_eq!(truncated(1e300), i64::MIN);
        assert_eq!(truncated(-1e300), i64::MIN);
        assert_eq!(truncated(9_007_199_254_740_992.0), 9_007_199_254_740_992);
    }
}
