//! Strings of the server.

use std::ptr;
use std::slice;

use redis_module::raw;

use super::api;

/// A string of the server that we own.
pub struct ServerString(*mut raw::RedisModuleString);

impl ServerString {
    /// Takes a string that the server returned; None when it is null.
    ///
    /// # Safety
    /// The caller owns `string` and gives it up.
    pub const unsafe fn own(string: *mut raw::RedisModuleString) -> Option<Self> {
        if string.is_null() { None } else { Some(Self(string)) }
    }

    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: without a context the string is the caller's alone; the server copies the bytes.
        Self(unsafe { api!(RedisModule_CreateString)(ptr::null_mut(), bytes.as_ptr().cast(), bytes.len()) })
    }

    /// The string as the API takes it. It lives as long as this value, unless somebody else holds it, too.
    pub const fn raw(&self) -> *mut raw::RedisModuleString {
        self.0
    }

    /// Gives the string up to the server, which frees it.
    pub const fn give(self) -> *mut raw::RedisModuleString {
        let string = self.0;
        std::mem::forget(self);
        string
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the string is alive, and nobody changes one that we hold.
        unsafe { string_bytes(self.0) }
    }
}

impl Drop for ServerString {
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
