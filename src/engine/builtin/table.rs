//! Functions that go through a table: `concat`, `sort`, `foreach`, `foreachi`.

use super::number;
use super::usual::usual;
use crate::engine::limits::{LENGTH, STRIDE, too_large};
use crate::engine::pace::Pace;
use crate::engine::stack::{Kind, Outcome, Raise, Stack, natives};
use crate::engine::state::VmState;

natives! {
    /// `<`, with a safepoint.
    Less = c"less", less;
    /// The function that it captures, with a safepoint.
    Relay = c"relay", relay;
}

/// How many values are on the stack at a time while they are joined.
const BATCH: i64 = 16;
/// Room for most results.
const CAPACITY: usize = 2048;
/// What joining a value is worth beside its bytes.
const SHORT: usize = 64;

/// The VM sorts up to this many numbers, and this many other values, by itself.
const NUMBERS: i32 = 1_000_000;
const OTHERS: i32 = 250_000;

/// `concat`. The VM's own copies its buffer again and again while it grows.
pub fn concat(stack: &Stack) -> Outcome {
    if stack.top() > 2 {
        number::fit_int(stack, 3);
        number::fit_int(stack, 4);
    }
    let separator = match stack.kind(2) {
        Kind::None | Kind::Nil => Some(&b""[..]),
        Kind::String => stack.bytes(2),
        _ => None,
    };
    let (Some(separator), Kind::Table) = (separator, stack.kind(1)) else {
        return usual(stack);
    };
    let position = |index: i32, default: &dyn Fn() -> i32| match stack.kind(index) {
        Kind::None | Kind::Nil => Some(default()),
        Kind::Number => stack.integer(index),
        _ => None,
    };
    let (Some(first), Some(last)) = (position(3, &|| 1), position(4, &|| stack.length(1))) else {
        return usual(stack);
    };
    let count = i64::from(last) - i64::from(first) + 1;
    if (2..=BATCH).contains(&count) {
        return concat_few(stack, first, last, separator);
    }
    let base = stack.top();
    let room = VmState::of(stack).memory.room(stack);
    let mut joined = Vec::with_capacity(if count > 0 { CAPACITY } else { 0 });
    let (mut pace, mut next) = (0, i64::from(first));
    let last = i64::from(last);
    while next <= last {
        let (end, before) = (last.min(next + BATCH - 1), joined.len());
        for index in next..=end {
            push_element(stack, index as i32)?;
        }
        for (slot, index) in (base + 1..).zip(next..=end) {
            joined.extend_from_slice(stack.text(slot).unwrap_or_default());
            if index < last {
                joined.extend_from_slice(separator);
            }
            if joined.len() > room {
                return Err(Raise::Memory);
            }
            if joined.len() > LENGTH {
                return Err(too_large());
            }
        }
        stack.set_top(base);
        next = end + 1;
        pace += BATCH as usize * SHORT + joined.len() - before;
        if pace > STRIDE {
            pace = 0;
            stack.safepoint();
        }
    }
    stack.push_bytes(&joined);
    Ok(1)
}

/// Joins two to `BATCH` values on the stack.
fn concat_few(stack: &Stack, first: i32, last: i32, separator: &[u8]) -> Outcome {
    let mut values = 0;
    stack.reserve(2 * BATCH as i32);
    for index in first..=last {
        push_element(stack, index)?;
        values += 1;
        if index < last && !separator.is_empty() {
            stack.push_value(2);
            values += 1;
        }
    }
    stack.join(values);
    Ok(1)
}

/// Pushes an element of the table that is joined.
fn push_element(stack: &Stack, index: i32) -> Result<(), Raise> {
    let kind = stack.raw_get_at(1, index);
    if kind == Kind::String || kind == Kind::Number { Ok(()) } else { Err(invalid(stack, index)) }
}

#[cold]
fn invalid(stack: &Stack, index: i32) -> Raise {
    let name = stack.type_name(-1);
    Raise::at(&format!("invalid value ({name}) at index {index} in table for 'concat'"))
}

/// `insert`. The server moves elements up down to any position, one below the first as well.
pub fn insert(stack: &Stack) -> Outcome {
    if stack.top() != 3 {
        return usual(stack);
    }
    number::fit_int(stack, 2);
    let (Kind::Table, Some(position @ ..1)) = (stack.kind(1), stack.integer(2)) else {
        return usual(stack);
    };
    let mut pace = Pace::default();
    for index in (position..=stack.length(1)).rev() {
        pace.step(stack);
        let kind = stack.raw_get_at(1, index);
        // Assigning nil where nothing is would make room for it.
        if kind == Kind::Nil && stack.raw_get_at(1, index + 1) == Kind::Nil {
            stack.pop(2);
            continue;
        }
        if kind == Kind::Nil {
            stack.pop(1);
        }
        stack.raw_set_at(1, index + 1);
    }
    stack.raw_set_at(1, position);
    Ok(0)
}

pub fn remove(stack: &Stack) -> Outcome {
    if stack.top() > 1 {
        number::fit_int(stack, 2);
    }
    usual(stack)
}

pub fn unpack(stack: &Stack) -> Outcome {
    if stack.top() > 1 {
        number::fit_int(stack, 2);
        number::fit_int(stack, 3);
    }
    usual(stack)
}

/// Sorting passes a safepoint when it calls a function written in Lua, and only then.
pub fn sort(stack: &Stack) -> Outcome {
    if stack.kind(1) != Kind::Table {
        return usual(stack);
    }
    match stack.kind(2) {
        Kind::None | Kind::Nil => {
            let kind = stack.raw_get_at(1, 1);
            stack.pop(1);
            let most = if kind == Kind::Number { NUMBERS } else { OTHERS };
            if stack.length(1) > most {
                stack.set_top(1);
                stack.push_native::<Less, _>(VmState::of(stack));
            }
        }
        Kind::Function => relay_native(stack),
        _ => {}
    }
    usual(stack)
}

/// `foreach` and `foreachi`.
pub fn for_each(stack: &Stack) -> Outcome {
    if stack.kind(2) == Kind::Function {
        relay_native(stack);
    }
    usual(stack)
}

/// Puts a safepoint before each call of the function in slot 2, if it is not written in Lua.
fn relay_native(stack: &Stack) {
    if stack.is_native(2) {
        stack.push_value(2);
        stack.push_capturing::<Relay, _>(VmState::of(stack));
        stack.replace(2);
    }
}

fn less(stack: &Stack) -> Outcome {
    stack.safepoint();
    stack.push_boolean(stack.less(1, 2));
    Ok(1)
}

fn relay(stack: &Stack) -> Outcome {
    stack.safepoint();
    stack.push_value(Stack::CAPTURED);
    stack.insert(1);
    stack.call(stack.top() - 1, Stack::ALL);
    Ok(stack.top())
}
