//! The table `cjson`: JSON to values of the VM and back.
//!
//! The bytes and the error texts are those of the server's own library, which no crate for JSON has: positions and
//! token names in errors, `NaN` and hexadecimal numbers, fourteen digits, escaped slashes, sparse arrays.
//!
//! What differs: a setting holds for the library that made it. The server has one set of settings for all libraries.

mod decode;
mod encode;
mod settings;

use std::cell::Cell;
use std::ffi::CStr;

use super::context::Context;
use super::stack::{Native, Outcome, Raise, Stack, natives};

natives! {
    Encode = c"encode", encode::encode;
    Decode = c"decode", decode::decode;
    EncodeSparseArray = c"encode_sparse_array", settings::encode_sparse_array;
    EncodeMaxDepth = c"encode_max_depth", settings::encode_max_depth;
    DecodeMaxDepth = c"decode_max_depth", settings::decode_max_depth;
    EncodeNumberPrecision = c"encode_number_precision", settings::encode_number_precision;
    EncodeKeepBuffer = c"encode_keep_buffer", settings::encode_keep_buffer;
    EncodeInvalidNumbers = c"encode_invalid_numbers", settings::encode_invalid_numbers;
    DecodeInvalidNumbers = c"decode_invalid_numbers", settings::decode_invalid_numbers;
    DecodeArrayWithArrayMt = c"decode_array_with_array_mt", settings::decode_array_with_array_mt;
    New = c"new", new;
}

/// The field of a metatable that makes its tables arrays, empty ones as well, where the server knows it.
const MARK: &CStr = c"__is_cjson_array";

/// How many values a function of the VM may have on its stack; the server's own VM has the same limit, and its
/// library stops at the nesting that meets it. Nesting is counted here as that library's use of the stack.
const STACK_LIMIT: i32 = 8_000;

/// The state of JSON that a VM's libraries share.
#[derive(Default)]
pub struct Shared {
    /// Whether any library has made a setting of its own: until then nobody looks for one.
    changed: Cell<bool>,
    buffer: Buffer,
}

/// The memory that texts are built in, kept from one use to the next.
#[derive(Default)]
struct Buffer(Cell<Vec<u8>>);

impl Buffer {
    /// What is larger than this goes back to the allocator after use.
    const KEPT: usize = 64 * 1024;

    /// The buffer, empty. When an error of the VM skips `give_back`, it is freed.
    fn take(&self) -> Vec<u8> {
        let mut buffer = self.0.take();
        buffer.clear();
        buffer
    }

    fn give_back(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= Self::KEPT {
            self.0.set(buffer);
        }
    }
}

/// Pushes the table that all libraries see, locked. May raise.
pub fn push_shared(stack: &Stack, context: &Context) {
    settings::register(stack);
    push(stack, context, None);
    stack.set_readonly(-1, true);
}

/// `cjson.new()`: a table like the shared one, with settings of its own, that may be assigned to.
fn new(stack: &Stack) -> Outcome {
    settings::push_default(stack);
    push(stack, Context::of(stack), Some(stack.top()));
    Ok(1)
}

/// Pushes a table whose functions use the settings at `settings`, or those of the library that calls.
fn push(stack: &Stack, context: &Context, settings: Option<i32>) {
    let target = Target { stack, context, settings };
    stack.push_table(0, 14);
    target.native::<Encode>();
    target.native::<Decode>();
    target.native::<EncodeSparseArray>();
    target.native::<EncodeMaxDepth>();
    target.native::<DecodeMaxDepth>();
    target.native::<EncodeNumberPrecision>();
    target.native::<EncodeKeepBuffer>();
    target.native::<EncodeInvalidNumbers>();
    target.native::<DecodeInvalidNumbers>();
    if context.dialect.marks_json_arrays() {
        target.native::<DecodeArrayWithArrayMt>();
    }
    target.native::<New>();
    stack.push_null();
    stack.raw_set_field(-2, c"null");
    stack.push_bytes(b"cjson");
    stack.raw_set_field(-2, c"_NAME");
    stack.push_bytes(b"2.1.0");
    stack.raw_set_field(-2, c"_VERSION");
}

/// A table on top that is being filled.
struct Target<'a> {
    stack: &'a Stack,
    context: &'a Context,
    settings: Option<i32>,
}

impl Target<'_> {
    fn native<F: Native>(&self) {
        match self.settings {
            Some(settings) => {
                self.stack.push_value(settings);
                self.stack.push_capturing::<F, _>(self.context);
            }
            None => self.stack.push_native::<F, _>(self.context),
        }
        self.stack.raw_set_field(-2, F::NAME);
    }
}

/// The error for argument `number` of the function `name`, which has no name for its caller when `pcall` calls it.
fn bad_argument(stack: &Stack, name: &str, number: i32, text: &str) -> Raise {
    let name = if stack.place(1).is_some() { name } else { "?" };
    Raise::at(&format!("bad argument #{number} to '{name}' ({text})"))
}

/// How many of the first bytes are not special. The two functions agree: `vector` suits vector instructions, `single`
/// is for the bytes that are left.
#[inline(always)]
fn skip(bytes: &[u8], vector: impl Fn(u8) -> bool, single: impl Fn(u8) -> bool) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    // Steps without branches.
    while let Some(step) = bytes.get(at..at + STEP) {
        if step.iter().fold(false, |found, &byte| found | vector(byte)) {
            break;
        }
        at += STEP;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| single(byte)).unwrap_or(rest.len())
}
