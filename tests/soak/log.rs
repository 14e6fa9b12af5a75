//! What a server has logged.

use crate::support::Server;

/// Warnings that belong to what is done to the servers, by their beginnings: those at the start, those about links that
/// are cut and histories that are changed, and those about functions that run long.
const EXPECTED: [&str; 35] = [
    "oO0OoO0OoO0Oo ",
    "Redis version=",
    "Configuration loaded",
    "Server initialized",
    "WARNING Memory overcommit must be enabled",
    "WARNING: Redis does not require authentication.",
    "Connection with replica ",
    "Connection with master lost.",
    "Changing replication IDs after receiving DEBUG change-repl-id",
    "Setting secondary replication ID to ",
    "Diskless rdb transfer, done reading from pipe",
    "Diskless rdb transfer, last replica dropped, killing fork child.",
    "Error condition on socket for SYNC: ",
    "Failed to read response from the server: ",
    "Failed to read sync metadata",
    "Master did not reply to PSYNC, will try later",
    "I/O error reading bulk count from MASTER: ",
    "Error reply to PING from master: '-BUSY ",
    "Unexpected reply to PSYNC from master: -BUSY ",
    "MASTER aborted replication with an error: BUSY ",
    "Received unexpected psync reply: -BUSY ",
    "rdb channel sync failed with error: -BUSY ",
    "Replica bio thread: Error ",
    "Replica main thread detected RDB download failure in Bio thread",
    "Background saving terminated by signal 10",
    "Background transfer terminated by signal 10",
    "Background RDB transfer terminated by signal 10",
    // A replica that breaks off while it is being sent everything.
    "Background transfer error",
    "Write error sending DB to replica: Connection reset by peer",
    // Redis 8.2 loads also while a function runs; that is refused, and it tries again.
    "<module> ERR The function registry cannot be changed while one of its functions is running",
    "<shadow> ERR The function registry cannot be changed while one of its functions is running",
    "The RDB file contains module AUX data for the module type 'shadow-fn', that the responsible module is not able",
    "Short read or OOM loading DB. Unrecoverable error, aborting now.",
    "Failed trying to load the MASTER synchronization DB from ",
    "<shadow> Slow script detected: ",
];

/// What nothing may say, at whatever level.
const NEVER: [&str; 6] =
    ["panicked", "internal error", "BUG REPORT", "ASSERTION", "crashed by signal", "libraries are missing"];

/// # Panics
/// When there is a warning that is not expected, or a word of a failure.
pub fn check(server: &Server) {
    let log = server.log();
    let wrong: Vec<&str> = log.lines().filter(|line| is_wrong(line)).collect();
    assert!(
        wrong.is_empty(),
        "{} lines should not be in the log:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

fn is_wrong(line: &str) -> bool {
    // <process>:<role> <day> <month> <year> <time> <level> <text>
    let mut words = line.splitn(7, ' ');
    let warning = words.nth(5) == Some("#");
    // Valkey calls a master so.
    let text = words.next().unwrap_or_default().replace("primary", "master").replace("PRIMARY", "MASTER");
    let expected = EXPECTED.iter().any(|expected| text.starts_with(expected));
    NEVER.iter().any(|never| line.contains(never)) || (warning && !expected)
}
