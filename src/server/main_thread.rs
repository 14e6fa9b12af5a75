//! State that belongs to the server's main thread.

#![allow(unsafe_code, reason = "makes statics of the main thread Sync")]

use std::ops::Deref;

/// A value in a static that only the main thread reaches, usually a `Cell` or a `RefCell`.
pub struct MainThread<T>(T);

// SAFETY: only code below `src/server/` names such a static. It runs in callbacks of the server, which are all made on
// its main thread (with its global lock held) or on the one thread of a process that it has forked. The module's own
// threads know nothing of `src/server/`.
unsafe impl<T> Sync for MainThread<T> {}

impl<T> MainThread<T> {
    /// The value, for a static below `src/server/`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for MainThread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
