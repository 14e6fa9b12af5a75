//! Parts of strings by position: `string.sub` and `string.byte`.

use super::number;
use super::usual::usual;
use crate::engine::number::truncated;
use crate::engine::stack::{Kind, Outcome, Stack};

/// The position at `index` counted from zero, where one below zero counts from the end; None when it is no number.
fn position(stack: &Stack, index: i32, length: i64) -> Option<i64> {
    let position = truncated(stack.number(index)?);
    Some(if position < 0 { (position + length + 1).max(0) } else { position })
}

pub fn sub(stack: &Stack) -> Outcome {
    let text = stack.text(1).unwrap_or_default();
    let length = text.len() as i64;
    let end = match stack.kind(3) {
        Kind::None | Kind::Nil => Some(length),
        _ => position(stack, 3, length),
    };
    let (Kind::String, Some(start), Some(end)) = (stack.kind(1), position(stack, 2, length), end) else {
        return usual(stack);
    };
    let (start, end) = (start.max(1), end.min(length));
    if start > end {
        stack.push_bytes(b"");
    } else {
        stack.push_bytes(&text[start as usize - 1..end as usize]);
    }
    Ok(1)
}

pub fn byte(stack: &Stack) -> Outcome {
    // Nearly always it is one byte at a place of the string.
    if stack.top() == 2
        && let (Some(text), Some(place)) = (stack.bytes(1), stack.number(2))
        && place >= 1.0
        && place < text.len() as f64 + 1.0
    {
        stack.push_number(text[place as usize - 1].into());
        return Ok(1);
    }
    number::fit_position(stack, 2);
    number::fit_position(stack, 3);
    usual(stack)
}
