//! The calls that took long.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A call that took long. Texts of the client are cut, or hidden.
#[derive(Clone, Debug)]
pub struct SlowCall {
    /// Greater than that of every slow call before.
    pub id: u64,
    /// When it ended, in seconds since 1970.
    pub time: u64,
    /// How long it took, in microseconds.
    pub spent: u64,
    /// The function's name, or the digest of the script.
    pub name: Box<str>,
    /// The library of the function, and the SHA-256 of its source.
    pub library: Option<(Box<str>, String)>,
    pub keys: Vec<Vec<u8>>,
    pub arguments: Vec<Vec<u8>>,
    /// The commands that it ran, and the microseconds that they took.
    pub commands: u64,
    pub commands_spent: u64,
    /// The command that took longest, and its microseconds.
    pub slowest: Option<(Vec<u8>, u64)>,
    /// The address of the client, and its name.
    pub address: Vec<u8>,
    pub client: Vec<u8>,
}

/// The last slow calls of functions, or of scripts.
#[derive(Default)]
pub struct SlowLog {
    /// The last one comes first.
    calls: RefCell<VecDeque<SlowCall>>,
    next: Cell<u64>,
}

impl SlowLog {
    /// Adds a slow call, and gives it its number. No more than `most` stay.
    pub fn add(&self, call: SlowCall, most: usize) {
        let id = self.next.replace(self.next.get() + 1);
        let mut calls = self.calls.borrow_mut();
        calls.push_front(SlowCall { id, ..call });
        calls.truncate(most);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.borrow().len()
    }

    /// The last ones, the last one first.
    pub fn last(&self, count: usize) -> Vec<SlowCall> {
        self.calls.borrow().iter().take(count).cloned().collect()
    }

    /// Forgets them. Their numbers are not used again.
    pub fn clear(&self) {
        self.calls.borrow_mut().clear();
    }
}
