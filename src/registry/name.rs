//! The names of libraries and functions.

/// The rule for both kinds of names, as every refusal words it (it says "Library" of functions too).
pub const NAME_RULE: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether `name` is one or more of `[A-Za-z0-9_]`. There is no limit to its length.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_underscores_make_a_name_of_any_length() {
        for name in [&b"a"[..], b"_", b"0", b"My_Lib_2", &[b'x'; 5000]] {
            assert!(is_valid_name(name));
        }
    }

    #[test]
    fn anything_else_is_no_name() {
        for name in [&b""[..], b"a-b", b"a b", b"a.b", b"a\0", b"\xc3\xa4", b"a\n"] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }
}
