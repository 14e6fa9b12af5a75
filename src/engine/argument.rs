//! Arguments of natives, taken and refused as the server's VM does it for functions written in C.

use super::limits::SLOTS;
use super::number;
use super::stack::{Kind, Raise, Stack};

/// The error for argument `index` of `function`.
#[cold]
pub fn bad(stack: &Stack, function: &str, index: i32, reason: impl AsRef<[u8]>) -> Raise {
    // The server's VM knows a function's name from the Lua code that calls it, and there is none when `pcall` does.
    let function = if stack.place(1).is_some() { function } else { "?" };
    let start = format!("bad argument #{index} to '{function}' (");
    Raise::Positioned([start.as_bytes(), reason.as_ref(), b")"].concat())
}

/// Raises, for this reason, if the server's VM had no room for that many values.
#[inline]
pub fn check_slots(used: i32, reason: &str) -> Result<(), Raise> {
    if used > SLOTS { Err(overflow(reason)) } else { Ok(()) }
}

#[cold]
fn overflow(reason: &str) -> Raise {
    Raise::at(&format!("stack overflow ({reason})"))
}

#[cold]
fn expected(stack: &Stack, function: &str, index: i32, what: &str) -> Raise {
    bad(stack, function, index, format!("{what} expected, got {}", stack.type_name(index)))
}

/// A number, or a string that reads as one.
pub fn number(stack: &Stack, function: &str, index: i32) -> Result<f64, Raise> {
    if stack.kind(index) == Kind::String {
        // Reading a long one takes time, and a function may take many.
        stack.safepoint();
    }
    stack.number(index).ok_or_else(|| expected(stack, function, index, "number"))
}

/// [`number`], cut to an integer.
pub fn integer(stack: &Stack, function: &str, index: i32) -> Result<i64, Raise> {
    number(stack, function, index).map(number::truncated)
}

/// [`integer`]; without the argument, or with nil for it, `default`.
pub fn optional_integer(stack: &Stack, function: &str, index: i32, default: i64) -> Result<i64, Raise> {
    match stack.kind(index) {
        Kind::None | Kind::Nil => Ok(default),
        _ => integer(stack, function, index),
    }
}

/// A string, or the text of a number, which then takes the number's slot. May raise.
pub fn text<'a>(stack: &'a Stack, function: &str, index: i32) -> Result<&'a [u8], Raise> {
    stack.text(index).ok_or_else(|| expected(stack, function, index, "string"))
}
