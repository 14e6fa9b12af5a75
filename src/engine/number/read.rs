//! Numbers in JSON texts.

use std::ffi::c_char;

/// How many digits are written unless a script sets another number.
const DIGITS: usize = 14;

/// Appends a finite or other `value` as `printf` does with `%.<precision>g`.
pub fn write(out: &mut Vec<u8>, value: f64, precision: i32) {
    if precision == DIGITS as i32 {
        let whole = value as i64;
        if whole as f64 == value && value.abs() < 1e14 && (whole != 0 || value.is_sign_positive()) {
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
            return;
        }
        // Subnormal numbers have fewer than fourteen digits, so that their shortest text does not tell the others.
        if value.is_normal() && write_rounded(out, value) {
            return;
        }
    }
    write_by_c(out, value, precision);
}

/// Writes the number with the C library.
fn write_by_c(out: &mut Vec<u8>, value: f64, precision: i32) {
    let mut buffer = [0u8; 64];
    let (start, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the buffer has room for every output of this format (at most 14 digits), and its size is given.
    let length = unsafe { libc::snprintf(start, size, c"%.*g".as_ptr(), precision, value) };
    out.extend_from_slice(&buffer[..usize::try_from(length).unwrap_or(0).min(size)]);
}

/// The significant digits of a number and the power of ten of the first one.
struct Decimal {
    digits: [u8; 24],
    count: usize,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as `value`, which is positive and normal.
    fn shortest(value: f64) -> Self {
        let mut buffer = ryu_js::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        let mut decimal = Self { digits: [0; 24], count: 0, exponent: -1 };
        let (mantissa, power) = match text.iter().position(|&byte| byte == b'e') {
            Some(place) => (&text[..place], parse_power(&text[place + 1..])),
            None => (text, 0),
        };
        let mut after_point = false;
        for &byte in mantissa {
            if byte == b'.' {
                after_point = true;
                continue;
            }
            let significant = decimal.count > 0 || byte != b'0';
            if significant {
                decimal.digits[decimal.count] = byte;
                decimal.count += 1;
            }
            decimal.exponent += i32::from(significant && !after_point) - i32::from(!significant && after_point);
        }
        decimal.exponent += power;
        decimal.trim();
        decimal
    }

    fn trim(&mut self) {
        while self.count > 1 && self.digits[self.count - 1] == b'0' {
            self.count -= 1;
        }
    }

    /// Rounds to the digits that are written; false when only the exact value decides.
    fn round(&mut self) -> bool {
        if self.count <= DIGITS {
            return true;
        }
        // The shortest decimal and the value lie on the same side of the middle between two shorter ones: the middle
        // is shorter itself, so if it were between them, it would have been chosen. Only when the shortest decimal
        // is the middle, the side of the value is unknown.
        if self.count == DIGITS + 1 && self.digits[DIGITS] == b'5' {
            return false;
        }
        let up = self.digits[DIGITS] >= b'5';
        self.count = DIGITS;
        if up {
            while self.count > 0 && self.digits[self.count - 1] == b'9' {
                self.count -= 1;
            }
            if self.count == 0 {
                (self.digits[0], self.count) = (b'1', 1);
                self.exponent += 1;
            } else {
                self.digits[self.count - 1] += 1;
            }
        }
        self.trim();
        true
    }
}

/// The number after an `e`.
fn parse_power(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let power = digits.iter().fold(0, |power, &digit| power * 10 + i32::from(digit - b'0'));
    if negative { -power } else { power }
}

/// Writes a normal number with fourteen digits, rounded from its shortest decimal; false (and nothing written) when
/// that is not enough to round by.
fn write_rounded(out: &mut Vec<u8>, value: f64) -> bool {
    let mut decimal = Decimal::shortest(value.abs());
    if !decimal.round() {
        return false;
    }
    let Decimal { digits, count, exponent } = decimal;
    let digits = &digits[..count];
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= DIGITS as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..(1 - exponent) as usize]);
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if count > whole {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        } else {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - count, b'0');
        }
    }
    true
}

/// The number at the start of `text`, and how many bytes it has, as C's `strtod` reads it; None when there is none.
/// `text` begins with none of the white space that `strtod` skips.
pub fn read(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let digit = |at: usize| text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10);
    if text.get(start) == Some(&b'0') && text.get(start + 1).is_some_and(|byte| byte | 0x20 == b'x') {
        return read_by_c(text);
    }
    let (mut mantissa, mut at) = (0_u64, start);
    // Wraps for long numbers; those are not read from it.
    while let Some(digit) = digit(at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    let mut digits = at - start;
    let mut exponent = 0_i64;
    if text.get(at) == Some(&b'.') {
        let point = at;
        at += 1;
        while let Some(digit) = digit(at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit.into());
            at += 1;
        }
        let fraction = at - point - 1;
        digits += fraction;
        exponent = -i64::try_from(fraction).unwrap_or(i64::MAX);
    }
    if digits == 0 {
        return read_by_c(text);
    }
    if text.get(at).is_some_and(|byte| byte | 0x20 == b'e') {
        let sign = text.get(at + 1).copied();
        let mut end = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        if digit(end).is_some() {
            let mut power = 0_i64;
            while let Some(digit) = digit(end) {
                power = power.saturating_mul(10).saturating_add(digit.into());
                end += 1;
            }
            exponent = exponent.saturating_add(if sign == Some(b'-') { -power } else { power });
            at = end;
        }
    }
    // Both operands are exact then, so that the one operation rounds correctly.
    if digits <= 19 && mantissa <= 1 << 53 && exponent.unsigned_abs() < POWERS.len() as u64 {
        let power = POWERS[exponent.unsigned_abs() as usize];
        let value = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
        return Some((if negative { -value } else { value }, at));
    }
    let value = std::str::from_utf8(&text[..at]).ok()?.parse().ok()?;
    Some((value, at))
}

/// The powers of ten that are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Reads the number with the C library: hexadecimal numbers, infinity and what is no number.
fn read_by_c(text: &[u8]) -> Option<(f64, usize)> {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._()".contains(byte);
    let length = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    let mut copy = text[..length].to_vec();
    copy.push(0);
    let start = copy.as_ptr().cast::<c_char>();
    let mut end = start.cast_mut();
    // SAFETY: `start` is a string that ends with NUL; `end` is set to an address in it.
    let (value, used) = unsafe {
        let value = libc::strtod(start, &mut end);
        (value, end.offset_from(start))
    };
    (used > 0).then_some((value, used.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        write(&mut out, value, 14);
        String::from_utf8(out).unwrap()
    }

    /// Numbers whose bits are spread over everything.
    fn spread(count: u64) -> impl Iterator<Item = u64> {
        (1..=count)
            .map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    #[test]
    fn fourteen_digits_are_written() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-1.0 / 3.0, "-0.33333333333333"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (99_999_999_999_999.0, "99999999999999"),
            (99_999_999_999_999.9, "1e+14"),
            (1e14, "1e+14"),
            (12_345_678_901_234_567_890.0, "1.2345678901235e+19"),
            (9.999_999_999_999_999, "10"),
            (0.000_099_999_999_999_999_9, "0.0001"),
            (1e100, "1e+100"),
            (5e-324, "4.9406564584125e-324"),
            (1_234_567.890_625, "1234567.890625"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn rounding_is_that_of_the_c_library() {
        for bits in spread(200_000) {
            let near = (bits % 2_000_000_000_000_000) as f64 / 10_f64.powi((bits >> 59) as i32);
            for value in [f64::from_bits(bits), near, near + 0.5, near * 0.001] {
                let mut expected = Vec::new();
                write_by_c(&mut expected, value, 14);
                assert_eq!(written(value).as_bytes(), expected, "{value:e}");
            }
        }
    }

    #[test]
    fn numbers_are_read_as_the_c_library_reads_them() {
        for text in [
            "0",
            "-0",
            "1",
            "12,",
            "1.5e3]",
            "1e",
            "1e+",
            "1.e2",
            ".5",
            "-.5",
            ".",
            "-",
            "1.",
            "0x10",
            "-0xaP1",
            "0x",
            "0xg",
            "01",
            "1e400",
            "1e-400",
            "123456789012345678901234567890",
            "9007199254740993",
            "0.1e23",
            "1e22",
            "1e23",
            "4.9e-324",
            "nan",
            "-nan(1)",
            "inf",
            "-Infinity",
            "infi",
            "+5",
            "1e99999999999999999999",
            "8.5e-22",
            "x",
            "123456789012345678e-5",
            "0.000000000000000000000000000000000000000000001",
        ] {
            let (ours, by_c) = (read(text.as_bytes()), read_by_c(text.as_bytes()));
            let bits = |found: Option<(f64, usize)>| found.map(|(value, used)| (value.to_bits(), used));
            assert_eq!(bits(ours), bits(by_c), "{text}");
        }
        for bits in spread(100_000) {
            let value = f64::from_bits(bits);
            let short = (bits >> 12) as f64 / 1e5;
            for text in [format!("{value:e}"), format!("{short}"), format!("{short:.3}"), format!("{}e-9", bits >> 20)]
            {
                let (ours, by_c) = (read(text.as_bytes()), read_by_c(text.as_bytes()));
                if !value.is_nan() {
                    assert_eq!(ours, by_c, "{text}");
                }
            }
        }
    }
}
