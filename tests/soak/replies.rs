//! What the clients are answered, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::library::FAILURE;
use crate::support::Value;

/// Errors that belong to it, by their beginnings.
const EXPECTED: [&str; 20] = [
    "BUSY ",
    "LOADING ",
    "NOTBUSY ",
    "NOSCRIPT ",
    "UNKILLABLE ",
    "ERR Library not found",
    "ERR Library lib",
    "ERR Library 'lib",
    "ERR Function not found",
    "ERR There is no version to roll back to",
    "ERR The current version is '",
    "ERR The current libraries have no version",
    "ERR Script killed by user",
    "ERR Background save already in progress",
    "ERR Background append only file rewriting already in progress",
    "ERR Another child process is active",
    "ERR Can't BGSAVE while AOF log rewriting is in progress",
    "ERR No such client",
    "READONLY ",
    FAILURE,
];

/// What must have been done once at least.
const DONE: [&str; 19] = [
    "SHADOW.EVAL",
    "SHADOW.EVALSHA",
    "SHADOW.SCRIPT FLUSH ASYNC",
    "SHADOW.SCRIPT FLUSH SYNC",
    "SHADOW.SCRIPT LOAD",
    "SHADOW.FCALL",
    "SHADOW.FCALL_RO",
    "MULTI, SHADOW.FCALL",
    "MULTI, SHADOW.FCALL_RO",
    "SHADOW.FUNCTION DELETE",
    "SHADOW.FUNCTION DEPLOY",
    "SHADOW.FUNCTION DEPLOY TRY",
    "SHADOW.FUNCTION FLUSH ASYNC",
    "SHADOW.FUNCTION FLUSH SYNC",
    "SHADOW.FUNCTION KILL",
    "SHADOW.FUNCTION LOAD",
    "SHADOW.FUNCTION LOAD REPLACE",
    "SHADOW.FUNCTION RESTORE",
    "SHADOW.FUNCTION ROLLBACK",
];

/// The replies of all clients.
#[derive(Default)]
pub struct Replies(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    counts: BTreeMap<(String, String), u64>,
    unexpected: Vec<String>,
}

impl Replies {
    /// Counts a reply to `command`, which is written in capitals.
    pub fn take(&self, command: &str, reply: &Value) {
        let kind = match reply {
            Value::Error(text) => text.split(' ').next().unwrap_or_default().to_owned(),
            _ => "fine".to_owned(),
        };
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Value::Error(text) = reply
            && !EXPECTED.iter().any(|expected| text.starts_with(expected))
        {
            inner.unexpected.push(format!("{command}: {text}"));
        }
        *inner.counts.entry((command.to_owned(), kind)).or_default() += 1;
    }

    /// Prints how many there were of each.
    pub fn print(&self) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = String::new();
        for ((command, kind), count) in &inner.counts {
            if !line.starts_with(&format!("{command}:")) {
                if !line.is_empty() {
                    println!("{line}");
                }
                line = format!("{command}:");
            }
            line.push_str(&format!(" {count} {kind},"));
        }
        println!("{line}");
    }

    /// # Panics
    /// When there was an error that does not belong to it, or a command that must come up was never done.
    pub fn check(&self) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inner.unexpected.len();
        assert!(count == 0, "{count} unexpected replies:\n{}", inner.unexpected[..count.min(20)].join("\n"));
        for command in DONE {
            let done = inner.counts.get(&(command.to_owned(), "fine".to_owned()));
            assert!(done.is_some(), "no {command} was done");
        }
    }
}
