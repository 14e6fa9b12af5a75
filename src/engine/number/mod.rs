//! Numbers as the server prints and reads them.

use std::ffi::CStr;
use std::ops::Deref;

/// Room for a number's text and a NUL, in bytes. The longest there is has 26: a sign, `0.`, six zeros and 17 digits.
const TEXT_ROOM: usize = 32;

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

    /// It is empty before.
    ///
    /// # Panics
    /// As `new`.
    #[inline]
    fn set(&mut self, text: &[u8]) {
        self.bytes[..text.len()].copy_from_slice(text);
        self.length = text.len();
    }

    /// The text with a NUL after it.
    #[inline]
    pub fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }

    /// Makes it, which is empty, the text of a number that a script passes to a command.
    ///
    /// `shortest` is the newer servers' form (integers as such, else the shortest text that reads back as the same
    /// number); without it 17 digits are printed, as 7.0 does.
    #[inline]
    pub fn set_argument(&mut self, number: f64, shortest: bool) {
        // Nearly every number is a small integer, which all print alike.
        match small_integer(number) {
            Some(integer) => self.set(itoa::Buffer::new().format(integer).as_bytes()),
            None => *self = argument_text(number, shortest),
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
fn argument_text(number: f64, shortest: bool) -> Text {
    if number.is_nan() {
        // The server's own VM makes a negative NaN of 0/0, and that is how its C library prints it.
        return Text::new(b"-nan");
    }
    if !shortest {
        return seventeen_digits(number);
    }
    // The server tries integers up to 2^62 only; what is larger takes the shortest text.
    if number.abs() <= 4_611_686_018_427_387_904.0
        && let Some(integer) = exact_integer(number)
    {
        return integer_text(integer);
    }
    if number.is_infinite() {
        return Text::new(if number > 0.0 { b"inf" } else { b"-inf" });
    }
    Text::new(&shortest_text(number))
}

fn integer_text(integer: i64) -> Text {
    Text::new(itoa::Buffer::new().format(integer).as_bytes())
}

/// The shortest digits that read back as `number`, laid out as the server's own printer does: as an integer while fewer
/// than 8 zeros follow the digits, as a fraction while it is not far below 1, else with an exponent.
fn shortest_text(number: f64) -> Vec<u8> {
    let scientific = format!("{number:e}");
    let (sign, unsigned) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific.as_str()),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The number is 0.DIGITS times ten to the `point`.
    let point = exponent + 1;
    let count = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let text = if (0..8).contains(&(point - count)) {
        format!("{sign}{digits}{}", zeros(point - count))
    } else if point < count && (point - count > -7 || exponent.abs() < 4) {
        if point > 0 {
            let (whole, fraction) = digits.split_at(point as usize);
            format!("{sign}{whole}.{fraction}")
        } else {
            format!("{sign}0.{}{digits}", zeros(-point))
        }
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let direction = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{dot}{rest}e{direction}{}", exponent.abs())
    };
    text.into_bytes()
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

/// The text of a number as the server's VM prints it where it wants a string.
pub fn text(number: f64) -> Text {
    // The NaN of that VM is a negative one, and its C library says so.
    if number.is_nan() { Text::new(b"-nan") } else { printed(number, 1e14, c"%.14g") }
}

fn seventeen_digits(number: f64) -> Text {
    printed(number, 1e17, c"%.17g")
}

/// `format` is one of the two above, `limit` the first integer that it prints with an exponent: below, it prints an
/// integer's digits, which needs no C library.
fn printed(number: f64, limit: f64, format: &CStr) -> Text {
    if number.abs() < limit
        && let Some(integer) = exact_integer(number)
        && (integer != 0 || number.is_sign_positive())
    {
        return integer_text(integer);
    }
    let mut buffer = [0u8; 64];
    // SAFETY: the buffer has room for every output of these formats (at most 24 bytes), and its length is given.
    let length = unsafe { libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), number) };
    Text::new(&buffer[..usize::try_from(length).unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(number: f64, shortest: bool) -> String {
        let mut text = Text::EMPTY;
        text.set_argument(number, shortest);
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
        assert_eq!(old(f64::NAN), "-nan");
    }

    #[test]
    fn later_servers_print_integers_first_and_then_the_shortest_text() {
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
    }

    #[test]
    fn the_servers_vm_prints_fourteen_digits() {
        let text = |number| String::from_utf8(text(number).to_vec()).unwrap();
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(1.0 / 3.0), "0.33333333333333");
        assert_eq!(text(1e14), "1e+14");
        assert_eq!(text(-0.0), "-0");
        assert_eq!(text(f64::NEG_INFINITY), "-inf");
    }

    #[test]
    fn integers_are_printed_as_the_c_library_prints_them() {
        let edges = (0..18).flat_map(|exponent| {
            let edge = 10f64.powi(exponent);
            [edge - 2.0, edge - 1.0, edge, edge + 1.0, edge + 16.0]
        });
        for number in edges.flat_map(|number| [number, -number]).chain([0.0, -0.0, 9_007_199_254_740_993.0]) {
            for (limit, format) in [(1e14, c"%.14g"), (1e17, c"%.17g")] {
                assert_eq!(printed(number, limit, format), printed(number, 0.0, format), "{number} {format:?}");
            }
        }
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
