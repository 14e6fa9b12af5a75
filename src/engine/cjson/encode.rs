//! Values to JSON.

use smallvec::SmallVec;

use super::scan::skip;
use super::settings::{Invalid, Settings};
use super::shared::MARK;
use crate::engine::argument::bad;
use crate::engine::limits::{LENGTH, SLOTS, STRIDE, too_large};
use crate::engine::number;
use crate::engine::pace::Pace;
use crate::engine::stack::{Kind, Outcome, Raise, Stack};
use crate::engine::state::VmState;

/// The slots that a table takes while it is written; the server's library asks its VM for as many.
const TABLE_SLOTS: i32 = 3;

/// `cjson.encode(value)`.
pub fn encode(stack: &Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(bad(stack, "encode", 1, "expected 1 argument"));
    }
    let state = VmState::of(stack);
    let mut encoder = Encoder {
        stack,
        settings: Settings::of(stack),
        marks: state.dialect.marks_json_arrays(),
        open: SmallVec::new(),
        out: state.json.buffer.take(),
        pace: Pace::default(),
        room: state.memory.room(stack),
    };
    let result = encoder.run();
    let out = encoder.out;
    if result.is_ok() {
        stack.push_bytes(&out);
    }
    state.json.buffer.give_back(out);
    result.map(|()| 1)
}

/// A table that is being written.
struct Open {
    /// Its slot. Above it are the element, or the key and value, that are being written.
    table: i32,
    /// Where in the table the writing is.
    position: i32,
    /// The length of an array; 0 for an object.
    length: i32,
    /// Whether the pair of an object that comes before `position` is still to be written: it is on the stack.
    pending: bool,
}

struct Encoder<'a> {
    stack: &'a Stack,
    settings: Settings,
    /// Whether a table can be marked as an array.
    marks: bool,
    /// The tables around the current value, outermost first: a list of our own, so that no nesting ends the native
    /// stack.
    open: SmallVec<[Open; 16]>,
    out: Vec<u8>,
    pace: Pace,
    /// How long a string the VM still takes.
    room: usize,
}

impl Encoder<'_> {
    /// Writes the value in slot 1.
    fn run(&mut self) -> Result<(), Raise> {
        self.value(1, self.stack.kind(1))?;
        while let Some(open) = self.open.last() {
            let &Open { table, position, length, pending } = open;
            if !pending {
                // What was written last goes.
                self.stack.set_top(table);
            }
            let done = if length > 0 {
                self.elements(table, position, length)?
            } else {
                self.fields(table, position, pending)?
            };
            if done {
                self.out.push(if length > 0 { b']' } else { b'}' });
                self.open.pop();
            }
        }
        Ok(())
    }

    /// Writes elements of an array up to one that is a table, which is opened; true at the end.
    fn elements(&mut self, table: i32, mut position: i32, length: i32) -> Result<bool, Raise> {
        while position < length {
            if position > 0 {
                self.out.push(b',');
            }
            position += 1;
            let kind = self.stack.raw_get_at(table, position);
            if kind == Kind::Table {
                self.leave_at(position);
                self.value(table + 1, kind)?;
                return Ok(false);
            }
            self.value(table + 1, kind)?;
            self.stack.pop(1);
        }
        Ok(true)
    }

    /// Writes fields of an object up to one that is a table, which is opened; true at the end.
    fn fields(&mut self, table: i32, mut position: i32, mut pending: bool) -> Result<bool, Raise> {
        let mut first = position == 0 || pending;
        loop {
            if !pending {
                let Some(next) = self.stack.raw_iterate(table, position) else {
                    return Ok(true);
                };
                position = next;
            }
            if !first {
                self.out.push(b',');
            }
            (first, pending) = (false, false);
            self.key(table + 1)?;
            let kind = self.stack.kind(table + 2);
            if kind == Kind::Table {
                self.leave_at(position);
                self.value(table + 2, kind)?;
                return Ok(false);
            }
            self.value(table + 2, kind)?;
            self.stack.pop(2);
        }
    }

    fn leave_at(&mut self, position: i32) {
        if let Some(open) = self.open.last_mut() {
            open.position = position;
            open.pending = false;
        }
    }

    fn key(&mut self, index: i32) -> Result<(), Raise> {
        match self.stack.kind(index) {
            Kind::String => self.string(index)?,
            Kind::Number => {
                self.out.push(b'"');
                self.number(index)?;
                self.out.push(b'"');
            }
            _ => return Err(self.refused(index, "table key must be a number or string")),
        }
        self.out.push(b':');
        Ok(())
    }

    /// Writes a value, or opens it if it is a table.
    fn value(&mut self, index: i32, kind: Kind) -> Result<(), Raise> {
        self.pace.step(self.stack);
        self.check_length()?;
        match kind {
            Kind::String => return self.string(index),
            Kind::Number => return self.number(index),
            Kind::Table => return self.table(index),
            Kind::Boolean if self.stack.boolean(index) => self.out.extend_from_slice(b"true"),
            Kind::Boolean => self.out.extend_from_slice(b"false"),
            Kind::Nil => self.out.extend_from_slice(b"null"),
            Kind::Other if self.stack.is_null(index) => self.out.extend_from_slice(b"null"),
            Kind::None | Kind::Function | Kind::Other => return Err(self.refused(index, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, index: i32) -> Result<(), Raise> {
        let depth = i32::try_from(self.open.len()).unwrap_or(i32::MAX - 1) + 1;
        let nested = depth <= self.settings.encode_depth() && index + TABLE_SLOTS <= SLOTS;
        if !nested || !self.stack.reserve(TABLE_SLOTS) {
            return Err(Raise::at(&format!("Cannot serialise, excessive nesting ({depth})")));
        }
        if self.marks && self.is_marked(index) {
            let length = self.stack.length(index);
            if length == 0 {
                self.out.extend_from_slice(b"[]");
            } else {
                self.out.push(b'[');
                self.open.push(Open { table: index, position: 0, length, pending: false });
            }
            return Ok(());
        }
        let Some(position) = self.stack.raw_iterate(index, 0) else {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        };
        if self.stack.kind(index + 1) != Kind::Number {
            self.out.push(b'{');
            self.open.push(Open { table: index, position, length: 0, pending: true });
            return Ok(());
        }
        let length = self.array_length(index, position)?;
        self.out.push(if length > 0 { b'[' } else { b'{' });
        self.open.push(Open { table: index, position: 0, length, pending: false });
        Ok(())
    }

    /// Whether the metatable of a table says that it is an array. May raise what a metatable of that raises.
    fn is_marked(&self, table: i32) -> bool {
        if !self.stack.push_metatable(table) {
            return false;
        }
        self.stack.get_field(-1, MARK);
        let marked = self.stack.boolean(-1);
        self.stack.pop(2);
        marked
    }

    /// The length of the array that a table is; 0 when it is an object. The pair before `position` is on the stack.
    fn array_length(&mut self, table: i32, mut position: i32) -> Result<i32, Raise> {
        let (mut length, mut elements) = (0, 0_i32);
        loop {
            let key = match self.stack.kind(table + 1) {
                Kind::Number => self.stack.number(table + 1).unwrap_or_default(),
                _ => 0.0,
            };
            self.stack.pop(2);
            self.pace.step(self.stack);
            // What is beyond the integers of the server's library does not make an array. (There, such a key can hide
            // the other elements, depending on their order.)
            let whole = key as i32;
            if whole < 1 || f64::from(whole) != key {
                return Ok(0);
            }
            length = length.max(whole);
            elements = elements.wrapping_add(1);
            match self.stack.raw_iterate(table, position) {
                Some(next) => position = next,
                None => break,
            }
        }
        let ratio = self.settings.sparse_ratio();
        let sparse = ratio > 0 && length > elements.wrapping_mul(ratio) && length > self.settings.sparse_safe();
        if sparse && !self.settings.sparse_convert() {
            return Err(self.refused(table, "excessively sparse array"));
        }
        Ok(if sparse { 0 } else { length })
    }

    fn number(&mut self, index: i32) -> Result<(), Raise> {
        let value = self.stack.number(index).unwrap_or_default();
        if !value.is_finite() {
            match self.settings.encode_invalid() {
                Invalid::Refuse => return Err(self.refused(index, "must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Write if value.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                Invalid::Write => {}
            }
        }
        self.out.extend_from_slice(&number::general(value, self.settings.precision()));
        Ok(())
    }

    fn string(&mut self, index: i32) -> Result<(), Raise> {
        let stack = self.stack;
        let bytes = stack.text(index).unwrap_or_default();
        if bytes.len() > self.room {
            return Err(Raise::Memory);
        }
        self.out.push(b'"');
        for part in bytes.chunks(STRIDE) {
            write_escaped(&mut self.out, part);
            if bytes.len() > STRIDE {
                // A byte may take six.
                self.check_length()?;
                stack.safepoint();
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    fn check_length(&self) -> Result<(), Raise> {
        let length = self.out.len();
        if length > self.room {
            return Err(Raise::Memory);
        }
        if length > LENGTH { Err(too_large()) } else { Ok(()) }
    }

    fn refused(&self, index: i32, reason: &str) -> Raise {
        Raise::at(&format!("Cannot serialise {}: {reason}", self.stack.type_name(index)))
    }
}

/// What stands behind the backslash for each byte: 0 for the bytes that need none, `u` for a number.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x7f] = b'u';
    escapes[0x08] = b'b';
    escapes[b'\t' as usize] = b't';
    escapes[b'\n' as usize] = b'n';
    escapes[0x0c] = b'f';
    escapes[b'\r' as usize] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'/' as usize] = b'/';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// How many of the first bytes need no escape.
fn plain(bytes: &[u8]) -> usize {
    let special = |byte| (byte < 0x20) | (byte == b'"') | (byte == b'/') | (byte == b'\\') | (byte == 0x7f);
    skip(bytes, special, |byte| ESCAPES[usize::from(byte)] != 0)
}

/// Writes what stands between the quotes.
fn write_escaped(out: &mut Vec<u8>, mut bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    loop {
        let length = plain(bytes);
        out.extend_from_slice(&bytes[..length]);
        let Some(&byte) = bytes.get(length) else {
            break;
        };
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            escape => out.extend_from_slice(&[b'\\', escape]),
        }
        bytes = &bytes[length + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_escaped(&mut out, bytes);
        out
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(written(b""), b"");
        assert_eq!(written(b"a\n\t\"\\/\x01\x7f\xc8\0"), b"a\\n\\t\\\"\\\\\\/\\u0001\\u007f\xc8\\u0000");
        assert_eq!(written(b"\x08\x0c\r\x1f"), b"\\b\\f\\r\\u001f");
    }

    #[test]
    fn an_escape_is_found_at_every_place() {
        for length in 0..70 {
            for place in 0..length {
                let mut bytes = vec![b'x'; length];
                bytes[place] = b'/';
                assert_eq!(plain(&bytes), place);
                assert_eq!(written(&bytes).len(), length + 1);
            }
            assert_eq!(plain(&vec![0x80; length]), length);
        }
    }
}
