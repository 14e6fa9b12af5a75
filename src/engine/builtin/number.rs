//! Numbers that functions take.
//!
//! A string counts as a number if it reads as one, and reading a long one takes time, as often as it is passed.
//!
//! The VM's functions cut numbers to 32 bits, and what does not fit becomes the lowest integer. The server's cut them
//! to 64 bits, and some of them take the lower half of those. What does not fit into 32 bits is put here as what the
//! server makes of it.

use super::usual::usual;
use crate::engine::number::truncated;
use crate::engine::stack::{Kind, Outcome, Stack};

/// A string up to this length, in bytes, is read in no time.
const SHORT: usize = 64;

/// Turns a long string at `index` into the number that it reads as, after a safepoint. Any other value stays. May
/// raise.
pub fn read(stack: &Stack, index: i32) {
    if stack.kind(index) == Kind::String
        && stack.bytes(index).is_some_and(|text| text.len() > SHORT)
        && let Some(number) = stack.number(index)
    {
        stack.safepoint();
        stack.push_number(number);
        stack.replace(index);
    }
}

/// Puts an integer of 32 bits at `index` in the place of a number that does not fit: what `fit` makes of its 64 bits.
/// Any other value stays.
fn fit(stack: &Stack, index: i32, fit: impl FnOnce(i64) -> i32) {
    if !matches!(stack.kind(index), Kind::Number | Kind::String) {
        return;
    }
    if let Some(number) = stack.number(index)
        && !(number > -2_147_483_649.0 && number < 2_147_483_648.0)
    {
        stack.push_number(fit(truncated(number)).into());
        stack.replace(index);
    }
}

/// Clamps the number at `index`, a position, to 32 bits: no string is that long.
pub fn fit_position(stack: &Stack, index: i32) {
    fit(stack, index, |wide| wide.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
}

/// Cuts the number at `index` to its lower 32 bits, as the server's functions do with what they call an int.
pub fn fit_int(stack: &Stack, index: i32) {
    fit(stack, index, |wide| wide as i32);
}

fn read_all(stack: &Stack) -> Outcome {
    for index in 1..=stack.top() {
        read(stack, index);
    }
    usual(stack)
}

pub fn char(stack: &Stack) -> Outcome {
    for index in 1..=stack.top() {
        read(stack, index);
        fit_int(stack, index);
    }
    usual(stack)
}

pub fn max(stack: &Stack) -> Outcome {
    read_all(stack)
}

pub fn min(stack: &Stack) -> Outcome {
    read_all(stack)
}

/// `tonumber`. The VM answers without coming here when there is no base.
pub fn from_text(stack: &Stack) -> Outcome {
    fit_int(stack, 2);
    usual(stack)
}

/// The server's `log` takes no base.
pub fn log(stack: &Stack) -> Outcome {
    if stack.top() > 1 {
        stack.set_top(1);
    }
    usual(stack)
}

pub fn ldexp(stack: &Stack) -> Outcome {
    fit_int(stack, 2);
    usual(stack)
}
