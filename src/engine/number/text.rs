//! The text of a number, as a value.

use std::ops::Deref;

/// Room for a number's text and a NUL, in bytes. The longest there is has 26: a sign, `0.`, six zeros and 17 digits.
pub const TEXT_ROOM: usize = 32;

/// The text of a number, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberText {
    length: usize,
    /// Zeros follow the text.
    bytes: [u8; TEXT_ROOM],
}

impl NumberText {
    /// No text yet.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; TEXT_ROOM] };

    /// A copy of `text`.
    ///
    /// # Panics
    /// If it is longer than the text of any number.
    pub fn new(text: &[u8]) -> Self {
        let mut this = Self::EMPTY;
        this.set(text);
        this
    }

    /// Appends `part`.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    /// Appends `count` zeros.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push_zeros(&mut self, count: usize) {
        self.bytes[self.length..][..count].fill(b'0');
        self.length += count;
    }

    /// Makes it, which is empty, this text.
    ///
    /// # Panics
    /// If it is longer than the text of any number.
    #[inline]
    pub fn set(&mut self, text: &[u8]) {
        self.bytes[..text.len()].copy_from_slice(text);
        self.length = text.len();
    }

    /// The text with zeros after it.
    #[inline]
    pub fn padded(&self) -> &[u8; TEXT_ROOM] {
        &self.bytes
    }

    /// The text with a NUL after it.
    #[inline]
    pub fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }
}

impl Deref for NumberText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
