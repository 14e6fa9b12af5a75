//! Replies of commands as values of the VM.

use std::ffi::CStr;

use super::sink::Sink;
use super::stack::{Kind, Stack};

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
