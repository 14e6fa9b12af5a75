//! Functions that make a string of others: `rep`, `reverse`, `lower`, `upper`, `format`.

use memchr::{memchr, memchr_iter};

use super::number;
use super::usual::usual;
use crate::engine::limits::{LENGTH, SLOTS, STRIDE, too_large};
use crate::engine::stack::{Kind, Outcome, Raise, Stack};
use crate::engine::state::VmState;

/// Up to this length the VM's functions take no time.
const SHORT: usize = 16 << 20;

/// How long the arguments of `format` may be together. The VM copies its buffer again and again while it grows.
const FORMAT_LIMIT: usize = 128 << 20;
/// What may stand between a percent sign and its option.
const MODIFIERS: &[u8] = b"-+ #.0123456789";

/// From this length on the server's `format` puts a string as it is, unless a precision is given.
const WHOLE: usize = 100;

pub fn repeat(stack: &Stack) -> Outcome {
    number::fit_int(stack, 2);
    if let (Some(text), Some(count)) = (stack.text(1), stack.integer(2))
        && let Ok(count) = usize::try_from(count)
        && text.len().saturating_mul(count) > LENGTH
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
    if text.len() > LENGTH {
        return Err(too_large());
    }
    if text.len() > VmState::of(stack).memory.room(stack) {
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
    if count > SLOTS {
        return Err(Raise::at(&format!("too many arguments to 'format' ({SLOTS} at most)")));
    }
    let (mut length, mut long, mut has_nul) = (0, false, false);
    for index in 1..=count {
        if stack.kind(index) == Kind::String {
            let argument = stack.bytes(index).unwrap_or_default();
            length += argument.len();
            long |= argument.len() > STRIDE / 16;
            has_nul |= index > 1 && memchr(0, &argument[..argument.len().min(WHOLE)]).is_some();
        }
    }
    if length > FORMAT_LIMIT {
        return Err(too_large());
    }
    if long {
        read_numbers(stack, count);
    }
    if has_nul || stack.bytes(1).is_some_and(may_make_a_character) {
        end_at_nul(stack, count);
    }
    usual(stack)
}

/// Whether the format may have the option `c`.
fn may_make_a_character(format: &[u8]) -> bool {
    memchr_iter(b'c', format).any(|at| at > 0 && (format[at - 1] == b'%' || MODIFIERS.contains(&format[at - 1])))
}

/// Whether the option `c` makes a NUL of the number.
fn is_character_zero(code: f64) -> bool {
    let is_int = code > -2_147_483_649.0 && code < 2_147_483_648.0;
    // What is no int is the lowest one, whose last byte is zero.
    !is_int || code as i32 as u8 == 0
}

/// Turns long strings that the format takes for numbers into those.
fn read_numbers(stack: &Stack, count: i32) {
    let numbers: Vec<i32> = match stack.bytes(1) {
        Some(format) => {
            let numbers = directives(format).filter(|directive| b"cdiouxXeEfgG".contains(&directive.option));
            numbers.map(|directive| directive.argument).take_while(|&index| index <= count).collect()
        }
        None => return,
    };
    for index in numbers {
        number::read(stack, index);
    }
}

/// Ends each option at its first NUL, as the server does, for which the text of an option is a C string. A string is
/// cut there, unless it is long and is copied as it is; the character zero becomes nothing, with the spaces before it.
fn end_at_nul(stack: &Stack, count: i32) {
    let Some(format) = stack.bytes(1) else {
        return;
    };
    let (mut made, mut copied) = (Vec::new(), 0);
    for Directive { option, argument, start, end } in directives(format) {
        if argument > count {
            break;
        }
        let modifiers = &format[start + 1..end - 1];
        if option == b's' {
            let text = stack.bytes(argument).unwrap_or_default();
            if (text.len() < WHOLE || modifiers.contains(&b'.'))
                && let Some(nul) = memchr(0, text)
            {
                stack.push_bytes(&text[..nul]);
                stack.replace(argument);
            }
        } else if option == b'c'
            && let Some(width) = width_before_character(modifiers)
            && stack.number(argument).is_some_and(is_character_zero)
        {
            made.extend_from_slice(&format[copied..start]);
            made.extend_from_slice(b"%s");
            copied = end;
            stack.push_bytes(&b" ".repeat(width.saturating_sub(1)));
            stack.replace(argument);
        }
    }
    if copied > 0 {
        made.extend_from_slice(&format[copied..]);
        stack.push_bytes(&made);
        stack.replace(1);
    }
}

/// How far `%c` with these modifiers fills up before its character; None if the VM refuses them.
fn width_before_character(modifiers: &[u8]) -> Option<usize> {
    const FLAGS: usize = 5;
    let flags = modifiers.iter().take_while(|byte| b"-+ #0".contains(byte)).count();
    let (flags, rest) = modifiers.split_at(flags);
    let (width, precision) = match rest.iter().position(|&byte| byte == b'.') {
        Some(point) => (&rest[..point], &rest[point + 1..]),
        None => (rest, &[][..]),
    };
    let is_number = |digits: &[u8]| digits.len() <= 2 && digits.iter().all(u8::is_ascii_digit);
    if flags.len() > FLAGS || !is_number(width) || !is_number(precision) {
        return None;
    }
    // With a minus the spaces come after the character.
    let before = if flags.contains(&b'-') { &[][..] } else { width };
    Some(before.iter().fold(0, |width, digit| width * 10 + usize::from(digit - b'0')))
}

/// What begins with a percent sign in a format and takes an argument.
#[derive(Debug, PartialEq)]
struct Directive {
    option: u8,
    argument: i32,
    /// Where it begins in the format, and where it ends.
    start: usize,
    end: usize,
}

/// The directives of a format.
fn directives(format: &[u8]) -> impl Iterator<Item = Directive> {
    let (mut at, mut argument) = (0, 1);
    std::iter::from_fn(move || {
        loop {
            let start = at + memchr(b'%', format.get(at..)?)?;
            let modifiers = format[start + 1..].iter().position(|byte| !MODIFIERS.contains(byte))?;
            let option = format[start + 1 + modifiers];
            at = start + modifiers + 2;
            if option != b'%' {
                argument += 1;
                return Some(Directive { option, argument, start, end: at });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directives_of_a_format_are_found() {
        let found = |format: &str| {
            directives(format.as_bytes())
                .map(|it| (it.option as char, it.argument, format[it.start..it.end].to_owned()))
                .collect::<Vec<_>>()
        };
        let directive = |option, argument, text: &str| (option, argument, text.to_owned());
        assert_eq!(found("no option"), []);
        assert_eq!(
            found("%s %d %% %5.2f%*x%q%-+ #05x"),
            [
                directive('s', 2, "%s"),
                directive('d', 3, "%d"),
                directive('f', 4, "%5.2f"),
                directive('*', 5, "%*"),
                directive('q', 6, "%q"),
                directive('x', 7, "%-+ #05x")
            ]
        );
        assert_eq!(found("%d%"), [directive('d', 2, "%d")]);
        assert_eq!(found("%5"), []);
    }
}
