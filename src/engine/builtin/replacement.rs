//! The replacement of `gsub`, and classes in patterns, as the server understands them.

use memchr::memchr;

/// The replacement in which a `%` stands before nothing but a digit or another `%`; None when it is that already.
///
/// The server takes what follows a `%` as it is when it is no digit. After one at the end it finds the NUL that ends
/// the string.
pub fn plain_escapes(replacement: &[u8]) -> Option<Vec<u8>> {
    let is_plain = |next: Option<&u8>| next.is_some_and(|next| next.is_ascii_digit() || *next == b'%');
    let mut at = 0;
    loop {
        at += memchr(b'%', &replacement[at..])?;
        if !is_plain(replacement.get(at + 1)) {
            break;
        }
        at += 2;
    }
    let mut plain = replacement[..at].to_vec();
    let mut rest = replacement[at..].iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let next = rest.next();
        if is_plain(next) {
            plain.push(b'%');
        }
        plain.push(next.copied().unwrap_or(0));
    }
    Some(plain)
}

/// The pattern without the class `%g`, which the server takes for the letter, and up to its first NUL, which is where
/// the server's end; None when it has neither. One that is malformed stays so.
pub fn plain_classes(pattern: &[u8]) -> Option<Vec<u8>> {
    let end = memchr(0, pattern);
    let pattern = &pattern[..end.unwrap_or(pattern.len())];
    let is_class = |pair: &[u8]| pair[0] == b'%' && pair[1] | 0x20 == b'g';
    if !pattern.windows(2).any(is_class) {
        return end.map(|_| pattern.to_vec());
    }
    let mut plain = Vec::with_capacity(pattern.len());
    let (mut at, mut in_set) = (0, false);
    while at < pattern.len() {
        let rest = &pattern[at..];
        let taken = match rest {
            [b'%', letter @ (b'g' | b'G'), rest @ ..] => {
                plain.push(*letter);
                // What would be a range now is none: its dash is a character of the set.
                if in_set && rest.first() == Some(&b'-') && rest.get(1) != Some(&b'-') {
                    plain.extend_from_slice(b"%-");
                    3
                } else {
                    2
                }
            }
            [b'%', b'b', _, _, ..] if !in_set => {
                plain.extend_from_slice(&rest[..4]);
                4
            }
            [b'%', _, ..] => {
                plain.extend_from_slice(&rest[..2]);
                2
            }
            [b'[', rest @ ..] if !in_set => {
                in_set = true;
                // A bracket that comes first belongs to the set.
                let length = match rest {
                    [b'^', b']', ..] => 3,
                    [b']', ..] | [b'^', ..] => 2,
                    _ => 1,
                };
                plain.extend_from_slice(&pattern[at..at + length]);
                length
            }
            [first, ..] => {
                in_set &= *first != b']';
                plain.push(*first);
                1
            }
            [] => break,
        };
        at += taken;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_takes_the_character_after_it() {
        let plain = |text: &str| plain_escapes(text.as_bytes()).map(|plain| String::from_utf8(plain).unwrap());
        assert_eq!(plain("none"), None);
        assert_eq!(plain("%0 %1%% %9"), None);
        assert_eq!(plain("50% off"), Some("50 off".into()));
        assert_eq!(plain("%1%a%%%%%-"), Some("%1a%%%%-".into()));
        assert_eq!(plain("100%"), Some("100\0".into()));
        assert_eq!(plain("%%%"), Some("%%\0".into()));
    }

    #[test]
    fn the_class_of_printable_characters_is_a_letter() {
        let plain = |text: &str| plain_classes(text.as_bytes()).map(|plain| String::from_utf8(plain).unwrap());
        assert_eq!(plain("%a+"), None);
        assert_eq!(plain("%g+"), Some("g+".into()));
        assert_eq!(plain("%%g%G"), Some("%%gG".into()));
        assert_eq!(plain("%b%g%g"), Some("%b%gg".into()));
        assert_eq!(plain("[%g-z]"), Some("[g%-z]".into()));
        assert_eq!(plain("[^]%g]%g-"), Some("[^]g]g-".into()));
        assert_eq!(plain("[%]%g-]-"), Some("[%]g%-]-".into()));
        assert_eq!(plain("a\0%g"), Some("a".into()));
    }
}
