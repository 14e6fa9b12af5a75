//! Texts for the server and from it.

use std::ffi::CString;
use std::ptr;
use std::slice;

use redis_module::raw;
use smallvec::SmallVec;

use super::api;
use crate::c_string::to_nul;

/// A string of the server that we own.
pub struct Text(*mut raw::RedisModuleString);

impl Text {
    /// # Safety
    /// `string` is a string that the caller owns and gives up.
    pub const unsafe fn own(string: *mut raw::RedisModuleString) -> Self {
        Self(string)
    }

    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: without a context the string is the caller's alone; the server copies the bytes.
        Self(unsafe { api!(RedisModule_CreateString)(ptr::null_mut(), bytes.as_ptr().cast(), bytes.len()) })
    }

    pub const fn raw(&self) -> *mut raw::RedisModuleString {
        self.0
    }

    /// Gives the string up to whoever takes it over.
    pub const fn give(self) -> *mut raw::RedisModuleString {
        let string = self.0;
        std::mem::forget(self);
        string
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a live string that only we own.
        unsafe { string_bytes(self.0) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards.
        unsafe { api!(RedisModule_FreeString)(ptr::null_mut(), self.0) }
    }
}

/// The bytes of a string of the server.
///
/// # Safety
/// `string` is alive and unchanged for `'a`.
pub unsafe fn string_bytes<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller's promise; the server gives the address of `length` bytes.
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(string, &mut length);
        slice::from_raw_parts(start.cast(), length)
    }
}

/// A text for the wire's simple strings and errors, with a NUL after it. A short one takes no memory.
pub(super) type Line = SmallVec<[u8; 64]>;

/// `text` as such a line: line breaks become spaces, and it ends at the first NUL.
pub(super) fn one_line(text: &[u8]) -> Line {
    let text = to_nul(text);
    let mut line = Line::with_capacity(text.len() + 1);
    line.extend_from_slice(text);
    line.iter_mut().for_each(|byte| *byte = without_break(*byte));
    line.push(0);
    line
}

pub(super) const fn without_break(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// A C string of what is before the first NUL.
pub fn c_text(text: &[u8]) -> CString {
    CString::new(to_nul(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_wire_has_no_breaks_and_ends_at_a_nul() {
        assert_eq!(one_line(b"ERR a\r\nb").as_slice(), b"ERR a  b\0");
        assert_eq!(one_line(b"a\0b").as_slice(), b"a\0");
        assert_eq!(one_line(b"\xff\n").as_slice(), b"\xff \0");
    }
}
