//! The library `cmsgpack`: MessagePack.
//!
//! Markers and the smallest form of integers, strings and tables are those of the crate `rmp`, which are the server's
//! too. What is decided here is what the server decides in its own way: which number is an integer or a float of 32
//! bits, which table is an array, what has no form, and how streams of values are cut.

mod decode;
mod encode;

use super::argument::{self, bad, check_slots};
use super::limits::SLOTS;
use super::stack::{Outcome, Raise, Stack, natives};
use decode::Decoder;
use encode::Encoder;

natives! {
    Pack = c"pack", pack;
    Unpack = c"unpack", unpack;
    UnpackOne = c"unpack_one", unpack_one;
    UnpackLimit = c"unpack_limit", unpack_limit;
}

/// The texts that describe the library.
pub const NAME: &str = "cmsgpack";
pub const VERSION: &str = "lua-cmsgpack 0.4.0";
pub const DESCRIPTION: &str = "MessagePack C implementation for Lua";

fn pack(stack: &Stack) -> Outcome {
    let count = stack.top();
    if count == 0 {
        return Err(bad(stack, "pack", 0, "MessagePack pack needs input."));
    }
    if count > SLOTS / 2 {
        return Err(bad(stack, "pack", 0, "Too many arguments for MessagePack pack."));
    }
    let mut encoder = Encoder::new(stack);
    for index in 1..=count {
        // The server has pushed what it encoded so far, a string an argument, and a copy of this one.
        encoder.value(index, count + index)?;
    }
    stack.push_bytes(encoder.bytes());
    Ok(1)
}

fn unpack(stack: &Stack) -> Outcome {
    decode(stack, "unpack", 0, 0)
}

fn unpack_one(stack: &Stack) -> Outcome {
    let offset = argument::optional_integer(stack, "unpack_one", 2, 0)?;
    stack.set_top(stack.top().min(1));
    decode(stack, "unpack_one", 1, offset)
}

fn unpack_limit(stack: &Stack) -> Outcome {
    let limit = argument::integer(stack, "unpack_limit", 2)?;
    let offset = argument::optional_integer(stack, "unpack_limit", 3, 0)?;
    stack.set_top(1);
    decode(stack, "unpack_limit", limit, offset)
}

/// Decodes up to `limit` values of the first argument from `offset` on. Without either it is all of them; with one of
/// them the offset of what is left, or -1, comes first.
fn decode(stack: &Stack, function: &str, limit: i64, offset: i64) -> Outcome {
    let input = argument::text(stack, function, 1)?;
    // The server prints the lowest 32 bits.
    let (offset_text, length_text) = (offset as i32, input.len() as i32);
    if limit < 0 || offset < 0 {
        // The length is what the server gives for the limit.
        let text = format!("Invalid request to unpack with offset of {offset_text} and limit of {length_text}.");
        return Err(Raise::at(&text));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| input.get(offset..)) else {
        let text = format!("Start offset {offset_text} greater than input length {length_text}.");
        return Err(Raise::at(&text));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all { i64::MAX } else { limit };
    let arguments = stack.top();
    let mut decoder = Decoder::new(stack, rest);
    let mut results = 0;
    while !decoder.rest().is_empty() && i64::from(results) < limit {
        decoder.value(arguments + results)?;
        results += 1;
    }
    if all {
        return Ok(results);
    }
    check_slots(arguments + results + 1, "in function mp_unpack_full")?;
    stack.reserve(1);
    let left = decoder.rest().len();
    stack.push_number(if left == 0 { -1.0 } else { (input.len() - left) as f64 });
    stack.insert(2);
    Ok(results + 1)
}
