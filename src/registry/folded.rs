//! Names that are found in any case, and what the tables of both registries share.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

/// The hashes of names. A table keeps 32 bits of each, so that it need not look at every name when it grows.
#[derive(Default)]
pub struct NameHasher(DefaultHashBuilder);

impl NameHasher {
    /// The hash of these bytes as they are.
    pub fn exact(&self, bytes: &[u8]) -> u32 {
        shorten(self.0.hash_one(bytes))
    }

    /// A hash that is blind to case. Eight bytes at a time, the last eight overlapping the ones before: for the
    /// hasher's own way with bytes the name would have to be folded into a copy.
    pub fn folded(&self, name: &[u8]) -> u32 {
        let mut hasher = self.0.build_hasher();
        let mut rest = name;
        while let [word @ .., _] = rest
            && let Some((word, after)) = word.split_first_chunk()
        {
            hasher.write_u64(fold(u64::from_ne_bytes(*word)));
            rest = after;
        }
        hasher.write_u64(fold(last_word(name)) ^ name.len() as u64);
        shorten(hasher.finish())
    }
}

/// The last eight bytes of `name`, or all of a shorter one.
fn last_word(name: &[u8]) -> u64 {
    if let Some(word) = name.last_chunk() {
        u64::from_ne_bytes(*word)
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last))
    } else {
        name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
    }
}

/// Bit 5 set in every byte: letters lose their case, and all bytes a valid name can hold stay apart. Of other bytes it
/// may confuse some; a lookup compares names anyway.
fn fold(word: u64) -> u64 {
    word | u64::from_ne_bytes([0x20; 8])
}

/// Whether the names differ in case at most. Most callers write a name as it was registered.
pub fn is_same(registered: &[u8], called: &[u8]) -> bool {
    registered == called || registered.eq_ignore_ascii_case(called)
}

/// The 32 bits of a hash that an entry keeps.
fn shorten(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

/// The hash a table wants, from the 32 bits kept: it looks at the lowest bits and at the topmost seven.
pub fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Frees `programs` in the order of their addresses, which is about the order of their making: in the order of a
/// table, which is none, 100,000 of them take three times as long.
pub fn drop_in_order<T>(programs: impl Iterator<Item = Arc<T>>) {
    let mut programs: Vec<_> = programs.collect();
    programs.sort_unstable_by_key(Arc::as_ptr);
}
