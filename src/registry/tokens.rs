//! Splitting a line into words, quotes understood: the way the server splits its own command lines.

use std::borrow::Cow;

use smallvec::SmallVec;

/// What quotes may enclose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// The end of a word: the closing quote ends it.
    Ends,
    /// Any part of a word. An escape is one only if something follows it on the line.
    Parts,
}

/// The words of a line. Those without quotes are where they stand.
pub(super) type Words<'a> = SmallVec<[Cow<'a, [u8]>; 4]>;

/// The words of `line`, or `None` if a quote does not close, or closes in front of what must not follow it.
///
/// The server works on C strings; its callers stop at a NUL, so here `line` holds none.
pub(super) fn split(line: &[u8], quoting: Quoting) -> Option<Words<'_>> {
    let mut words = Words::new();
    let mut rest = line;
    loop {
        while let [byte, after @ ..] = rest
            && is_space(*byte)
        {
            rest = after;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let plain = rest.iter().position(|&byte| is_end(byte) || matches!(byte, b'"' | b'\'')).unwrap_or(rest.len());
        if rest.get(plain).is_none_or(|&byte| is_end(byte)) {
            words.push(Cow::Borrowed(&rest[..plain]));
            rest = &rest[rest.len().min(plain + 1)..];
            continue;
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word, quoting)?;
        words.push(Cow::Owned(word));
    }
}

impl Quoting {
    /// Whether what stands in front of `after` may be an escape.
    const fn may_escape(self, after: &[u8]) -> bool {
        matches!(self, Self::Ends) || !after.is_empty()
    }
}

/// C's `isspace`. Rust's own notion lacks the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether a byte ends a word. A vertical tab or form feed does not, although it may stand between two.
fn is_end(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Moves one word from the front of `rest` into `word`.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>, quoting: Quoting) -> Option<&'a [u8]> {
    while let [byte, after @ ..] = rest {
        rest = match byte {
            _ if is_end(*byte) => return Some(after),
            b'"' => take_double_quoted(after, word, quoting)?,
            b'\'' => take_single_quoted(after, word, quoting)?,
            _ => {
                word.push(*byte);
                after
            }
        };
        if quoting == Quoting::Ends && matches!(byte, b'"' | b'\'') {
            // A space must follow, or nothing.
            return rest.first().is_none_or(|&byte| is_space(byte)).then_some(rest);
        }
    }
    Some(rest)
}

/// Moves what stands in front of the closing quote into `word`.
fn take_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>, quoting: Quoting) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && quoting.may_escape(after) =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] if quoting.may_escape(after) => (unescape(*escaped), after),
            [b'"', after @ ..] => return Some(after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

/// Moves what stands in front of the closing quote into `word`.
fn take_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>, quoting: Quoting) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'\'', after @ ..] if quoting.may_escape(after) => (b'\'', after),
            [b'\'', after @ ..] => return Some(after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(line: &str, quoting: Quoting) -> Option<Vec<String>> {
        let words = split(line.as_bytes(), quoting)?;
        Some(words.into_iter().map(|word| String::from_utf8(word.into_owned()).unwrap()).collect())
    }

    fn words(line: &str) -> Option<Vec<String>> {
        quoted(line, Quoting::Ends)
    }

    #[test]
    fn a_word_may_be_quoted_in_parts_where_the_server_takes_that() {
        for (line, expected) in [
            (r#"a"b c"d"e"f 'g'h"#, &["ab cdef", "gh"][..]),
            (r#""a"'b'"#, &["ab"]),
            ("\"a\"\x0bb", &["a\x0bb"]),
            // An escape at the very end is none, so the quote closes.
            (r#""a\""#, &["a\\"]),
            (r"'a\'", &["a\\"]),
            (r#""\x41""#, &["A"]),
        ] {
            assert_eq!(quoted(line, Quoting::Parts).unwrap(), expected, "{line}");
        }
        for line in ["a\"", "'a'b'", "\"a", "\"\\x41", "\"\\"] {
            assert_eq!(quoted(line, Quoting::Parts), None, "{line}");
        }
    }

    #[test]
    fn spaces_of_every_kind_separate_and_surround() {
        assert_eq!(words(" a\tb\r c \x0b\x0c d\r").unwrap(), ["a", "b", "c", "d"]);
        assert!(words("").unwrap().is_empty());
        assert!(words(" \t\x0b").unwrap().is_empty());
    }

    #[test]
    fn a_vertical_tab_inside_a_word_belongs_to_it() {
        assert_eq!(words("a\x0bb c\x0c").unwrap(), ["a\x0bb", "c\x0c"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        assert_eq!(words(r#""a b" x"\x41\n\r\t\b\a\"\\\q\xg1""#).unwrap(), ["a b", "xA\n\r\t\x08\x07\"\\qxg1"]);
    }

    #[test]
    fn single_quotes_know_only_the_quote() {
        assert_eq!(words(r"'a\'b\n\x41 '").unwrap(), [r"a'b\n\x41 "]);
    }

    #[test]
    fn outside_quotes_a_backslash_is_a_backslash() {
        assert_eq!(words(r"a\nb\ c").unwrap(), [r"a\nb\", "c"]);
    }

    #[test]
    fn an_empty_pair_of_quotes_is_a_word() {
        assert_eq!(words("'' \"\"").unwrap(), ["", ""]);
    }

    #[test]
    fn a_quote_that_does_not_close_spoils_the_line() {
        for line in ["\"a", "'a", "a\"", "a '", "\"a\\\"", "'a\\'", "\"a\\", "\"\\x4"] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn a_closing_quote_must_end_the_word() {
        for line in ["\"a\"b", "'a'b", "\"a\"'b'", "''''"] {
            assert_eq!(words(line), None, "{line}");
        }
        assert_eq!(words("\"a\"\x0bb").unwrap(), ["a", "b"]);
    }
}
