//! What the program is at, on standard error.

use std::io::{self, Write};

/// A line that grows by a dot for each round, and ends with this value.
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
    // Where nobody can read it, it need not be shown.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
