//! The server's glob patterns: `*`, `?`, `[set]`, `[^set]`, `[a-z]` and `\x`.

use std::ffi::c_char;

/// As many stars as the server follows into each other; one more matches nothing (its guard against deep recursion).
const MAX_STARS: usize = 1000;

/// Whether `pattern` has no special characters: then it matches what equals it, and nothing else.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether `pattern` matches the whole of `text`, exactly as the server's own matcher has it, oddities included: an
/// unterminated set ends with the pattern, an escaped byte in a set ignores `nocase`, and `*` does not match the empty
/// text.
///
/// Takes at most `pattern * text` steps: only the last star is ever retried, since a longer match for an earlier one
/// leaves the rest less text, not more.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // Where to go on after a mismatch: the pattern behind the last star, and the text it was last tried on.
    let mut retry = None;
    let mut stars = 0;

    while let [byte, later @ ..] = left {
        if rest.first() == Some(&b'*') {
            rest = skip_stars(rest);
            if rest.is_empty() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            retry = Some((rest, left));
        } else if let Some(after) = step(rest, *byte, nocase) {
            (rest, left) = (after, later);
        } else if let Some((behind_star, tried)) = retry {
            (rest, left) = (behind_star, &tried[1..]);
            retry = Some((rest, left));
        } else {
            return false;
        }
    }
    if !text.is_empty() {
        rest = skip_stars(rest);
    }
    rest.is_empty()
}

fn skip_stars(mut pattern: &[u8]) -> &[u8] {
    while let [b'*', after @ ..] = pattern {
        pattern = after;
    }
    pattern
}

/// Matches one byte against the first element of `pattern` (not a star): what follows the element, if it matches.
fn step(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', set @ ..] => step_set(set, byte, nocase),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => {
            (fold(*literal, nocase) == fold(byte, nocase)).then_some(after)
        }
    }
}

/// As [`step`], with the opening bracket behind us. The order of the arms is the server's.
fn step_set(set: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    let (negated, mut set) = match set {
        [b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut found = false;
    loop {
        set = match set {
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (found != negated).then_some(after),
            [] => return (found != negated).then_some(set),
            [first, b'-', last, after @ ..] => {
                found |= in_range(*first, *last, byte, nocase);
                after
            }
            [literal, after @ ..] => {
                found |= fold(*literal, nocase) == fold(byte, nocase);
                after
            }
        };
    }
}

/// A range may be given backwards. It is turned round before it is folded, so `[Z-a]` without case is empty.
fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = if as_char(first) > as_char(last) { (last, first) } else { (first, last) };
    let [low, high, byte] = [low, high, byte].map(|byte| if nocase { as_lower_char(byte) } else { as_char(byte) });
    (low..=high).contains(&byte)
}

/// The byte as C's `char`, whose sign depends on the platform.
fn as_char(byte: u8) -> i32 {
    i32::from(byte as c_char)
}

/// As [`as_char`], through `tolower` of the GNU C library: it makes every byte but the one it takes for EOF positive.
fn as_lower_char(byte: u8) -> i32 {
    match as_char(byte.to_ascii_lowercase()) {
        -1 => -1,
        char => char & 0xff,
    }
}

fn fold(byte: u8, nocase: bool) -> u8 {
    if nocase { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn same(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    fn alike(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), true)
    }

    #[test]
    fn literals_match_themselves() {
        assert!(same("lib", "lib"));
        for (pattern, text) in [("lib", "li"), ("li", "lib"), ("lib", "Lib"), ("", "lib")] {
            assert!(!same(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_is_literal_when_it_matches_only_what_equals_it() {
        for pattern in ["", "lib", "li]b", "a-z", "^a", "L!"] {
            assert!(is_literal(pattern.as_bytes()), "{pattern}");
            assert!(same(pattern, pattern));
        }
        for (pattern, other) in [("l*b", "lb"), ("l?b", "lib"), ("l[i]b", "lib"), (r"l\ib", "lib")] {
            assert!(!is_literal(pattern.as_bytes()), "{pattern}");
            assert!(same(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn the_empty_text_is_matched_by_the_empty_pattern_only() {
        assert!(same("", ""));
        assert!(!same("*", ""));
        assert!(!same("?", ""));
    }

    #[test]
    fn a_star_matches_any_stretch() {
        for (pattern, text) in [
            ("*", "lib"),
            ("***", "lib"),
            ("lib*", "lib"),
            ("lib***", "lib"),
            ("*b", "lib"),
            ("*i*", "lib"),
            ("l*b*b", "lbxbb"),
            ("*ab*ab", "aabxab"),
        ] {
            assert!(same(pattern, text), "{pattern} {text}");
        }
        assert!(!same("*ab*ab", "aab"));
        assert!(!same("*a?", "ba"));
    }

    #[test]
    fn a_question_mark_matches_one_byte() {
        assert!(same("l?b", "lib"));
        assert!(!same("l?b", "lb"));
        assert!(!same("?", "ab"));
    }

    #[test]
    fn a_set_matches_its_members_and_ranges() {
        for (pattern, text, expected) in [
            ("[abc]", "b", true),
            ("[abc]", "d", false),
            ("[^abc]", "d", true),
            ("[^abc]", "a", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[a-c]", "-", false),
            ("[a-]", "a", true), // a range from a to ], unterminated
            ("[a-]", "-", false),
            ("[-a]", "-", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[^]a", "ba", true),
            (r"[\]]", "]", true),
            (r"[\]]", r"\", false),
            (r"[\-z]", "-", true),
            (r"[\-z]", "a", false),
        ] {
            assert_eq!(same(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_unterminated_set_ends_with_the_pattern() {
        for (pattern, text, expected) in [
            ("[ab", "b", true),
            ("[ab", "bc", false),
            ("[", "[", false),
            ("[^", "a", true),
            ("[^a", "a", false),
            (r"[a\", r"\", true),
            (r"[\]", "]", true),
            ("x*[a", "xya", true),
        ] {
            assert_eq!(same(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_backslash_takes_the_next_byte_literally() {
        assert!(same(r"\*", "*"));
        assert!(!same(r"\*", "a"));
        assert!(same(r"\[a]", "[a]"));
        assert!(same(r"a\", r"a\")); // the last one stands for itself
    }

    #[test]
    fn without_case_letters_match_both_ways() {
        assert!(alike("LIB1", "lib1"));
        assert!(alike("l*B?", "Lib1"));
        assert!(alike("[a-c][X]", "Bx"));
    }

    #[test]
    fn without_case_an_escaped_member_still_minds_it() {
        assert!(alike(r"[\a]", "a"));
        assert!(!alike(r"[\a]", "A"));
    }

    #[test]
    fn without_case_a_range_is_ordered_before_it_is_folded() {
        assert!(!alike("[Z-a]", "z"));
        assert!(!alike("[a-Z]", "z"));
        assert!(alike("[A-z]", "m"));
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let mut pattern = b"a*".repeat(900);
        pattern.push(b'b');
        let text = [b'a'; 20_000];
        let start = Instant::now();
        assert!(!matches(&pattern, &text, false));
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn beyond_a_thousand_stars_nothing_matches() {
        let text = [b'a'; 3000];
        let pattern = |stars| [b"a*".repeat(stars), b"a".to_vec()].concat();
        assert!(matches(&pattern(MAX_STARS), &text, false));
        assert!(!matches(&pattern(MAX_STARS + 1), &text, false));
    }
}
