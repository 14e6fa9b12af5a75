//! Shadow Functions: a second function registry for Redis, with a VM of its own and a flush that is a pointer swap.
//!
//! The layers, each of which knows only those to its right:
//! `server` (the module API) -> `generation` (what one flush throws away) -> `engine` (the VM), `registry` (names).

#![deny(unsafe_code)] // The files that may have some say so, and SAFETY.md says why they are sound.

mod block;
mod c_string;
mod clock;
pub mod deployment;
mod directory;
pub mod engine;
pub mod error;
pub mod fault;
pub mod generation;
mod hotness;
mod process;
#[cfg(target_env = "gnu")]
mod realpath;
pub mod reclaim;
pub mod registry;
pub mod server;
mod thread;
pub mod watch;
