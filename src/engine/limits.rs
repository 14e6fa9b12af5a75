//! Limits that several natives share.

use super::stack::Raise;

/// The longest string that a native makes or reads, in bytes: the longest that the server takes for a value by default.
pub const LENGTH: usize = 512 << 20;

/// How much a native does between two safepoints, in bytes.
pub const STRIDE: usize = 1 << 20;

/// How many values a function written in C can have on its stack in the server's VM. The server's functions that nest,
/// or that take or return many values, raise beyond it, and so do ours: a result must not depend on which of the two
/// runs.
pub const SLOTS: i32 = 8_000;

/// The VM's words for a result that is longer than [`LENGTH`].
#[cold]
pub fn too_large() -> Raise {
    Raise::at("resulting string too large")
}
