//! What a function declares about itself.

use bitflags::bitflags;

bitflags! {
    /// The flags of a function, as given to `register_function`. A function without flags is a writer.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FunctionFlags: u8 {
        /// Never writes: may be called where writing is refused.
        const NO_WRITES = 1 << 0;
        /// May run while the server is over its memory limit.
        const ALLOW_OOM = 1 << 1;
        /// May run on a replica that has lost its master.
        const ALLOW_STALE = 1 << 2;
        /// Must not run in cluster mode.
        const NO_CLUSTER = 1 << 3;
        /// May reach undeclared keys across slots.
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

/// Every flag and its word, in the order in which LIST prints them.
const WORDS: [(FunctionFlags, &str); 5] = [
    (FunctionFlags::NO_WRITES, "no-writes"),
    (FunctionFlags::ALLOW_OOM, "allow-oom"),
    (FunctionFlags::ALLOW_STALE, "allow-stale"),
    (FunctionFlags::NO_CLUSTER, "no-cluster"),
    (FunctionFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
];

impl FunctionFlags {
    /// The flag that `word` names, in any case.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        WORDS.iter().find(|(_, known)| word.eq_ignore_ascii_case(known.as_bytes())).map(|&(flag, _)| flag)
    }

    /// The flag that `word` names in this very case: what the first line of a script takes.
    pub fn from_exact_word(word: &[u8]) -> Option<Self> {
        WORDS.iter().find(|(_, known)| word == known.as_bytes()).map(|&(flag, _)| flag)
    }

    /// The words of the flags that are set, in definition order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        WORDS.iter().filter(move |&&(flag, _)| self.contains(flag)).map(|&(_, word)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_word_is_known_in_any_case() {
        assert_eq!(FunctionFlags::from_word(b"No-WRITES"), Some(FunctionFlags::NO_WRITES));
        for (flag, word) in WORDS {
            assert_eq!(FunctionFlags::from_word(word.as_bytes()), Some(flag));
        }
    }

    #[test]
    fn an_unknown_word_is_no_flag() {
        for word in [&b""[..], b"no_writes", b"no-writes ", b"no-write", b"\xff"] {
            assert_eq!(FunctionFlags::from_word(word), None);
        }
    }

    #[test]
    fn names_come_in_definition_order() {
        let flags = FunctionFlags::ALLOW_CROSS_SLOT_KEYS | FunctionFlags::ALLOW_STALE | FunctionFlags::NO_WRITES;
        let names: Vec<_> = flags.names().collect();
        assert_eq!(names, ["no-writes", "allow-stale", "allow-cross-slot-keys"]);
        assert_eq!(FunctionFlags::empty().names().count(), 0);
        assert!(FunctionFlags::all().names().eq(WORDS.map(|(_, word)| word)));
    }
}
