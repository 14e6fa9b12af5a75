//! Numbers printed as the C library and the server print them.

#![allow(unsafe_code, reason = "calls snprintf")]

use super::decimal::Decimal;
use super::grisu;
use super::integer::{exact_integer, small_integer};
use super::read::POWERS;
use super::text::NumberText;

/// How many digits the server's VM prints.
const DIGITS: usize = 14;

/// Up to this number of digits, each decimal is told by the nearest number, unless that is subnormal: then the shortest
/// decimal of a number tells its digits.
const EXACT_DIGITS: usize = 15;

/// Makes `text`, which is empty, the text of a number that a script passes to a command.
///
/// With `short` it is printed as newer servers do: an integer as such, else a short text that reads back as the
/// same number. Without, it has 17 digits, as in 7.0.
#[inline]
pub fn set_argument(text: &mut NumberText, number: f64, short: bool) {
    // Nearly every number is a small integer, which all print alike.
    match small_integer(number) {
        Some(integer) => text.set(itoa::Buffer::new().format(integer).as_bytes()),
        None => *text = argument_text(number, short),
    }
}

/// The text for [`set_argument`].
fn argument_text(number: f64, short: bool) -> NumberText {
    if !short || !number.is_finite() {
        return general(number, 17);
    }
    // The server tries integers up to 2^62 only; what is larger takes the short text.
    if number.abs() <= 4_611_686_018_427_387_904.0
        && let Some(integer) = exact_integer(number)
    {
        return integer_text(integer);
    }
    short_text(number)
}

fn integer_text(integer: i64) -> NumberText {
    NumberText::new(itoa::Buffer::new().format(integer).as_bytes())
}

/// The text of a number as the server's VM prints it where it wants a string.
pub fn text(number: f64) -> NumberText {
    general(number, DIGITS)
}

/// The text of a number as `printf` prints it with `%.<precision>g`. `precision` is between 1 and 17.
pub fn general(number: f64, precision: usize) -> NumberText {
    // From the limit on an integer has an exponent; below, it is printed as it is.
    if number.abs() < POWERS[precision]
        && let Some(integer) = exact_integer(number)
        && (integer != 0 || number.is_sign_positive())
    {
        return integer_text(integer);
    }
    if precision <= EXACT_DIGITS
        && number.is_normal()
        && let Some(decimal) = Decimal::shortest(number.abs()).rounded(precision)
    {
        return lay_out_general(&decimal, number.is_sign_negative(), precision);
    }
    general_by_c(number, precision)
}

/// [`general`] by the C library.
fn general_by_c(number: f64, precision: usize) -> NumberText {
    let mut buffer = [0u8; 64];
    let (start, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the buffer has room for every output of this format (at most 24 bytes with 17 digits), and its size is
    // given.
    let length = unsafe { libc::snprintf(start, size, c"%.*g".as_ptr(), precision as libc::c_int, number) };
    NumberText::new(&buffer[..usize::try_from(length).unwrap_or(0)])
}

/// A decimal with at most `precision` digits, with an exponent where `%g` has one.
fn lay_out_general(decimal: &Decimal, negative: bool, precision: usize) -> NumberText {
    let (digits, exponent) = (decimal.digits(), decimal.exponent);
    let mut text = NumberText::EMPTY;
    if negative {
        text.push(b"-");
    }
    if exponent < -4 || exponent >= precision as i32 {
        push_scientific(&mut text, decimal, 2);
    } else if exponent < 0 {
        text.push(&b"0.000"[..(1 - exponent) as usize]);
        text.push(digits);
    } else {
        push_fixed(&mut text, digits, exponent as usize + 1);
    }
    text
}

/// Pushes digits, `whole` of them before the point.
fn push_fixed(text: &mut NumberText, digits: &[u8], whole: usize) {
    if digits.len() > whole {
        text.push(&digits[..whole]);
        text.push(b".");
        text.push(&digits[whole..]);
    } else {
        text.push(digits);
        text.push_zeros(whole - digits.len());
    }
}

/// Pushes a decimal with an exponent of at least `least` digits.
fn push_scientific(text: &mut NumberText, decimal: &Decimal, least: usize) {
    let (first, rest) = decimal.digits().split_at(1);
    text.push(first);
    if !rest.is_empty() {
        text.push(b".");
        text.push(rest);
    }
    text.push(if decimal.exponent < 0 { b"e-" } else { b"e+" });
    let mut buffer = itoa::Buffer::new();
    let exponent = buffer.format(decimal.exponent.unsigned_abs()).as_bytes();
    text.push_zeros(least.saturating_sub(exponent.len()));
    text.push(exponent);
}

/// Short digits that read back as the finite `number`, as the newer servers' own printer finds and lays them out: as an
/// integer while fewer than 8 zeros follow the digits, as a fraction while it is not far below 1, else with an
/// exponent.
fn short_text(number: f64) -> NumberText {
    let decimal = grisu::digits(number.abs());
    let (digits, exponent) = (decimal.digits(), decimal.exponent);
    // The number is 0.DIGITS times ten to the `point`.
    let point = exponent + 1;
    let count = digits.len() as i32;
    let mut text = NumberText::EMPTY;
    if number.is_sign_negative() {
        text.push(b"-");
    }
    if (0..8).contains(&(point - count)) {
        push_fixed(&mut text, digits, point as usize);
    } else if point < count && (point - count > -7 || exponent.abs() < 4) {
        if point > 0 {
            push_fixed(&mut text, digits, point as usize);
        } else {
            text.push(b"0.");
            text.push_zeros(point.unsigned_abs() as usize);
            text.push(digits);
        }
    } else {
        push_scientific(&mut text, &decimal, 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::spread;
    use super::*;

    fn printed(number: f64) -> String {
        String::from_utf8(text(number).to_vec()).unwrap()
    }

    #[test]
    fn the_servers_vm_prints_fourteen_digits() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (-1.0 / 3.0, "-0.33333333333333"),
            (0.3 / 3.0, "0.1"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (99_999_999_999_999.0, "99999999999999"),
            (99_999_999_999_999.9, "1e+14"),
            (1e14, "1e+14"),
            (1_700_000_000_123_456.0, "1.7000000001235e+15"),
            (12_345_678_901_234_567_890.0, "1.2345678901235e+19"),
            (9.999_999_999_999_999, "10"),
            (0.000_099_999_999_999_999_9, "0.0001"),
            (1e100, "1e+100"),
            (5e-324, "4.9406564584125e-324"),
            (1_234_567.890_625, "1234567.890625"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN.copysign(1.0), "nan"),
            (f64::NAN.copysign(-1.0), "-nan"),
        ] {
            assert_eq!(printed(number), text);
        }
    }

    #[test]
    fn numbers_are_printed_as_the_c_library_prints_them() {
        let same = |number: f64, precision: usize| {
            assert_eq!(general(number, precision), general_by_c(number, precision), "{number:e} with {precision}");
        };
        for exponent in 0..18 {
            let edge = 10f64.powi(exponent);
            for number in [edge - 2.0, edge - 1.0, edge, edge + 1.0, edge + 16.0, edge + 0.5, 1.0 / edge] {
                for precision in 1..=17 {
                    same(number, precision);
                    same(-number, precision);
                }
            }
        }
        for power in -1074..1024 {
            same(2f64.powi(power), DIGITS);
            same(10f64.powi(power * 308 / 1074), DIGITS);
        }
        for bits in spread(300_000) {
            let near = (bits % 2_000_000_000_000_000) as f64 / 10_f64.powi((bits >> 59) as i32);
            let short = (bits % 100_000_000) as f64 / 10_f64.powi((bits >> 60) as i32);
            for number in [f64::from_bits(bits), near, near + 0.5, near * 0.001, short, -short] {
                same(number, DIGITS);
                same(number, 1 + (bits >> 32) as usize % 17);
            }
        }
    }
}
