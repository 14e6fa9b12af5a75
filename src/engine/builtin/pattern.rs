//! Searching: `string.find`, `match`, `gmatch` and `gsub`.
//!
//! The VM passes a safepoint for each step of a match that may branch. Between two of them its work can be that of the
//! string's length times that of one set of the pattern, or times the number of captures. That product is bounded here.
//! A search for a plain string passes none and may look at every byte of the one string for every byte of the other;
//! for long ones a search in linear time takes its place.

use memchr::memchr;
use memchr::memmem::Finder;

use super::number;
use super::replacement::{plain_classes, plain_escapes};
use super::usual::usual;
use crate::engine::limits::STRIDE;
use crate::engine::stack::{Kind, Outcome, Raise, Stack};

/// Up to this product of the lengths of string and pattern, nothing can take long.
const SHORT: usize = 1 << 24;

/// How much work there may be between two safepoints, in bytes compared: some tenths of a second.
const WORK_LIMIT: usize = 1 << 28;

/// The longest plain string that is searched for: preparing the search passes no safepoint.
const PLAIN_LIMIT: usize = 64 << 20;

/// Copying a byte of a capture is cheaper than matching one, by this factor.
const CAPTURES_A_BYTE: usize = 4;

/// The longest replacement, and what one match may add to the result of `gsub`.
const REPLACEMENT_LIMIT: usize = 128 << 20;
/// The longest replacement that is a string.
const REPLACEMENT_TEXT_LIMIT: usize = 32 << 20;

/// A longer pattern is not put as the server understands it: that passes no safepoint.
const REWRITTEN_LIMIT: usize = 16 << 20;

/// What makes a string a pattern.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Whether matching may take long.
fn are_long(text: &[u8], pattern: &[u8]) -> bool {
    text.len().saturating_mul(pattern.len()) > SHORT
}

/// Puts the pattern as the VM has to see it, and the start of the search. Gives the string and the pattern.
fn settle(stack: &Stack, may_be_plain: bool) -> Option<(&[u8], &[u8])> {
    let (text, pattern) = (stack.text(1)?, stack.text(2)?);
    if !matches!(stack.kind(3), Kind::None | Kind::Nil) {
        settle_start(stack, text.len());
    }
    if may_be_plain && stack.boolean(4) {
        return Some((text, pattern));
    }
    if may_be_plain && is_plain(pattern) {
        if memchr(0, pattern).is_some() {
            // The VM looks for special characters beyond the NUL as well.
            stack.set_top(3);
            stack.push_boolean(true);
        }
        return Some((text, pattern));
    }
    let plain = if pattern.len() <= REWRITTEN_LIMIT { plain_classes(pattern) } else { None };
    match plain {
        None => Some((text, pattern)),
        Some(plain) => {
            stack.push_bytes(&plain);
            stack.replace(2);
            Some((text, stack.text(2)?))
        }
    }
}

/// A start beyond the end is the end.
fn settle_start(stack: &Stack, length: usize) {
    let end = length as f64 + 1.0;
    match stack.number(3) {
        Some(start) if (-end..=end).contains(&start) => {}
        Some(_) => {
            number::fit_position(stack, 3);
            if stack.number(3).is_some_and(|start| start > end) {
                stack.push_number(end);
                stack.replace(3);
            }
        }
        None => {}
    }
}

/// Whether the server searches for the pattern as it is: it looks for special characters up to the first NUL.
fn is_plain(pattern: &[u8]) -> bool {
    const IS_SPECIAL: [bool; 256] = {
        let (mut table, mut at) = ([false; 256], 0);
        while at < SPECIALS.len() {
            table[SPECIALS[at] as usize] = true;
            at += 1;
        }
        // A NUL ends the search for others.
        table[0] = true;
        table
    };
    pattern.iter().find(|&&byte| IS_SPECIAL[byte as usize]).is_none_or(|&byte| byte == 0)
}

pub fn find(stack: &Stack) -> Outcome {
    let Some((text, pattern)) = settle(stack, true).filter(|(text, pattern)| are_long(text, pattern)) else {
        return usual(stack);
    };
    if stack.boolean(4) || is_plain(pattern) {
        return find_plain(stack, text, pattern);
    }
    check(text, pattern)?;
    usual(stack)
}

pub fn global_match(stack: &Stack) -> Outcome {
    // It has no start.
    if stack.top() > 2 {
        stack.set_top(2);
    }
    only_match(stack)
}

pub fn only_match(stack: &Stack) -> Outcome {
    if let Some((text, pattern)) = settle(stack, false)
        && are_long(text, pattern)
    {
        check(text, pattern)?;
    }
    usual(stack)
}

pub fn substitute(stack: &Stack) -> Outcome {
    if let (Some(text), Some(pattern)) = (stack.text(1), stack.text(2)) {
        if are_long(text, pattern) {
            check(text, pattern)?;
        }
        check_replacement(stack, text.len())?;
    }
    settle_substitution(stack);
    usual(stack)
}

/// Puts pattern, replacement and count of `gsub` as the VM has to see them.
fn settle_substitution(stack: &Stack) {
    if let Some(plain) = stack.text(2).filter(|pattern| pattern.len() <= REWRITTEN_LIMIT).and_then(plain_classes) {
        stack.push_bytes(&plain);
        stack.replace(2);
    }
    if let Some(plain) = stack.bytes(3).and_then(plain_escapes) {
        stack.push_bytes(&plain);
        stack.replace(3);
    }
    number::fit_int(stack, 4);
}

fn find_plain(stack: &Stack, text: &[u8], pattern: &[u8]) -> Outcome {
    let start = match stack.kind(3) {
        Kind::None | Kind::Nil => 1,
        _ => match stack.integer(3) {
            Some(start) => start,
            None => return usual(stack),
        },
    };
    // A negative position counts from the end; before the beginning is the beginning.
    let start = if start < 0 { i64::from(start) + text.len() as i64 + 1 } else { i64::from(start) };
    let start = usize::try_from(start.max(1) - 1).unwrap_or(usize::MAX);
    if pattern.len() > PLAIN_LIMIT {
        return Err(too_long());
    }
    let found = text.get(start..).and_then(|rest| search(stack, rest, pattern));
    match found {
        Some(at) => {
            let first = start + at;
            stack.push_number((first + 1) as f64);
            stack.push_number((first + pattern.len()) as f64);
            Ok(2)
        }
        None => {
            stack.push_nil();
            Ok(1)
        }
    }
}

/// Where `pattern` is in `text`. May raise.
fn search(stack: &Stack, text: &[u8], pattern: &[u8]) -> Option<usize> {
    let finder = Finder::new(pattern);
    let step = STRIDE.max(pattern.len());
    let mut start = 0;
    while start <= text.len() {
        stack.safepoint();
        // What begins in this step may end in the next.
        let end = text.len().min(start + step + pattern.len());
        if let Some(at) = finder.find(&text[start..end]) {
            return Some(start + at);
        }
        start += step;
    }
    None
}

/// Refuses a pattern that could keep the VM from its next safepoint for long.
fn check(text: &[u8], pattern: &[u8]) -> Result<(), Raise> {
    let (set, captures) = measure(pattern);
    let work = text.len().saturating_mul(set.max(1) + captures / CAPTURES_A_BYTE);
    if work > WORK_LIMIT { Err(too_long()) } else { Ok(()) }
}

#[cold]
fn too_long() -> Raise {
    Raise::at("string and pattern are too long to be matched")
}

/// The length of the longest set of the pattern that may be repeated, and the number of its captures; no less than they
/// are.
fn measure(pattern: &[u8]) -> (usize, usize) {
    let (mut longest, mut captures, mut at) = (0, 0, 0);
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'%' => at += 2,
            b'[' => {
                let end = set_end(pattern, at);
                if matches!(pattern.get(end), Some(b'*' | b'+')) {
                    longest = longest.max(end - at);
                }
                at = end;
            }
            _ => {
                captures += usize::from(byte == b'(');
                at += 1;
            }
        }
    }
    (longest, captures)
}

/// Where the set that begins at `start` ends. A bracket that comes first belongs to the set.
fn set_end(pattern: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    if pattern.get(at) == Some(&b'^') {
        at += 1;
    }
    loop {
        match pattern.get(at) {
            None => return pattern.len(),
            Some(b'%') => at += 2,
            Some(_) => at += 1,
        }
        if pattern.get(at) == Some(&b']') {
            return at + 1;
        }
    }
}

/// Refuses a replacement that one match could make too much of: the VM passes no safepoint meanwhile.
fn check_replacement(stack: &Stack, text: usize) -> Result<(), Raise> {
    if stack.kind(3) != Kind::String {
        return Ok(());
    }
    let replacement = stack.text(3).unwrap_or_default();
    if text.saturating_add(1).saturating_mul(replacement.len()) <= SHORT {
        return Ok(());
    }
    let captures = replacement.windows(2).filter(|pair| pair[0] == b'%' && pair[1].is_ascii_digit()).count();
    let most = captures.saturating_mul(text).saturating_add(replacement.len());
    if replacement.len() > REPLACEMENT_TEXT_LIMIT || (captures > 1 && most > REPLACEMENT_LIMIT) {
        return Err(Raise::at("replacement string is too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_sets_and_captures_are_measured() {
        assert_eq!(measure(b"abc"), (0, 0));
        assert_eq!(measure(b"[abc]"), (0, 0));
        assert_eq!(measure(b"[abc]*"), (5, 0));
        assert_eq!(measure(b"[]abc]+x[a]*"), (6, 0));
        assert_eq!(measure(b"[^]%]]*"), (6, 0));
        assert_eq!(measure(b"%[abc*"), (0, 0));
        assert_eq!(measure(b"(a)((b)%()()"), (0, 4));
        assert_eq!(measure(b"[(]*"), (3, 0));
        assert_eq!(measure(b"%f[abc]"), (0, 0));
        for open in ["[", "[^", "[]", "[^]", "[%", "[a%]"] {
            assert_eq!(measure(open.as_bytes()), (0, 0), "{open}");
        }
        assert_eq!(measure(b"%"), (0, 0));
    }
}
