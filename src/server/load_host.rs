//! What a library reaches of the server while it is loaded.

use super::api::{Context, c_text};
use crate::engine::{Host, LogLevel};

/// The server as one load of a library sees it: the body can only log.
pub struct LoadHost<'a>(pub &'a Context<'a>);

impl Host for LoadHost<'_> {
    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(self.0, level, message);
    }
}

/// Writes a line of a script to the server's log.
pub fn log(context: &Context, level: LogLevel, message: &[u8]) {
    let level = match level {
        LogLevel::Debug => c"debug",
        LogLevel::Verbose => c"verbose",
        LogLevel::Notice => c"notice",
        LogLevel::Warning => c"warning",
    };
    context.log(level, c_text(message).as_bytes());
}
