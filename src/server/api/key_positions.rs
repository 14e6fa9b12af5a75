//! Which words of a command are keys.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::slice;

use redis_module::raw;

use super::{Context, Words, api};

/// The positions of the keys among the words of a command: an array of the server, which we own.
pub struct KeyPositions {
    /// None when there is no key.
    array: Option<NonNull<c_int>>,
    count: usize,
}

impl KeyPositions {
    /// Asks the server about a command.
    ///
    /// # Errors
    /// The errno of the refusal: ENOENT for an unknown command, EINVAL for a command with keys and a wrong number of
    /// words.
    pub fn of(context: &Context, words: &mut Words) -> Result<Self, c_int> {
        let (argv, argc) = (words.as_mut_ptr(), words.len() as c_int);
        let mut count: c_int = 0;
        // SAFETY: Living context; the words are alive. The result is an array of `count` positions, or null with an
        // errno, which is 0 when there is no key.
        unsafe {
            let array = api!(RedisModule_GetCommandKeys)(context.raw(), argv, argc, &raw mut count);
            match (NonNull::new(array), *libc::__errno_location()) {
                (None, errno) if errno != 0 => Err(errno),
                (array, _) => Ok(Self { array, count: usize::try_from(count).unwrap_or(0) }),
            }
        }
    }

    /// The positions, counted from 0.
    pub fn get(&self) -> &[c_int] {
        // SAFETY: the array has `count` elements and is freed with this value.
        self.array.map_or(&[], |array| unsafe { slice::from_raw_parts(array.as_ptr(), self.count) })
    }
}

impl Drop for KeyPositions {
    fn drop(&mut self) {
        if let Some(array) = self.array {
            // SAFETY: it is ours, and nothing refers to it.
            unsafe { api!(RedisModule_Free)(array.as_ptr().cast()) };
        }
    }
}
