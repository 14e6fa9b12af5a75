//! Functions that take any number of numbers.
//!
//! A string counts as a number if it reads as one, and reading a long one takes time, as often as it is passed.

use super::super::stack::{Kind, Outcome, Stack};
use super::usual;

/// A string up to this length is read in no time.
const SHORT: usize = 64;

/// Turns a long string at `index` into the number that it reads as, after a safepoint. What is no number stays. May
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

fn read_all(stack: &Stack) -> Outcome {
    for index in 1..=stack.top() {
        read(stack, index);
    }
    usual(stack)
}

pub fn char(stack: &Stack) -> Outcome {
    read_all(stack)
}

pub fn max(stack: &Stack) -> Outcome {
    read_all(stack)
}

pub fn min(stack: &Stack) -> Outcome {
    read_all(stack)
}
