//! The table `cjson`: JSON to values of the VM and back.
//!
//! The bytes and the error texts are those of the server's own library, which no crate for JSON has: positions and
//! token names in errors, `NaN` and hexadecimal numbers, fourteen digits, escaped slashes, sparse arrays.
//!
//! What differs: a setting holds for the library that made it. The server has one set of settings for all libraries.

mod decode;
mod encode;
mod scan;
mod settings;
pub mod shared;

use super::stack::{Native, Outcome, Stack, natives};
use super::state::VmState;

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

/// Pushes the table that all libraries see, locked. May raise.
pub fn push_shared(stack: &Stack, state: &VmState) {
    settings::register(stack);
    push(stack, state, None);
    stack.set_readonly(-1, true);
}

/// `cjson.new()`: a table like the shared one, with settings of its own, that may be assigned to.
fn new(stack: &Stack) -> Outcome {
    settings::push_default(stack);
    push(stack, VmState::of(stack), Some(stack.top()));
    Ok(1)
}

/// Pushes a table whose functions use the settings at `settings`, or those of the library that calls.
fn push(stack: &Stack, state: &VmState, settings: Option<i32>) {
    let target = Target { stack, state, settings };
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
    if state.dialect.marks_json_arrays() {
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
    state: &'a VmState,
    settings: Option<i32>,
}

impl Target<'_> {
    fn native<F: Native>(&self) {
        match self.settings {
            Some(settings) => {
                self.stack.push_value(settings);
                self.stack.push_capturing::<F, _>(self.state);
            }
            None => self.stack.push_native::<F, _>(self.state),
        }
        self.stack.raw_set_field(-2, F::NAME);
    }
}
