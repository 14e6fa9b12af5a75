//! The server's module API: the one place that calls it, and that it calls.
//!
//! Thin and without opinions: a function is one call of the API with Rust's types. What the server calls is a trait,
//! which the rest of `server` implements in safe code; the C functions behind it make the context and run the body in
//! the guard. The invariants that the unsafe code leans on:
//!
//! * **Initialised**: the API's pointers are filled before anything else runs, and never change. A pointer that an
//!   older server lacks is None; only calls marked optional may meet that.
//! * **Main thread**: everything here runs on the server's thread, inside a callback of the server.
//! * **Living context**: a `Context` lives no longer than the callback that got it.
//! * **C strings**: a text passed as one has no NUL inside, or is cut there.

#![allow(unsafe_code, reason = "calls the server, and is called by it")]

mod acl;
mod blocked_client;
mod call;
mod call_argv;
mod call_reply;
mod client;
pub mod cluster;
pub mod command;
mod command_info;
pub mod config;
mod context;
mod doorbell;
pub mod entry;
pub mod events;
mod filter;
mod guard;
pub mod info;
mod inner_calls;
mod inner_reply;
mod kept_words;
mod key_positions;
pub mod rdb;
mod server_string;
mod text;
mod words;

use std::ffi::{CStr, c_int};
use std::ptr;

use bitflags::bitflags;
use redis_module::raw;

pub use acl::{KnownCommand, User};
pub use blocked_client::{BlockedClient, Waiting};
pub use call::{Flags, call};
pub use call_reply::CallReply;
pub use client::ClientId;
pub use command::KeyAccess;
pub use command_info::{CommandInfo, KeyRange};
pub use context::{Context, DetachedContext};
pub use doorbell::{Bell, Doorbell};
pub use filter::{CommandFilter, FilteredCommand, InstalledFilter, Sender};
pub use guard::guarded;
pub use inner_calls::{InnerCalls, InnerCommand};
pub use inner_reply::InnerReply;
pub use key_positions::KeyPositions;
pub use server_string::ServerString;
use server_string::string_bytes;
pub use text::c_text;
pub use words::{Arguments, Word, Words};

/// A function of the API that every supported server has.
macro_rules! api {
    ($name:ident) => {
        // Initialised; a missing one is a panic, which the guard turns into an error.
        raw::$name.expect(concat!(stringify!($name), " is missing in this server"))
    };
}
use api;

/// The server refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The status that a function of the API returned.
fn checked(status: c_int) -> Result<(), Refused> {
    if status as isize == raw::REDISMODULE_OK { Ok(()) } else { Err(Refused) }
}

bitflags! {
    /// The server's state, as `RM_GetContextFlags` returns it; the bits that are used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct State: u32 {
        /// Inside EXEC.
        const MULTI = raw::REDISMODULE_CTX_FLAGS_MULTI;
        /// Inside a script of the server's own.
        const LUA = raw::REDISMODULE_CTX_FLAGS_LUA;
        const SLAVE = raw::REDISMODULE_CTX_FLAGS_SLAVE;
        const READONLY = raw::REDISMODULE_CTX_FLAGS_READONLY;
        const CLUSTER = raw::REDISMODULE_CTX_FLAGS_CLUSTER;
        const OOM = raw::REDISMODULE_CTX_FLAGS_OOM;
        const REPLICATED = raw::REDISMODULE_CTX_FLAGS_REPLICATED;
        const LOADING = raw::REDISMODULE_CTX_FLAGS_LOADING;
        const IS_CHILD = raw::REDISMODULE_CTX_FLAGS_IS_CHILD;
        /// The client does not expect to wait.
        const DENY_BLOCKING = raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        /// There is an append-only file.
        const AOF = raw::REDISMODULE_CTX_FLAGS_AOF;
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

bitflags! {
    /// Features of the server that a module must know to live with.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Options: u32 {
        /// A load can break off.
        const HANDLE_IO_ERRORS = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS;
        /// A replica can load beside what it serves.
        const HANDLE_ASYNC_LOAD = raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
        /// Slots can move to another node in one step (Valkey's `CLUSTER MIGRATESLOTS`).
        const HANDLE_ATOMIC_SLOT_MIGRATION = 1 << 5;
    }
}

/// The version of the server: major << 16 | minor << 8 | patch.
pub fn server_version() -> u32 {
    // SAFETY: takes nothing. Absent before 6.2.
    unsafe { raw::RedisModule_GetServerVersion }.map_or(0, |version| unsafe { version() } as u32)
}

/// Writes a line to the server's log, without the name of the module. The level is `debug`, `verbose`, `notice` or
/// `warning`.
pub fn log(level: &CStr, text: &[u8]) {
    log_in(None, level, text);
}

fn log_in(context: Option<&Context>, level: &CStr, text: &[u8]) {
    let text = c_text(text);
    let context = context.map_or(ptr::null_mut(), Context::raw);
    // SAFETY: Living context. The format is ours and takes one C string; a null context is allowed.
    unsafe { api!(RedisModule_Log)(context, level.as_ptr(), c"%s".as_ptr(), text.as_ptr()) }
}
