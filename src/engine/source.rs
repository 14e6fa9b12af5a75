//! Sources as the server's compiler reads them, put so that the VM's compiler reads the same.
//!
//! A line ends with `\n`, `\r`, or both in any order; the VM's compiler knows `\n` and `\r\n`. In a string in quotes, a
//! backslash before a letter without a meaning is left out; to the VM's compiler `\x`, `\u` and `\z` mean something. A
//! hexadecimal number of any length is a number; the VM's compiler cuts it to 64 bits. A NUL in a string or a comment
//! is a character; the VM's compiler takes it for the end.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2_iter, memmem};

use super::number;

/// There is a NUL where none may be.
#[derive(Debug, PartialEq)]
pub struct StrayNul {
    /// The line of the first.
    pub line: usize,
}

/// The source for the VM's compiler, which has no NUL.
///
/// # Errors
/// A NUL is neither in a string nor in a comment.
pub fn settled(source: &[u8]) -> Result<Cow<'_, [u8]>, StrayNul> {
    let lines = memchr(b'\r', source).map(|first| settled_lines(source, first));
    let Some(settled) = settled_tokens(lines.as_deref().unwrap_or(source)) else {
        return Ok(lines.map_or(Cow::Borrowed(source), Cow::Owned));
    };
    match memchr(0, &settled) {
        None => Ok(Cow::Owned(settled)),
        Some(nul) => Err(StrayNul { line: 1 + memchr_iter(b'\n', &settled[..nul]).count() }),
    }
}

/// The first NUL of a source that may have none, wherever it is.
pub fn first_nul(source: &[u8]) -> Option<StrayNul> {
    let before = settled_lines(&source[..memchr(0, source)?], 0);
    Some(StrayNul { line: 1 + memchr_iter(b'\n', &before).count() })
}

/// The source with `\n` for each end of a line. The first `\r` is at `first` or later.
fn settled_lines(source: &[u8], first: usize) -> Vec<u8> {
    // It may belong to a `\n` before it.
    let start = if first > 0 && source[first - 1] == b'\n' { first - 1 } else { first };
    let mut settled = Vec::with_capacity(source.len());
    settled.extend_from_slice(&source[..start]);
    let mut rest = &source[start..];
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, rest.first()) {
            (b'\r', Some(b'\n')) | (b'\n', Some(b'\r')) => {
                settled.push(b'\n');
                rest = &rest[1..];
            }
            (b'\r', _) => settled.push(b'\n'),
            _ => settled.push(*byte),
        }
    }
    settled
}

/// Whether there is anything that [`Scanner`] could have to rewrite.
fn may_need_rewriting(source: &[u8]) -> bool {
    memchr(0, source).is_some()
        || memchr_iter(b'\\', source).any(|at| source.get(at + 1).is_some_and(|next| b"xuz".contains(next)))
        || memchr2_iter(b'x', b'X', source).any(|at| at > 0 && is_wide(&source[at - 1..]))
}

/// The source with other tokens where the two compilers differ; None when there are none, and no NUL.
fn settled_tokens(source: &[u8]) -> Option<Vec<u8>> {
    if !may_need_rewriting(source) {
        return None;
    }
    let mut scanner = Scanner { source, at: 0, copied: 0, settled: Vec::new(), braces: Vec::new() };
    while scanner.token() {}
    if scanner.copied == 0 && memchr(0, source).is_none() {
        return None;
    }
    scanner.settled.extend_from_slice(&source[scanner.copied..]);
    Some(scanner.settled)
}

/// What an open brace belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Brace {
    Table,
    /// An expression in a string between backticks.
    Text,
}

/// Goes through the tokens as the VM's compiler does, and rewrites some.
struct Scanner<'a> {
    source: &'a [u8],
    at: usize,
    /// Up to here the source is in `settled`.
    copied: usize,
    settled: Vec<u8>,
    braces: Vec<Brace>,
}

impl Scanner<'_> {
    /// Goes past a token; false at the end.
    fn token(&mut self) -> bool {
        let rest = &self.source[self.at..];
        match *rest {
            [] => return false,
            [b'-', b'-', ..] => self.comment(),
            [b'[', b'[' | b'=', ..] => {
                let start = self.at;
                match self.long_bracket() {
                    Some(inside) if inside.end < self.at => self.without_nuls(start, inside),
                    Some(_) => self.blank_nuls(start),
                    None => self.at += 1,
                }
            }
            [quote @ (b'"' | b'\''), ..] => self.quoted(quote),
            [b'`', ..] => {
                self.at += 1;
                self.text();
            }
            [b'{', ..] => {
                self.braces.push(Brace::Table);
                self.at += 1;
            }
            [b'}', ..] => {
                self.at += 1;
                if self.braces.pop() == Some(Brace::Text) {
                    self.text();
                }
            }
            [b'0'..=b'9', ..] => self.number(),
            [byte, ..] if is_name(byte) => self.at += rest.iter().take_while(|&&byte| is_name(byte)).count(),
            _ => self.at += 1,
        }
        true
    }

    fn comment(&mut self) {
        let start = self.at;
        self.at += 2;
        if self.source.get(self.at) != Some(&b'[') || self.long_bracket().is_none() {
            self.at = memchr(b'\n', &self.source[self.at..]).map_or(self.source.len(), |length| self.at + length);
        }
        self.blank_nuls(start);
    }

    /// Goes past long brackets, if there are, and says where what is between them stands; to the end if they are not
    /// closed.
    fn long_bracket(&mut self) -> Option<Range<usize>> {
        let rest = &self.source[self.at + 1..];
        let level = rest.iter().take_while(|&&byte| byte == b'=').count();
        if rest.get(level) != Some(&b'[') {
            return None;
        }
        let close = [b"]".as_slice(), &b"=".repeat(level), b"]"].concat();
        let start = self.at + level + 2;
        let length = memmem::find(&self.source[start..], &close);
        let end = length.map_or(self.source.len(), |length| start + length);
        self.at = length.map_or(end, |_| end + close.len());
        Some(start..end)
    }

    /// Writes the string between long brackets that ends here, from `start` on, in quotes if it has a NUL. Each end of
    /// a line follows a `\z`, which leaves it out, with any blanks, and so keeps the lines.
    fn without_nuls(&mut self, start: usize, inside: Range<usize>) {
        let text = &self.source[inside];
        if memchr(0, text).is_none() {
            return;
        }
        let mut quoted = vec![b'"'];
        for (index, &byte) in text.iter().enumerate() {
            match byte {
                // It does not count.
                b'\n' if index == 0 => quoted.extend_from_slice(b"\\z\n"),
                b'\n' => quoted.extend_from_slice(b"\\n\\z\n"),
                b'"' | b'\\' => quoted.extend_from_slice(&[b'\\', byte]),
                0..=b' ' => quoted.extend_from_slice(format!("\\{byte:03}").as_bytes()),
                _ => quoted.push(byte),
            }
        }
        quoted.push(b'"');
        self.replace(start..self.at, &quoted);
    }

    /// Writes a blank for each NUL from `start` on.
    fn blank_nuls(&mut self, start: usize) {
        let source = self.source;
        for nul in memchr_iter(0, &source[start..self.at]) {
            self.replace(start + nul..start + nul + 1, b" ");
        }
    }

    /// Goes past a NUL in a string, for which there may be a backslash before it: `length` bytes in all.
    fn nul(&mut self, length: usize) {
        self.replace(self.at..self.at + length, b"\\000");
        self.at += length;
    }

    /// Goes past a string in quotes, or up to where it breaks off.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.source.get(self.at) {
            match byte {
                b'\n' => return,
                0 => self.nul(1),
                b'\\' if self.source.get(self.at + 1) == Some(&0) => self.nul(2),
                b'\\' => {
                    if self.source.get(self.at + 1).is_some_and(|next| b"xuz".contains(next)) {
                        self.replace(self.at..self.at + 1, b"");
                    }
                    self.at = self.source.len().min(self.at + 2);
                }
                _ => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }

    /// Goes past a string between backticks, or up to an expression in it. The server has none: it means what it means.
    fn text(&mut self) {
        while let Some(&byte) = self.source.get(self.at) {
            match byte {
                b'\n' => return,
                0 => self.nul(1),
                b'\\' if self.source.get(self.at + 1) == Some(&0) => self.nul(2),
                b'\\' if self.source[self.at + 1..].starts_with(b"u{") => self.at += 3,
                b'\\' => self.at = self.source.len().min(self.at + 2),
                b'{' => {
                    self.braces.push(Brace::Text);
                    self.at += 1;
                    return;
                }
                _ => {
                    self.at += 1;
                    if byte == b'`' {
                        return;
                    }
                }
            }
        }
    }

    /// Goes past a number. One that the VM's compiler would cut is written in another way.
    fn number(&mut self) {
        let rest = &self.source[self.at..];
        let length = number_length(rest);
        let token = &rest[..length];
        if is_wide(rest)
            && let Some((value, used)) = number::read(token)
            && used == length
        {
            let text = number::general(value, 17);
            self.replace(self.at..self.at + length, if value.is_finite() { &text } else { b"1e999" });
        }
        self.at += length;
    }

    /// Writes `other` in place of what stands at `range`, behind all that was replaced.
    fn replace(&mut self, range: Range<usize>, other: &[u8]) {
        self.settled.extend_from_slice(&self.source[self.copied..range.start]);
        self.settled.extend_from_slice(other);
        self.copied = range.end;
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How many bytes the server's compiler takes for the number at the start of `text`.
fn number_length(text: &[u8]) -> usize {
    let mut length = text.iter().take_while(|&&byte| byte.is_ascii_digit() || byte == b'.').count();
    if matches!(text.get(length), Some(b'e' | b'E')) {
        length += 1 + usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
    }
    length + text[length.min(text.len())..].iter().take_while(|&&byte| is_name(byte)).count()
}

/// Whether `text` begins with a hexadecimal number that the VM's compiler reads otherwise or not at all: one with more
/// digits than 64 bits have, or with an exponent.
fn is_wide(text: &[u8]) -> bool {
    let [b'0', b'x' | b'X', digits @ ..] = text else {
        return false;
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    count > 16 || (count > 0 && matches!(digits.get(count), Some(b'p' | b'P')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        String::from_utf8(settled(source.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn each_end_of_a_line_is_one() {
        assert_eq!(text("a\nb\r\nc\n\rd\re\r\rf\n\n\r\ng"), "a\nb\nc\nd\ne\n\nf\n\n\ng");
        assert_eq!(text("\r\n\r\n"), "\n\n");
        assert_eq!(text("\n\r\n\r"), "\n\n");
        assert!(matches!(settled(b"no end\n"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn a_backslash_before_a_letter_without_a_meaning_is_left_out_of_strings_in_quotes() {
        assert_eq!(text(r#"return '\x41' .. "\u{41}\z" .. '\\x\'\x'"#), r#"return 'x41' .. "u{41}z" .. '\\x\'x'"#);
        for same in [
            r"return [[\x41]] --\x41",
            "--[==[ ' ]] \\x ]==] return 1",
            r"return `\x41{'a'}\u{41}`",
            r"return '\n\065\\'",
            "return a[b[1]] -- '\\x",
        ] {
            assert_eq!(text(same), same);
        }
        assert_eq!(text(r"return `{'\x41'}\x41\{` .. '\x'"), r"return `{'x41'}\x41\{` .. 'x'");
        assert_eq!(text(r"return `{ {'`\x'} }\x` '\x'"), r"return `{ {'`x'} }\x` 'x'");
        assert_eq!(text("return [=[ ' ]] ]=] '\\x'"), "return [=[ ' ]] ]=] 'x'");
        assert_eq!(text("x = '\\x\n \\x"), "x = 'x\n \\x");
        assert_eq!(text("--[[x]] '\\x' --[x \n '\\z'"), "--[[x]] 'x' --[x \n 'z'");
    }

    #[test]
    fn hexadecimal_numbers_of_any_length_are_numbers() {
        assert_eq!(text("return 0x1ffffffffffffffff"), "return 3.6893488147419103e+19");
        assert_eq!(text("return 0x10000000000000000 + 0x1p4 - a0x1p4"), "return 1.8446744073709552e+19 + 16 - a0x1p4");
        assert_eq!(text(&format!("return 0x{}", "f".repeat(300))), "return 1e999");
        for same in ["return 0xffffffffffffffff", "return '0x1p4'", "return 0x1p", "return 0x1p4q", "return 0x", "0xg"]
        {
            assert_eq!(text(same), same);
        }
    }

    #[test]
    fn a_nul_in_a_string_or_a_comment_is_a_character() {
        for (source, expected) in [
            ("'a\0b' .. \"\0\"", r#"'a\000b' .. "\000""#),
            (
                "'\\\0\0' '\\\\\0' '\\1\0' '\x001' '\\x\0' '\\\n\0'",
                "'\\000\\000' '\\\\\\000' '\\1\\000' '\\0001' 'x\\000' '\\\n\\000'",
            ),
            ("`\0\\\0{'\0'}\0`", r"`\000\000{'\000'}\000`"),
            ("--\0\0[[\n--[\0[ ]] --\0", "--  [[\n--[ [ ]] -- "),
            ("--[=[\0]]\0]=]'\0'--[[\0", "--[=[ ]] ]=]'\\000'--[[ "),
            ("[[\0]] [==[\"'\\ ]]\0]==]", r#""\000" "\"'\\\032]]\000""#),
            ("[[\na\n\n \0]][[\n\n\0\n]]", "\"\\z\na\\n\\z\n\\n\\z\n\\032\\000\"\"\\z\n\\n\\z\n\\000\\n\\z\n\""),
            ("[[\r\0\n\r]]", "\"\\z\n\\000\\n\\z\n\""),
            ("[[a]] '\0 [=[", "[[a]] '\\000 [=["),
            ("[[\0]", "[[ ]"),
        ] {
            assert_eq!(text(source), expected);
        }
    }

    #[test]
    fn a_nul_in_code_is_found() {
        for (source, line) in [
            ("\0", 1),
            ("return 1\0", 1),
            ("return '\0' --\0\n\0", 2),
            ("a\r\nb\n\r'\\\n\0'[[\n\0\n]]\0\n\0", 6),
            ("[\0[]]", 1),
            ("-\0-", 1),
            ("\n`{\0}`", 2),
            ("return '\n\0'", 2),
        ] {
            assert_eq!(settled(source.as_bytes()), Err(StrayNul { line }), "{source:?}");
        }
    }

    #[test]
    fn the_first_nul_is_found_wherever_it_is() {
        for (source, line) in [("\0", 1), ("\r\n\n\r'\0\n\0'", 3), ("--[[\r\0]]", 2)] {
            assert_eq!(first_nul(source.as_bytes()), Some(StrayNul { line }), "{source:?}");
        }
        assert_eq!(first_nul(b"\r\n"), None);
    }

    /// In any source, NULs move no line, and none is left.
    #[test]
    fn a_nul_moves_no_line() {
        let pieces = ["\0", "'", "\"", "`", "\\", "{", "}", "[[", "]]", "[=[", "]=]", "--", "\n", " ", "z", "1"];
        let mut random = fastrand::Rng::with_seed(1);
        let mut taken = 0;
        for _ in 0..20_000 {
            let source: String = (0..random.usize(0..12)).map(|_| *random.choice(&pieces).unwrap()).collect();
            let Ok(settled) = settled(source.as_bytes()) else {
                assert!(source.contains('\0'), "{source:?}");
                continue;
            };
            taken += usize::from(source.contains('\0'));
            let lines = |text: &[u8]| memchr_iter(b'\n', text).count();
            assert_eq!(lines(&settled), lines(source.as_bytes()), "{source:?}");
            assert_eq!(memchr(0, &settled), None, "{source:?}");
        }
        assert!(taken > 1_000, "{taken}");
    }

    #[test]
    fn every_byte_that_is_not_rewritten_stays() {
        let pieces =
            ["'", "\"", "`", "\\", "x", "u{", "}", "{", "[[", "]]", "[=[", "]=]", "--", "\n", "0x1p4", " ", "z"];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let source: String = (0..random.usize(0..12)).map(|_| *random.choice(&pieces).unwrap()).collect();
            let dropped = text(&source).replace("16", "0x1p4");
            let mut left = dropped.bytes().peekable();
            for byte in source.bytes() {
                if left.peek() == Some(&byte) {
                    left.next();
                } else {
                    assert_eq!(byte, b'\\', "{source:?} became {dropped:?}");
                }
            }
            assert_eq!(left.next(), None, "{source:?} became {dropped:?}");
        }
    }
}
