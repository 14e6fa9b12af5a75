//! Numbers read from text as the C library reads them.

#![allow(unsafe_code, reason = "calls strtod")]

use std::ffi::c_char;

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
pub(super) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Reads the number with the C library: hexadecimal numbers, infinity and NaN.
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
    use super::super::tests::spread;
    use super::*;

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
