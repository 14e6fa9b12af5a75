//! The order of changes.

use sha2::{Digest, Sha256};

/// A hybrid logical clock: 48 bits of milliseconds, 16 of a counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// What a node that is alone stamps with: below every change that was made in a cluster.
    pub const ZERO: Hlc = Hlc(0);
    /// No change has it: libraries that are older than the cluster's registry count as first loaded then, that is last.
    pub const MAX: Hlc = Hlc(u64::MAX);

    /// The next reading: above all that was seen, and not below the wall clock.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Hlc {
        Hlc(self.0.saturating_add(1).max(now_ms.min(1 << 47) << 16))
    }

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// Whether a clock can have shown it. A greater one would leave no room for what comes after it.
    #[must_use]
    pub fn is_plausible(self) -> bool {
        self.millis() < 1 << 47
    }
}

/// The first 128 bits of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hash(pub u128);

impl Hash {
    /// Hashes parts, each with its length before it, so that no two lists of parts are the same bytes.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let bytes = digest.finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&bytes[..16]);
        Hash(u128::from_le_bytes(first))
    }
}

/// The place of a change in the one order of all changes: its time, and the hash of its content where two have the
/// same.
///
/// Who made a change has no part in it: two nodes that make the same change at the same time made one change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Stamp {
    /// When.
    pub hlc: Hlc,
    /// What: the hash of the whole change, not of one library.
    pub hash: Hash,
}

impl Stamp {
    /// Below every change.
    pub const ZERO: Stamp = Stamp { hlc: Hlc(0), hash: Hash(0) };
    /// The birth of a library that is older than the cluster's registry.
    pub const BEFORE_THE_CLUSTER: Stamp = Stamp { hlc: Hlc::MAX, hash: Hash(u128::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_above_all_that_was_seen_and_not_below_the_wall_clock() {
        let clock = Hlc::ZERO.next(1000);
        assert_eq!(clock.millis(), 1000);
        assert!(clock.next(1000) > clock);
        assert!(clock.next(10) > clock, "a wall clock that goes back");
        assert_eq!(clock.next(2000).millis(), 2000);
    }

    #[test]
    fn the_end_of_time_is_not_plausible_and_does_not_wrap() {
        assert!(Hlc::ZERO.next(1 << 40).is_plausible());
        assert!(!Hlc::MAX.is_plausible());
        assert_eq!(Hlc::MAX.next(5), Hlc::MAX);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Hash::of([&b"ab"[..], b"c"]), Hash::of([&b"a"[..], b"bc"]));
        assert_ne!(Hash::of([&b"ab"[..]]), Hash::of([&b"ab"[..], b""]));
    }
}
