//! What a function returns, as a reply.

use std::ffi::CStr;

use super::limits::SLOTS;
use super::number;
use super::pace::Pace;
use super::sink::{Item, Sink};
use super::stack::{Kind, Raise, Stack};
use super::state::VmState;
use crate::c_string::to_nul;

/// How deep a returned value may nest. The stock server spends one slot of its stack an array and three a map; what
/// does not fit becomes an error in its place.
const DEPTH_LIMIT: u32 = SLOTS as u32 - 6;
const ARRAY_COST: u32 = 1;
const MAP_COST: u32 = 3;

/// What stands in the place of a value that nests too deep.
const TOO_DEEP: &[u8] = b"ERR reached lua stack limit";

/// How many values, and how many bytes of text, a reply may have. A few tables that share others can make any number of
/// values, and nothing can stop a reply once it is being written.
const ELEMENTS_LIMIT: u32 = 1 << 24;
const TEXT_LIMIT: usize = 1 << 30;

/// Tables of more elements than this count as unknown.
const SMALL: usize = 256;

/// What is known of a result before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A table of the elements 1 to this one and nothing else, no table among them, and a reply has room for all.
    Sequence(i32),
    /// Something else that a reply has room for.
    Small,
    /// A table that has many elements, a table among them, or much text.
    Unknown,
}

impl Shape {
    /// The shape of the table at `index`. Raises nothing.
    pub fn of(stack: &Stack, index: i32) -> Self {
        let (mut position, mut text, mut sequence) = (0, 0, true);
        for place in 1..=SMALL as i32 {
            let Some(next) = stack.raw_iterate(index, position) else {
                return match sequence {
                    _ if text > TEXT_LIMIT => Self::Unknown,
                    true => Self::Sequence(place - 1),
                    false => Self::Small,
                };
            };
            position = next;
            let (key, value) = (stack.kind(-2), stack.kind(-1));
            match key {
                Kind::Number => sequence &= stack.number(-2) == Some(place.into()),
                Kind::String => {
                    sequence = false;
                    text += text_length(stack, -2);
                }
                _ => sequence = false,
            }
            if value == Kind::String {
                text += text_length(stack, -1);
            }
            stack.pop(2);
            if key == Kind::Table || value == Kind::Table {
                break;
            }
        }
        Self::Unknown
    }
}

/// Bytes of the string at `index`.
fn text_length(stack: &Stack, index: i32) -> usize {
    usize::try_from(stack.length(index)).unwrap_or(0)
}

/// Refuses a value that is too large for a reply. It goes through the value as `write` does, and through what `write`
/// leaves out, with safepoints. May raise.
pub fn check_size(stack: &Stack, index: i32) -> Result<(), Raise> {
    if stack.kind(index) != Kind::Table {
        return Ok(());
    }
    Surveyor { stack, pace: Pace::default(), elements: 0, text: 0 }.table(index, 0)
}

struct Surveyor<'a> {
    stack: &'a Stack,
    pace: Pace,
    elements: u32,
    text: usize,
}

impl Surveyor<'_> {
    fn table(&mut self, index: i32, depth: u32) -> Result<(), Raise> {
        let stack = self.stack;
        if depth > DEPTH_LIMIT || !stack.reserve(4) {
            return Ok(());
        }
        let mut position = 0;
        while let Some(next) = stack.raw_iterate(index, position) {
            position = next;
            self.pace.step(stack);
            self.elements += 1;
            self.value(-2, depth)?;
            self.value(-1, depth)?;
            if self.elements > ELEMENTS_LIMIT || self.text > TEXT_LIMIT {
                return Err(Raise::api("the reply is too large"));
            }
            stack.pop(2);
        }
        Ok(())
    }

    /// A key or value, by its index from the top.
    #[inline]
    fn value(&mut self, index: i32, depth: u32) -> Result<(), Raise> {
        let stack = self.stack;
        match stack.kind(index) {
            Kind::String => self.text += text_length(stack, index),
            Kind::Table => self.table(stack.top() + 1 + index, depth + ARRAY_COST)?,
            _ => {}
        }
        Ok(())
    }
}

/// Writes the value at `index`, which is of this shape, to `sink` as the server replies with it, without metamethods.
pub fn write(stack: &Stack, index: i32, shape: Shape, state: &VmState, sink: &mut impl Sink) {
    let writer = Writer { stack, state, typed_booleans: state.resp3() };
    match shape {
        // It has no special field.
        Shape::Sequence(length) => writer.elements(index, length, 0, sink),
        Shape::Small | Shape::Unknown => writer.value(stack.kind(index), index, 0, sink),
    }
}

struct Writer<'a> {
    stack: &'a Stack,
    state: &'a VmState,
    /// The function chose RESP3, so that booleans are booleans.
    typed_booleans: bool,
}

impl Writer<'_> {
    /// The value at `index`, which is of type `kind`.
    #[inline]
    fn value(&self, kind: Kind, index: i32, depth: u32, sink: &mut impl Sink) {
        if depth > DEPTH_LIMIT {
            return sink.put(Item::Error(TOO_DEEP));
        }
        match kind {
            Kind::String => sink.put(Item::Bulk(self.stack.bytes(index).unwrap_or_default())),
            Kind::Number => sink.put(Item::Integer(number::truncated(self.stack.number(index).unwrap_or(f64::NAN)))),
            Kind::Boolean => match (self.stack.boolean(index), self.typed_booleans) {
                (value, true) => sink.put(Item::Boolean(value)),
                (true, false) => sink.put(Item::Integer(1)),
                (false, false) => sink.put(Item::Null),
            },
            Kind::Table => self.table(index, depth, sink),
            Kind::None | Kind::Nil | Kind::Function | Kind::Other => sink.put(Item::Null),
        }
    }

    /// A table: the first special field of the right type decides, in the server's order; else it is an array.
    fn table(&self, index: i32, depth: u32, sink: &mut impl Sink) {
        let stack = self.stack;
        if !stack.reserve(4) {
            return sink.put(Item::Error(TOO_DEEP));
        }
        let text = |field| to_nul(stack.bytes(field).unwrap_or_default());
        if self.field(index, c"err", Kind::String, |field| sink.put(Item::Error(text(field))))
            || self.field(index, c"ok", Kind::String, |field| sink.put(Item::Status(text(field))))
            || self.field(index, c"double", Kind::Number, |field| {
                sink.put(Item::Double(stack.number(field).unwrap_or(f64::NAN)));
            })
            || self.field(index, c"big_number", Kind::String, |field| {
                let digits = stack.bytes(field).unwrap_or_default();
                let is_cut = self.state.dialect.runs_functions_by_module();
                sink.put(Item::BigNumber(if is_cut { to_nul(digits) } else { digits }));
            })
            || self.verbatim(index, sink)
            || self.field(index, c"map", Kind::Table, |field| self.pairs(field, depth, true, sink))
            || self.field(index, c"set", Kind::Table, |field| self.pairs(field, depth, false, sink))
        {
            return;
        }
        self.array(index, depth, sink);
    }

    /// Runs `body` on the field `name` if it is of type `kind`.
    fn field(&self, index: i32, name: &CStr, kind: Kind, body: impl FnOnce(i32)) -> bool {
        let found = self.stack.raw_get_field(index, name) == kind;
        if found {
            body(self.stack.top());
        }
        self.stack.pop(1);
        found
    }

    fn verbatim(&self, index: i32, sink: &mut impl Sink) -> bool {
        let stack = self.stack;
        let mut written = false;
        self.field(index, c"verbatim_string", Kind::Table, |table| {
            self.field(table, c"string", Kind::String, |string| {
                self.field(table, c"format", Kind::String, |format| {
                    let mut three = *b"   ";
                    let format = to_nul(stack.bytes(format).unwrap_or_default());
                    for (to, from) in three.iter_mut().zip(format) {
                        *to = *from;
                    }
                    sink.put(Item::Verbatim { format: three, text: stack.bytes(string).unwrap_or_default() });
                    written = true;
                });
            });
        });
        written
    }

    /// A map of the table's pairs, or a set of its keys.
    fn pairs(&self, index: i32, depth: u32, values: bool, sink: &mut impl Sink) {
        let stack = self.stack;
        let each = |body: &mut dyn FnMut(i32)| {
            let mut position = 0;
            while let Some(next) = stack.raw_iterate(index, position) {
                position = next;
                body(stack.top());
                stack.pop(2);
            }
        };
        let mut count = 0;
        each(&mut |_| count += 1);
        sink.put(if values { Item::Map(count) } else { Item::Set(count) });
        each(&mut |top| {
            self.value(stack.kind(top - 1), top - 1, depth + MAP_COST, sink);
            if values {
                self.value(stack.kind(top), top, depth + MAP_COST, sink);
            }
        });
    }

    fn array(&self, index: i32, depth: u32, sink: &mut impl Sink) {
        let stack = self.stack;
        let mut length = 0;
        while stack.raw_get_at(index, length + 1) != Kind::Nil {
            stack.pop(1);
            length += 1;
        }
        stack.pop(1);
        self.elements(index, length, depth, sink);
    }

    /// The elements 1 to `length`, which are not nil.
    fn elements(&self, index: i32, length: i32, depth: u32, sink: &mut impl Sink) {
        let stack = self.stack;
        sink.put(Item::Array(usize::try_from(length).unwrap_or(0)));
        let element = stack.top() + 1;
        for position in 1..=length {
            let kind = stack.raw_get_at(index, position);
            self.value(kind, element, depth + ARRAY_COST, sink);
            stack.pop(1);
        }
    }
}
