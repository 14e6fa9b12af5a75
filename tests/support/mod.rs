//! A real server with the built module, and a client that shows the raw bytes of its replies.
//!
//! The integration tests and the benchmarks both include this directory by path. What it needs to know comes from the
//! environment: `SERVER` names the server's binary (default `redis-server`), `SHADOW_MODULE` the built module.

#![allow(dead_code, unused_imports, reason = "each binary that includes the harness uses a part of it")]

pub mod client;
pub mod kind;
pub mod library;
pub mod replicas;
pub mod resp;
pub mod scripts;
pub mod server;
pub mod snapshot;
pub mod walk;
pub mod words;

pub use client::Client;
pub use kind::{KINDS, Kind};
pub use resp::Value;
pub use server::{Flavour, Options, Server};
pub use words::Words;

use std::time::{Duration, Instant};

/// How long a condition may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Returns as soon as `condition` holds; panics with `what` when it does not within [`PATIENCE`].
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "gave up waiting: {what}");
}

/// Whether `condition` came to hold within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
