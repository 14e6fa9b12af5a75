//! Texts of clients as the module keeps them: cut, as the server cuts them in its slow log, or hidden.

/// The most bytes of a text.
const BYTES: usize = 128;

/// What stands in the place of what is hidden.
const HIDDEN: &[u8] = b"(redacted)";

/// `text` with no more than its first bytes, and how many more there are; or nothing of it if it is `hidden`.
pub fn excerpt(text: &[u8], hidden: bool) -> Vec<u8> {
    if hidden {
        return HIDDEN.to_vec();
    }
    match text.split_at_checked(BYTES) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => text.to_vec(),
    }
}

/// No more than `most` of `texts`, each as an [`excerpt`]. If there are more, the last one says how many.
pub fn excerpts<'a>(texts: impl ExactSizeIterator<Item = &'a [u8]>, most: usize, hidden: bool) -> Vec<Vec<u8>> {
    let count = texts.len();
    let kept = if count > most { most - 1 } else { count };
    let mut kept: Vec<_> = texts.take(kept).map(|text| excerpt(text, hidden)).collect();
    if count > most {
        kept.push(format!("... ({} more arguments)", count - most + 1).into_bytes());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_as_in_the_slow_log_of_the_server() {
        assert_eq!(excerpt(&[b'x'; 128], false), [b'x'; 128]);
        let cut = String::from_utf8(excerpt(&[b'x'; 130], false)).unwrap();
        assert_eq!(cut, format!("{}... (2 more bytes)", "x".repeat(128)));
    }

    #[test]
    fn of_many_texts_the_last_place_says_how_many_more_there_are() {
        let texts = |count| excerpts(vec![&b"a"[..]; count].into_iter(), 32, false);
        assert_eq!(texts(32), vec![b"a".to_vec(); 32]);
        assert_eq!(texts(33).len(), 32);
        assert_eq!(texts(33)[31], b"... (2 more arguments)");
    }

    #[test]
    fn nothing_is_left_of_what_is_hidden() {
        assert_eq!(excerpts([&b"secret"[..], b""].into_iter(), 32, true), [HIDDEN, HIDDEN]);
    }
}
