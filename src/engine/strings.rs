//! The tables KEYS and ARGV.

use super::stack::{STRING_LIMIT, Stack};

/// More keys or arguments than this go into a table in protected mode: the VM has a limit of elements.
const MANY: usize = 1 << 20;

/// Whether both go into tables that the VM does not refuse for their size.
pub fn are_few(keys: &impl ExactSizeIterator, arguments: &impl ExactSizeIterator) -> bool {
    keys.len().max(arguments.len()) < MANY
}

/// Pushes a table of strings; false when one is longer than strings of the VM may be.
pub fn push_strings<'a>(stack: &Stack, strings: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
    stack.push_table(strings.len(), 0);
    for (position, string) in (1..).zip(strings) {
        if string.len() > STRING_LIMIT {
            return false;
        }
        stack.push_bytes(string);
        stack.raw_set_at(-2, position);
    }
    true
}
