//! Texts as the server takes them.

use std::ffi::CString;

use smallvec::SmallVec;

use crate::c_string::to_nul;

/// A simple string or an error for the wire, ended by a NUL. A short one is not allocated.
pub(super) type Line = SmallVec<[u8; 64]>;

/// `text` as a [`Line`]: line breaks become spaces, and it ends at the first NUL.
pub(super) fn one_line(text: &[u8]) -> Line {
    let text = to_nul(text);
    let mut line = Line::with_capacity(text.len() + 1);
    line.extend_from_slice(text);
    line.iter_mut().for_each(|byte| *byte = without_break(*byte));
    line.push(0);
    line
}

/// A space for a line break; any other byte as it is.
pub(super) const fn without_break(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// The part of `text` before its first NUL, as a C string.
pub fn c_text(text: &[u8]) -> CString {
    CString::new(to_nul(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_wire_has_no_breaks_and_ends_at_a_nul() {
        assert_eq!(one_line(b"ERR a\r\nb").as_slice(), b"ERR a  b\0");
        assert_eq!(one_line(b"a\0b").as_slice(), b"a\0");
        assert_eq!(one_line(b"\xff\n").as_slice(), b"\xff \0");
    }
}
