//! Replies of commands as values of the VM.

use std::ffi::CStr;

use super::sink::{Item, Sink};
use super::stack::{Kind, Stack};

/// Pushes a reply onto the stack as the value that `redis.call` gives for it. What it pushes may raise.
pub struct Pusher<'a> {
    stack: &'a Stack,
    /// The tables that wait for more values, outermost first.
    open: Vec<Open>,
    failed: bool,
}

/// A table that is being filled.
struct Open {
    container: Container,
    /// Values still to come.
    remaining: usize,
    /// Values that came.
    taken: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    /// Pairs of the inner table of `{map=...}`.
    Map,
    /// Members of the inner table of `{set=...}`.
    Set,
}

impl<'a> Pusher<'a> {
    /// Pushes onto this stack.
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
            match open.container {
                Container::Array => self.stack.raw_set_at(-2, open.taken),
                // A pair is stored when its value has come; the key stays on the stack until then.
                Container::Map if open.taken % 2 == 0 => store_pair(self.stack),
                Container::Map => {}
                Container::Set => {
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
        match self.open.pop().map(|open| open.container) {
            Some(Container::Map) => self.stack.raw_set_field(-2, c"map"),
            Some(Container::Set) => self.stack.raw_set_field(-2, c"set"),
            Some(Container::Array) | None => {}
        }
    }

    fn begin(&mut self, container: Container, values: usize, array: usize, fields: usize) {
        // A deep reply takes three slots a level; beyond the VM's limit it raises for want of memory.
        self.stack.reserve(4);
        if container != Container::Array {
            self.stack.push_table(0, 1);
        }
        self.stack.push_table(array, fields);
        self.open.push(Open { container, remaining: values, taken: 0 });
        if values == 0 {
            self.close();
            self.attach();
        }
    }
}

/// Pushes a table with what `push` pushes in the field `field`.
fn push_wrapped(stack: &Stack, field: &CStr, push: impl FnOnce()) {
    stack.push_table(0, 1);
    push();
    stack.raw_set_field(-2, field);
}

/// Pushes the table of an error reply. Its second field is the server's own mark.
fn push_error(stack: &Stack, text: &[u8]) {
    stack.push_table(0, 2);
    stack.push_bytes(text);
    stack.raw_set_field(-2, c"err");
    stack.push_boolean(true);
    stack.raw_set_field(-2, c"ignore_error_stats_update");
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
    #[inline(always)]
    fn put(&mut self, item: Item<'_>) {
        let stack = self.stack;
        match item {
            Item::Null => stack.push_nil(),
            Item::NullBulk => stack.push_boolean(false),
            Item::Boolean(value) => stack.push_boolean(value),
            Item::Integer(value) => stack.push_number(value as f64),
            Item::Bulk(bytes) => {
                stack.push_bytes(bytes);
                // What nearly all long replies consist of: one more of the values of an array.
                if let Some(open) = self.open.last_mut()
                    && open.container == Container::Array
                    && open.remaining > 1
                {
                    open.taken += 1;
                    open.remaining -= 1;
                    return stack.raw_set_at(-2, open.taken);
                }
            }
            Item::Double(value) => push_wrapped(stack, c"double", || stack.push_number(value)),
            Item::Status(text) => push_wrapped(stack, c"ok", || stack.push_bytes(text)),
            Item::BigNumber(digits) => push_wrapped(stack, c"big_number", || stack.push_bytes(digits)),
            Item::Verbatim { format, text } => push_wrapped(stack, c"verbatim_string", || {
                stack.push_table(0, 2);
                stack.push_bytes(text);
                stack.raw_set_field(-2, c"string");
                stack.push_bytes(&format);
                stack.raw_set_field(-2, c"format");
            }),
            Item::Error(text) => {
                self.failed = self.open.is_empty();
                push_error(stack, text);
            }
            Item::Array(length) => return self.begin(Container::Array, length, length, 0),
            Item::Map(pairs) => return self.begin(Container::Map, pairs * 2, 0, pairs),
            Item::Set(length) => return self.begin(Container::Set, length, 0, length),
        }
        self.attach();
    }
}
