//! Sources with something wrong in them, as a rule.

use fastrand::Rng;

/// What may stand where something else was.
const TOKENS: [&str; 34] = [
    "=", ",", ")", "(", "end", "do", "then", "and", "or", "..", "...", "{", "}", "[", "]", ";", "local", "function",
    "return", "nil", "1", "'a'", "\"", "if", "else", "~=", "<", "not", "-", "#", ".", "until", "in", "x",
];

/// Source with one or two tokens changed.
pub fn damage(rng: &mut Rng, source: &str) -> String {
    let mut tokens = tokens(source);
    for _ in 0..rng.usize(1..=2) {
        let at = rng.usize(..tokens.len());
        let other = TOKENS[rng.usize(..TOKENS.len())];
        match rng.u8(..5) {
            0 | 1 => drop(tokens.remove(at)),
            2 => tokens.insert(at, tokens[at]),
            3 => tokens[at] = other,
            _ => tokens.insert(at, other),
        }
        if tokens.is_empty() {
            break;
        }
    }
    tokens.join(" ")
}

/// The words, numbers and signs of a source.
fn tokens(source: &str) -> Vec<&str> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let mut tokens = Vec::new();
    let mut rest = source.trim();
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let long = ["...", "..", "==", "~=", "<=", ">=", "--", "[["].into_iter().find(|sign| rest.starts_with(sign));
        let length = match (long, bytes[0]) {
            (Some(sign), _) => sign.len(),
            (None, quote @ (b'\'' | b'"')) => {
                let end = bytes[1..].iter().position(|byte| *byte == quote);
                end.map_or(1, |end| end + 2)
            }
            _ => bytes.iter().take_while(|byte| is_word(byte)).count().max(1),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// A string of the language that is this text.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in text.chars() {
        match letter {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\'' | '\\' => quoted.extend(['\\', letter]),
            _ => quoted.push(letter),
        }
    }
    quoted.push('\'');
    quoted
}

#[test]
fn tokens_are_kept_whole() {
    assert_eq!(tokens("a.b = 'x y'..c --[[z]]"), ["a", ".", "b", "=", "'x y'", "..", "c", "--", "[[", "z", "]", "]"]);
    assert_eq!(quoted("a'\\\n"), "'a\\'\\\\\\n'");
}
