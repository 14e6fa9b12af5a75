//! The library `bit`: operations on 32 bits, with results as signed integers.

use super::argument;
use super::stack::{Outcome, Raise, Stack, natives};

natives! {
    ToBit = c"tobit", to_bit;
    Not = c"bnot", not;
    And = c"band", and;
    Or = c"bor", or;
    Xor = c"bxor", xor;
    ShiftLeft = c"lshift", shift_left;
    ShiftRight = c"rshift", shift_right;
    /// A right shift that copies the sign.
    ShiftArithmetic = c"arshift", shift_arithmetic;
    RotateLeft = c"rol", rotate_left;
    RotateRight = c"ror", rotate_right;
    /// Turns the order of the bytes around.
    Swap = c"bswap", swap;
    ToHex = c"tohex", to_hex;
}

/// The 32 bits that stand for `number`.
///
/// Adding 2^52 + 2^51 leaves a sum whose last fraction bit is worth 1: the processor has rounded to an integer (to the
/// even one in the middle), and its lowest 32 bits are the lowest of the fraction, in two's complement. Numbers so
/// large that the sum's last bit is worth more give what the server gives, which computes the same sum.
fn bits_of(number: f64) -> u32 {
    const BIAS: f64 = 6_755_399_441_055_744.0;
    (number + BIAS).to_bits() as u32
}

fn operand(stack: &Stack, function: &str, index: i32) -> Result<u32, Raise> {
    argument::number(stack, function, index).map(bits_of)
}

fn give(stack: &Stack, bits: u32) -> Outcome {
    stack.push_number(f64::from(bits.cast_signed()));
    Ok(1)
}

fn to_bit(stack: &Stack) -> Outcome {
    give(stack, operand(stack, "tobit", 1)?)
}

fn not(stack: &Stack) -> Outcome {
    give(stack, !operand(stack, "bnot", 1)?)
}

/// Combines all arguments. The first is checked first, then the others from the last on: that is the order in which
/// the server finds a wrong one.
fn fold(stack: &Stack, function: &str, combine: impl Fn(u32, u32) -> u32) -> Outcome {
    let mut bits = operand(stack, function, 1)?;
    for index in (2..=stack.top()).rev() {
        bits = combine(bits, operand(stack, function, index)?);
    }
    give(stack, bits)
}

fn and(stack: &Stack) -> Outcome {
    fold(stack, "band", |a, b| a & b)
}

fn or(stack: &Stack) -> Outcome {
    fold(stack, "bor", |a, b| a | b)
}

fn xor(stack: &Stack) -> Outcome {
    fold(stack, "bxor", |a, b| a ^ b)
}

/// Shifts or rotates by the lowest five bits of the second argument.
fn shift(stack: &Stack, function: &str, by: impl Fn(u32, u32) -> u32) -> Outcome {
    let bits = operand(stack, function, 1)?;
    let count = operand(stack, function, 2)? & 31;
    give(stack, by(bits, count))
}

fn shift_left(stack: &Stack) -> Outcome {
    shift(stack, "lshift", |bits, count| bits << count)
}

fn shift_right(stack: &Stack) -> Outcome {
    shift(stack, "rshift", |bits, count| bits >> count)
}

fn shift_arithmetic(stack: &Stack) -> Outcome {
    shift(stack, "arshift", |bits, count| (bits.cast_signed() >> count).cast_unsigned())
}

fn rotate_left(stack: &Stack) -> Outcome {
    shift(stack, "rol", u32::rotate_left)
}

fn rotate_right(stack: &Stack) -> Outcome {
    shift(stack, "ror", u32::rotate_right)
}

fn swap(stack: &Stack) -> Outcome {
    give(stack, operand(stack, "bswap", 1)?.swap_bytes())
}

fn to_hex(stack: &Stack) -> Outcome {
    let bits = operand(stack, "tohex", 1)?;
    // Only a missing count is eight; nil is refused.
    let count = if stack.top() < 2 { 8 } else { operand(stack, "tohex", 2)?.cast_signed() };
    let (digits, length) = hex(bits, count);
    stack.push_bytes(&digits[..length]);
    Ok(1)
}

/// The lowest digits of `bits`, and how many they are: as many as `count` says, in capitals if it is negative.
fn hex(bits: u32, count: i32) -> ([u8; 8], usize) {
    let alphabet = if count < 0 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let length = count.unsigned_abs().min(8) as usize;
    let mut digits = [0; 8];
    for (place, digit) in digits[..length].iter_mut().rev().enumerate() {
        *digit = alphabet[(bits >> (4 * place)) as usize & 15];
    }
    (digits, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(number: f64) -> i32 {
        bits_of(number).cast_signed()
    }

    #[test]
    fn numbers_are_rounded_and_wrapped() {
        assert_eq!(signed(1.5), 2);
        assert_eq!(signed(2.5), 2);
        assert_eq!(signed(-1.5), -2);
        assert_eq!(signed(-0.5), 0);
        assert_eq!(signed(4_294_967_295.0), -1);
        assert_eq!(signed(2_147_483_648.0), i32::MIN);
        assert_eq!(signed(4_294_967_301.0), 5);
        assert_eq!(signed(-4_294_967_297.0), -1);
    }

    #[test]
    fn numbers_beyond_the_fraction_are_the_servers() {
        assert_eq!(signed(1e20), 2_025_163_840);
        assert_eq!(signed(9_007_199_254_740_994.0), 1);
        assert_eq!(signed(f64::INFINITY), 0);
        assert_eq!(signed(f64::NAN), 0);
    }

    #[test]
    fn hexadecimal_digits_are_cut_and_capitalised() {
        let text = |bits, count| {
            let (digits, length) = hex(bits, count);
            String::from_utf8(digits[..length].to_vec()).unwrap()
        };
        assert_eq!(text(255, 8), "000000ff");
        assert_eq!(text(255, 4), "00ff");
        assert_eq!(text(u32::MAX, -4), "FFFF");
        assert_eq!(text(0x1234_5678, 3), "678");
        assert_eq!(text(1, 0), "");
        assert_eq!(text(1, 20), "00000001");
        assert_eq!(text(0xABCD_EF01, i32::MIN), "ABCDEF01");
    }
}
