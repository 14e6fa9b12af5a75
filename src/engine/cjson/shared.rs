//! What the functions of `cjson` share.

use std::cell::Cell;
use std::ffi::CStr;

/// The field of a metatable that makes its tables arrays, empty ones as well, where the server knows it.
pub const MARK: &CStr = c"__is_cjson_array";

/// What they keep from one call to the next, in one VM.
#[derive(Default)]
pub struct Shared {
    /// Whether any library has settings of its own; until then none are searched for.
    pub changed: Cell<bool>,
    pub buffer: Buffer,
}

/// The memory that texts are built in, kept from one use to the next.
#[derive(Default)]
pub struct Buffer(Cell<Vec<u8>>);

impl Buffer {
    /// A larger buffer, in bytes, goes back to the allocator after use.
    const KEPT: usize = 64 * 1024;

    /// The buffer, empty. It is freed if an error of the VM skips `give_back`.
    pub fn take(&self) -> Vec<u8> {
        let mut buffer = self.0.take();
        buffer.clear();
        buffer
    }

    /// Keeps the buffer for the next use.
    pub fn give_back(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= Self::KEPT {
            self.0.set(buffer);
        }
    }
}
