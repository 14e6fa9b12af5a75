//! Functions that make a string of others: `rep`, `reverse`, `lower`, `upper`, `format`.

use super::super::context::Context;
use super::super::stack::{Kind, Outcome, Raise, Stack};
use super::{LENGTH_LIMIT, STRIDE, number, too_large, usual};

/// Up to this length the VM's functions take no time.
const SHORT: usize = 16 << 20;

/// How many arguments `format` takes: as many as a function written in C takes in the server's VM.
const ARGUMENTS: i32 = 8_000;
/// How long the arguments of `format` may be together. The VM copies its buffer again and again while it grows.
const FORMAT_LIMIT: usize = 128 << 20;

pub fn repeat(stack: &Stack) -> Outcome {
    if let (Some(text), Some(count)) = (stack.text(1), stack.integer(2))
        && let Ok(count) = usize::try_from(count)
        && text.len().saturating_mul(count) > LENGTH_LIMIT
    {
        return Err(too_large());
    }
    usual(stack)
}

pub fn reverse(stack: &Stack) -> Outcome {
    map(stack, |text, made| {
        let left = text.len() - made.len();
        made.extend(text[left.saturating_sub(STRIDE)..left].iter().rev());
    })
}

// The server leaves letters to the C locale, in which those of ASCII are all.

pub fn lower(stack: &Stack) -> Outcome {
    map(stack, |text, made| made.extend(next(text, made.len()).iter().map(u8::to_ascii_lowercase)))
}

pub fn upper(stack: &Stack) -> Outcome {
    map(stack, |text, made| made.extend(next(text, made.len()).iter().map(u8::to_ascii_uppercase)))
}

fn next(text: &[u8], made: usize) -> &[u8] {
    &text[made..text.len().min(made + STRIDE)]
}

/// Makes a string of the same length from a long one, step by step.
fn map(stack: &Stack, step: impl Fn(&[u8], &mut Vec<u8>)) -> Outcome {
    let Some(text) = stack.text(1).filter(|text| text.len() > SHORT) else {
        return usual(stack);
    };
    if text.len() > LENGTH_LIMIT {
        return Err(too_large());
    }
    if text.len() > Context::of(stack).memory.room(stack) {
        return Err(Raise::Memory);
    }
    let mut made = Vec::with_capacity(text.len());
    while made.len() < text.len() {
        stack.safepoint();
        step(text, &mut made);
    }
    stack.push_bytes(&made);
    Ok(1)
}

pub fn format(stack: &Stack) -> Outcome {
    let count = stack.top();
    if count > ARGUMENTS {
        return Err(Raise::at(&format!("too many arguments to 'format' ({ARGUMENTS} at most)")));
    }
    let mut length = 0;
    let mut long = false;
    for index in 1..=count {
        if stack.kind(index) == Kind::String {
            let argument = stack.bytes(index).map_or(0, <[u8]>::len);
            length += argument;
            long |= argument > STRIDE / 16;
        }
    }
    if length > FORMAT_LIMIT {
        return Err(too_large());
    }
    if long {
        read_numbers(stack, count);
    }
    usual(stack)
}

/// Turns long strings that the format takes for numbers into those.
fn read_numbers(stack: &Stack, count: i32) {
    let numbers: Vec<i32> = match stack.bytes(1) {
        Some(format) => numeric(format).take_while(|&index| index <= count).collect(),
        None => return,
    };
    for index in numbers {
        number::read(stack, index);
    }
}

/// The arguments that a format takes for numbers.
fn numeric(format: &[u8]) -> impl Iterator<Item = i32> {
    let mut rest = format.iter().copied();
    let mut argument = 1;
    std::iter::from_fn(move || {
        loop {
            rest.find(|&byte| byte == b'%')?;
            let option = rest.find(|byte| !b"-+ #.0123456789".contains(byte))?;
            if option == b'%' {
                continue;
            }
            argument += 1;
            if b"cdiouxXeEfgG".contains(&option) {
                return Some(argument);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_format_are_found() {
        let found = |format: &str| numeric(format.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("no option"), []);
        assert_eq!(found("%s %d %% %5.2f%*%q%-+ #05x"), [3, 4, 7]);
        assert_eq!(found("%d%"), [2]);
        assert_eq!(found("%5"), []);
    }
}
