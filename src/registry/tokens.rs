//! Splitting a line into words, quotes understood: the way the server splits its own command lines.

/// The words of `line`, or `None` if a quote does not close, or closes in front of something else than a space.
///
/// The server works on C strings; its callers stop at a NUL, so here `line` holds none.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
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
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

/// C's `isspace`. Rust's own notion lacks the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Moves one word from the front of `rest` into `word`. A vertical tab or form feed does not end a word, although it
/// may stand between two.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => return take_double_quoted(rest, word),
            b'\'' => return take_single_quoted(rest, word),
            _ => word.push(*byte),
        }
    }
    Some(rest)
}

fn take_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [b'"', after @ ..] => return end_of_word(after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [b'\'', after @ ..] => return end_of_word(after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

/// A closing quote ends the word, so a space or nothing must follow.
fn end_of_word(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|&byte| is_space(byte)).then_some(rest)
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

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
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
