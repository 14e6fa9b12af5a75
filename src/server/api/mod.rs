//! The server's module API, as far as more than one place uses it. What registers callbacks with the server calls it
//! where the callbacks are.
//!
//! Thin and unopinionated: each function is one call of the API, with Rust's types. The invariants that the unsafe
//! code leans on:
//!
//! * **Initialised**: the API's pointers are filled by `init` before anything else runs, and never change. A pointer
//!   that an older server lacks is None; only calls marked optional may meet that.
//! * **Main thread**: everything here runs on the server's thread, inside a callback of the server.
//! * **Living context**: a `Context` lives no longer than the callback that got it.
//! * **C strings**: a text passed as one has no NUL inside, or is cut there.

mod call_reply;
mod context;
mod key_positions;
mod text;
mod words;

use std::ffi::{CStr, c_int};

use bitflags::bitflags;
use redis_module::raw;

pub use call_reply::CallReply;
pub use context::{Context, KeyAccess};
pub use key_positions::KeyPositions;
pub use text::{Text, c_text, string_bytes};
pub use words::{Arguments, FilteredCommand, Word, Words};

/// A function of the API that every supported server has.
macro_rules! api {
    ($name:ident) => {
        // Initialised; a missing one is a panic, which the guard turns into an error.
        raw::$name.expect(concat!(stringify!($name), " is missing in this server"))
    };
}
pub(in crate::server) use api;

/// The server refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// OK or an error, as the API's functions return.
pub fn checked(status: c_int) -> Result<(), Refused> {
    if status as isize == raw::REDISMODULE_OK { Ok(()) } else { Err(Refused) }
}

bitflags! {
    /// The server's state, as `RM_GetContextFlags` tells it; the bits used here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct State: u32 {
        const SLAVE = raw::REDISMODULE_CTX_FLAGS_SLAVE;
        const READONLY = raw::REDISMODULE_CTX_FLAGS_READONLY;
        const CLUSTER = raw::REDISMODULE_CTX_FLAGS_CLUSTER;
        const OOM = raw::REDISMODULE_CTX_FLAGS_OOM;
        const REPLICATED = raw::REDISMODULE_CTX_FLAGS_REPLICATED;
        const LOADING = raw::REDISMODULE_CTX_FLAGS_LOADING;
        const IS_CHILD = raw::REDISMODULE_CTX_FLAGS_IS_CHILD;
        const REPLICA_IS_STALE = raw::REDISMODULE_CTX_FLAGS_REPLICA_IS_STALE;
        const _ = !0;
    }
}

impl State {
    /// Whether the command comes from the master or out of a file and must be obeyed.
    pub const fn obeys(self) -> bool {
        self.intersects(Self::REPLICATED.union(Self::LOADING))
    }
}

/// Registers the module under its name and fills the API's pointers.
///
/// # Safety
/// Called first thing from the module's entry point with the context that the server gave it.
pub unsafe fn init(context: *mut raw::RedisModuleCtx, name: &CStr, version: c_int) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    let status =
        unsafe { raw::Export_RedisModule_Init(context, name.as_ptr(), version, raw::REDISMODULE_APIVER_1 as c_int) };
    checked(status)
}

/// The version of the server: major << 16 | minor << 8 | patch.
pub fn server_version() -> u32 {
    // SAFETY: takes nothing. Absent before 6.2.
    unsafe { raw::RedisModule_GetServerVersion }.map_or(0, |version| unsafe { version() } as u32)
}

/// Writes a line to the server's log; `context` may be null.
pub fn log(context: *mut raw::RedisModuleCtx, level: &CStr, text: &[u8]) {
    let text = c_text(text);
    // SAFETY: the format is ours and takes one C string; a null context is allowed.
    unsafe { api!(RedisModule_Log)(context, level.as_ptr(), c"%s".as_ptr(), text.as_ptr()) }
}
