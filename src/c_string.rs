//! Texts that the server treats as C strings.

use memchr::memchr;

/// The bytes before the first NUL.
pub fn to_nul(text: &[u8]) -> &[u8] {
    &text[..memchr(0, text).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::to_nul;

    #[test]
    fn a_text_ends_at_its_first_nul() {
        for (text, expected) in [("", ""), ("ab", "ab"), ("a\0b\0", "a"), ("\0", "")] {
            assert_eq!(to_nul(text.as_bytes()), expected.as_bytes());
        }
    }
}
