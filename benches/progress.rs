//! Progress, on standard error.

use std::io::{self, Write};

/// A line that gets a dot for each round, and ends when this value is dropped.
pub struct Progress;

impl Progress {
    /// Begins the line.
    pub fn of(what: &str) -> Self {
        show(&format!("{what} "));
        Self
    }

    /// A round is done.
    pub fn step(&self) {
        show(".");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        show("\n");
    }
}

fn show(text: &str) {
    let mut output = io::stderr().lock();
    // If standard error is closed, nobody wants to see it.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
