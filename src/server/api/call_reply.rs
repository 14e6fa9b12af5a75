//! Replies of commands that the module runs.

use std::ptr;
use std::slice;

use redis_module::raw;

use super::api;

/// A reply of `RM_Call`, which we own.
pub struct CallReply(ptr::NonNull<raw::RedisModuleCallReply>);

impl CallReply {
    /// Takes the result of `RM_Call`; None when it is null.
    ///
    /// # Safety
    /// The caller owns `reply` and gives it up.
    pub(super) unsafe fn own(reply: *mut raw::RedisModuleCallReply) -> Option<Self> {
        ptr::NonNull::new(reply).map(Self)
    }

    /// The reply as it would go over the wire.
    pub fn wire(&self) -> &[u8] {
        let mut length = 0;
        // SAFETY: the reply is alive; the server returns the address of `length` bytes that live as long as it does.
        unsafe {
            let start = api!(RedisModule_CallReplyProto)(self.0.as_ptr(), &mut length);
            if start.is_null() { &[] } else { slice::from_raw_parts(start.cast(), length) }
        }
    }

    /// Whether a simple string in it is `word`.
    pub fn mentions(&self, word: &str) -> bool {
        let line = format!("+{word}\r\n");
        self.wire().windows(line.len()).any(|part| part == line.as_bytes())
    }

    /// The element at a path of indices, from array to array.
    fn at(&self, path: &[usize]) -> Option<ptr::NonNull<raw::RedisModuleCallReply>> {
        path.iter().try_fold(self.0, |reply, &index| {
            // SAFETY: the reply is alive and owns its elements; for other types the server returns null.
            ptr::NonNull::new(unsafe { api!(RedisModule_CallReplyArrayElement)(reply.as_ptr(), index) })
        })
    }

    /// The number of elements of the array at `path`; 0 if there is nothing.
    pub fn len(&self, path: &[usize]) -> usize {
        // SAFETY: the reply is alive; for other types the result is some length, and no memory is touched.
        self.at(path).map_or(0, |reply| unsafe { api!(RedisModule_CallReplyLength)(reply.as_ptr()) })
    }

    /// The integer at `path`; None if there is nothing.
    pub fn integer(&self, path: &[usize]) -> Option<i64> {
        // SAFETY: the reply is alive; for other types the result is LLONG_MIN.
        self.at(path).map(|reply| unsafe { api!(RedisModule_CallReplyInteger)(reply.as_ptr()) })
    }

    /// The bytes of the string at `path`; None if there is no string.
    pub fn string(&self, path: &[usize]) -> Option<&[u8]> {
        let reply = self.at(path)?;
        let mut length = 0;
        // SAFETY: the reply is alive and owns its elements; for other types the server returns null.
        unsafe {
            let start = api!(RedisModule_CallReplyStringPtr)(reply.as_ptr(), &mut length);
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), length))
        }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards.
        unsafe { api!(RedisModule_FreeCallReply)(self.0.as_ptr()) }
    }
}
