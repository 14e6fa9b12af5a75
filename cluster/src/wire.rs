//! Numbers and texts as bytes: every length is checked before anything is made of it.

use std::sync::Arc;

use crate::entry::NodeId;
use crate::stamp::{Hash, Hlc, Stamp};

/// The longest name of a library or function.
pub const MAX_NAME: usize = 4096;
/// The longest source.
pub const MAX_SOURCE: usize = 64 << 20;

/// Why bytes are no message. Deliberately poor: what is wrong with a forgery is nobody's concern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Bytes that are read from the front.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads these.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        if count > self.0.len() {
            return Err(Malformed);
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed)
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// A truth value, of which there are two.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A number of 16 bits.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A hash.
    pub fn hash(&mut self) -> Result<Hash, Malformed> {
        Ok(Hash(u128::from_le_bytes(self.array()?)))
    }

    /// A reading of a clock, unless no clock can have shown it.
    pub fn hlc(&mut self) -> Result<Hlc, Malformed> {
        let hlc = Hlc(self.u64()?);
        if hlc.is_plausible() { Ok(hlc) } else { Err(Malformed) }
    }

    /// A stamp.
    pub fn stamp(&mut self) -> Result<Stamp, Malformed> {
        Ok(Stamp { hlc: self.hlc()?, hash: self.hash()? })
    }

    /// A node's ID.
    pub fn node(&mut self) -> Result<NodeId, Malformed> {
        Ok(NodeId(self.array()?))
    }

    /// A text behind its length, which is at most `limit`.
    pub fn text(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(Malformed);
        }
        self.bytes(length)
    }

    /// A name: not empty, and UTF-8.
    pub fn name(&mut self) -> Result<Arc<str>, Malformed> {
        let text = self.text(MAX_NAME)?;
        if text.is_empty() {
            return Err(Malformed);
        }
        std::str::from_utf8(text).map(Arc::from).map_err(|_| Malformed)
    }

    /// How many items follow, none of which takes less than `least` bytes: so no count asks for more than there is.
    pub fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.checked_mul(least).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(Malformed);
        }
        Ok(count)
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Bytes that are written at the end.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A truth value.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A number of 16 bits.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A hash.
    pub fn hash(&mut self, value: Hash) {
        self.0.extend_from_slice(&value.0.to_le_bytes());
    }

    /// A stamp.
    pub fn stamp(&mut self, value: Stamp) {
        self.u64(value.hlc.0);
        self.hash(value.hash);
    }

    /// A node's ID.
    pub fn node(&mut self, value: NodeId) {
        self.0.extend_from_slice(&value.0);
    }

    /// How many items or bytes follow.
    pub fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    /// A text behind its length.
    pub fn text(&mut self, value: &[u8]) {
        self.count(value.len());
        self.0.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_promises_more_than_there_is_is_refused() {
        let mut writer = Writer::default();
        writer.count(3);
        writer.u64(0);
        assert_eq!(Reader::new(&writer.0).count(4), Err(Malformed));
        assert_eq!(Reader::new(&writer.0).count(2), Ok(3));
    }

    #[test]
    fn a_text_may_be_neither_longer_than_its_limit_nor_than_what_is_there() {
        let mut writer = Writer::default();
        writer.text(b"four");
        assert_eq!(Reader::new(&writer.0).text(3), Err(Malformed));
        assert_eq!(Reader::new(&writer.0).text(4), Ok(&b"four"[..]));
        assert_eq!(Reader::new(&writer.0[..7]).text(100), Err(Malformed));
    }

    #[test]
    fn names_are_texts_that_say_something() {
        for bad in [&b""[..], b"\xff"] {
            let mut writer = Writer::default();
            writer.text(bad);
            assert!(Reader::new(&writer.0).name().is_err());
        }
    }
}
