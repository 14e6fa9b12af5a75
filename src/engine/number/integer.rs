//! Numbers as integers.

/// `number` as an integer if it is one of 32 bits, and not the negative zero.
#[inline]
pub fn small_integer(number: f64) -> Option<i32> {
    let integer = number as i32;
    (f64::from(integer).to_bits() == number.to_bits()).then_some(integer)
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
