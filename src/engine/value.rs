//! Values of the VM as replies, and replies as values of the VM.

use std::ffi::CStr;

use super::context::Context;
use super::number;
use super::pace::Pace;
use super::reply::Sink;
use super::stack::{Kind, Raise, Stack};
use crate::c_string::to_nul;

/// How deep a returned value may nest. The stock server spends one slot of a stack of 8,000 an array and three a map;
/// what does not fit becomes an error in its place.
const DEPTH_LIMIT: u32 = 7_994;
const ARRAY_COST: u32 = 1;
const MAP_COST: u32 = 3;

/// What stands in the place of a value that nests too deep.
const TOO_DEEP: &[u8] = b"ERR reached lua stack limit";

/// How many values, and how many bytes of text, a returned value may consist of. Tables that share others can make any
/// number of few, and once the reply is being written nothing can stop it.
const ELEMENTS_LIMIT: u32 = 1 << 24;
const TEXT_LIMIT: usize = 1 << 30;

/// How many elements a table may have that is found small.
const SMALL: usize = 256;

/// What a first look at a table finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The elements 1 to this one and nothing else, no table among them, and a reply has room for all.
    Sequence(i32),
    /// Something else that a reply has room for.
    Small,
    /// It has many elements, a table among them, or much text.
    Unknown,
}

/// Looks at the table at `index` without raising anything.
pub fn look(stack: &Stack, index: i32) -> Look {
    let (mut position, mut text, mut sequence) = (0, 0, true);
    for place in 1..=SMALL as i32 {
        let Some(next) = stack.raw_iterate(index, position) else {
            return match sequence {
                _ if text > TEXT_LIMIT => Look::Unknown,
                true => Look::Sequence(place - 1),
                false => Look::Small,
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
    Look::Unknown
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

/// Writes the value at `index` to `sink` as the server replies with it, without metamethods. `look`: what a look at it has
/// found, if it is a table.
pub fn write(stack: &Stack, index: i32, look: Look, context: &Context, sink: &mut impl Sink) {
    let writer = Writer { stack, context, typed_booleans: context.resp3() };
    match look {
        // It has no special field.
        Look::Sequence(length) => writer.elements(index, length, 0, sink),
        Look::Small | Look::Unknown => writer.value(stack.kind(index), index, 0, sink),
    }
}

struct Writer<'a> {
    stack: &'a Stack,
    context: &'a Context,
    /// The function chose RESP3, so that booleans are booleans.
    typed_booleans: bool,
}

impl Writer<'_> {
    /// The value at `index`, which is of type `kind`.
    #[inline]
    fn value(&self, kind: Kind, index: i32, depth: u32, sink: &mut impl Sink) {
        if depth > DEPTH_LIMIT {
            return sink.error(TOO_DEEP);
        }
        match kind {
            Kind::String => sink.bulk(self.stack.bytes(index).unwrap_or_default()),
            Kind::Number => sink.integer(number::truncated(self.stack.number(index).unwrap_or(f64::NAN))),
            Kind::Boolean => match (self.stack.boolean(index), self.typed_booleans) {
                (value, true) => sink.boolean(value),
                (true, false) => sink.integer(1),
                (false, false) => sink.null(true),
            },
            Kind::Table => self.table(index, depth, sink),
            Kind::None | Kind::Nil | Kind::Function | Kind::Other => sink.null(true),
        }
    }

    /// A table: the first special field of the right type decides, in the server's order; else it is an array.
    fn table(&self, index: i32, depth: u32, sink: &mut impl Sink) {
        let stack = self.stack;
        if !stack.reserve(4) {
            return sink.error(TOO_DEEP);
        }
        if self.field(index, c"err", Kind::String, |field| sink.error(to_nul(stack.bytes(field).unwrap_or_default())))
            || self
                .field(index, c"ok", Kind::String, |field| sink.status(to_nul(stack.bytes(field).unwrap_or_default())))
            || self.field(index, c"double", Kind::Number, |field| sink.double(stack.number(field).unwrap_or(f64::NAN)))
            || self.field(index, c"big_number", Kind::String, |field| {
                let digits = stack.bytes(field).unwrap_or_default();
                sink.big_number(if self.context.dialect.runs_functions_by_module() { to_nul(digits) } else { digits });
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
                    sink.verbatim(three, stack.bytes(string).unwrap_or_default());
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
        if values {
            sink.map(count)
        } else {
            sink.set(count)
        }
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
        sink.array(usize::try_from(length).unwrap_or(0));
        let element = stack.top() + 1;
        for position in 1..=length {
            let kind = stack.raw_get_at(index, position);
            self.value(kind, element, depth + ARRAY_COST, sink);
            stack.pop(1);
        }
    }
}

/// Pushes a reply onto the stack as the value that `redis.call` gives for it. What it pushes may raise.
pub struct Pusher<'a> {
    stack: &'a Stack,
    /// The tables that wait for more values, outermost first.
    open: Vec<Open>,
    failed: bool,
}

/// A table under construction.
struct Open {
    shape: Shape,
    /// Values still to come.
    remaining: usize,
    /// Values that came.
    taken: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    /// Pairs of the inner table of `{map=...}`.
    Map,
    /// Members of the inner table of `{set=...}`.
    Set,
}

impl<'a> Pusher<'a> {
    pub const fn new(stack: &'a Stack) -> Self {
        Self { stack, open: Vec::new(), failed: false }
    }

    /// Whether the reply as a whole was an error; its table is on top then.
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// Puts the value on top into the innermost open table, and closes tables that are full.
    fn attach(&mut self) {
        while let Some(open) = self.open.last_mut() {
            open.taken += 1;
            open.remaining -= 1;
            match open.shape {
                Shape::Array => self.stack.raw_set_at(-2, open.taken),
                // A pair is stored when its value has come; the key stays on the stack until then.
                Shape::Map if open.taken % 2 == 0 => store_pair(self.stack),
                Shape::Map => {}
                Shape::Set => {
                    self.stack.push_boolean(true);
                    store_pair(self.stack);
                }
            }
            if open.remaining > 0 {
                return;
            }
            self.close();
        }
    }

    /// Ends the innermost table: its wrapper (for maps and sets) or itself is the value on top then.
    fn close(&mut self) {
        match self.open.pop().map(|open| open.shape) {
            Some(Shape::Map) => self.stack.raw_set_field(-2, c"map"),
            Some(Shape::Set) => self.stack.raw_set_field(-2, c"set"),
            Some(Shape::Array) | None => {}
        }
    }

    fn begin(&mut self, shape: Shape, values: usize, array: usize, fields: usize) {
        // A deep reply takes three slots a level; beyond the VM's limit it raises for want of memory.
        self.stack.reserve(4);
        if shape != Shape::Array {
            self.stack.push_table(0, 1);
        }
        self.stack.push_table(array, fields);
        self.open.push(Open { shape, remaining: values, taken: 0 });
        if values == 0 {
            self.close();
            self.attach();
        }
    }

    fn wrapped(&mut self, field: &CStr, push: impl FnOnce(&Stack)) {
        self.stack.push_table(0, 1);
        push(self.stack);
        self.stack.raw_set_field(-2, field);
        self.attach();
    }
}

/// Stores the key and value on top in the table below them, unless the key is a null, which a table cannot hold.
fn store_pair(stack: &Stack) {
    if stack.kind(-2) == Kind::Nil {
        stack.pop(2);
    } else {
        stack.raw_set(-3);
    }
}

impl Sink for Pusher<'_> {
    fn null(&mut self, typed: bool) {
        if typed {
            self.stack.push_nil()
        } else {
            self.stack.push_boolean(false)
        }
        self.attach();
    }

    fn boolean(&mut self, value: bool) {
        self.stack.push_boolean(value);
        self.attach();
    }

    fn integer(&mut self, value: i64) {
        self.stack.push_number(value as f64);
        self.attach();
    }

    fn double(&mut self, value: f64) {
        self.wrapped(c"double", |stack| stack.push_number(value));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.stack.push_bytes(bytes);
        self.attach();
    }

    fn status(&mut self, text: &[u8]) {
        self.wrapped(c"ok", |stack| stack.push_bytes(text));
    }

    fn error(&mut self, text: &[u8]) {
        self.failed = self.open.is_empty();
        self.stack.push_table(0, 2);
        self.stack.push_bytes(text);
        self.stack.raw_set_field(-2, c"err");
        self.stack.push_boolean(true);
        self.stack.raw_set_field(-2, c"ignore_error_stats_update");
        self.attach();
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.wrapped(c"big_number", |stack| stack.push_bytes(digits));
    }

    fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        self.wrapped(c"verbatim_string", |stack| {
            stack.push_table(0, 2);
            stack.push_bytes(text);
            stack.raw_set_field(-2, c"string");
            stack.push_bytes(&format);
            stack.raw_set_field(-2, c"format");
        });
    }

    fn array(&mut self, length: usize) {
        self.begin(Shape::Array, length, length, 0);
    }

    fn map(&mut self, pairs: usize) {
        self.begin(Shape::Map, pairs * 2, 0, pairs);
    }

    fn set(&mut self, length: usize) {
        self.begin(Shape::Set, length, 0, length);
    }
}
