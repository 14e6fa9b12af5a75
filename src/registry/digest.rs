//! The names of scripts.

use std::fmt;

use sha1::{Digest as _, Sha1};

/// The SHA-1 of a script, as its 40 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; Self::LENGTH]);

impl Digest {
    /// The number of digits.
    pub const LENGTH: usize = 40;

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(Sha1::new_with_prefix(bytes))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The digits.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Sha1> for Digest {
    fn from(hash: Sha1) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; Self::LENGTH];
        for (pair, byte) in text.chunks_exact_mut(2).zip(hash.finalize()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xF)];
        }
        Self(text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_sha_1_in_lower_case() {
        assert_eq!(Digest::of(b"return 1").as_str(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(Digest::of(b"").as_str(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    }
}
