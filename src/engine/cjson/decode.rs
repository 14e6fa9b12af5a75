//! JSON to values.

use smallvec::SmallVec;

use super::scan::skip;
use super::settings::Settings;
use super::shared::MARK;
use crate::engine::argument::bad;
use crate::engine::limits::{LENGTH, SLOTS, STRIDE};
use crate::engine::number;
use crate::engine::pace::Pace;
use crate::engine::stack::{Kind, Outcome, Raise, Stack};
use crate::engine::state::VmState;

/// How many values wait on the stack before they go into their table: a table that is made when its values are known
/// has the right size from the start.
const WAITING: i32 = 256;
/// Values wait only in a table that begins below this slot ...
const WAITING_BELOW: i32 = 4_000;
/// ... and only if the script has not set a depth above this one, so that room is left for the deepest nesting.
const WAITING_DEPTH: i32 = 1_500;

/// The slots that an array takes while it is marked: itself, its metatable and the mark.
const MARKING: i32 = 3;

/// `cjson.decode(text)`.
pub fn decode(stack: &Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(bad(stack, "decode", 1, "expected 1 argument"));
    }
    match stack.kind(1) {
        Kind::String | Kind::Number => {}
        _ => {
            let text = format!("string expected, got {}", stack.type_name(1));
            return Err(bad(stack, "decode", 1, &text));
        }
    }
    let text = stack.text(1).unwrap_or_default();
    if text.len() > LENGTH {
        return Err(Raise::at("JSON text is too long"));
    }
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Raise::at("JSON parser does not support UTF-16 or UTF-32"));
    }
    let settings = Settings::of(stack);
    let state = VmState::of(stack);
    let safepoint = || stack.safepoint();
    let mut lexer = Lexer::new(text, state.json.buffer.take(), settings.decode_invalid(), &safepoint);
    let (marks, limit) = (settings.mark_arrays(), settings.decode_depth());
    let result = Decoder { stack, open: SmallVec::new(), slots: 1, limit, marks }.run(&mut lexer);
    state.json.buffer.give_back(lexer.string);
    result.map(|()| 1)
}

/// What a text consists of. The bytes of a string are left in the lexer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// What cannot be read, and why.
    Error(&'static str),
}

impl Token {
    /// What the server's library calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(reason) => reason,
        }
    }
}

/// A table that is being filled.
struct Open {
    array: bool,
    /// The slot of the table. While it is nil, the table has not been made. Waiting values are above it.
    table: i32,
    made: bool,
    /// How many slots wait, and how many may.
    waiting: i32,
    most: i32,
    /// How many elements are in the table.
    stored: i32,
}

struct Decoder<'a> {
    stack: &'a Stack,
    /// The tables around the current value, outermost first: a list of our own, so that no nesting ends the native
    /// stack.
    open: SmallVec<[Open; 16]>,
    /// The slots that the server's library would use now.
    slots: i32,
    /// The deepest nesting allowed.
    limit: i32,
    /// Whether arrays are marked.
    marks: bool,
}

impl Decoder<'_> {
    /// Reads a whole text and leaves its value on top.
    fn run(mut self, lexer: &mut Lexer) -> Result<(), Raise> {
        let stack = self.stack;
        let mut pace = Pace::default();
        let mut token = lexer.next();
        loop {
            pace.step(stack);
            // Here a value begins with `token`.
            match token {
                Token::String => stack.push_bytes(lexer.string()),
                Token::Number(value) => stack.push_number(value),
                Token::Boolean(value) => stack.push_boolean(value),
                Token::Null => stack.push_null(),
                Token::ArrayBegin => {
                    self.begin(true, lexer)?;
                    token = lexer.next();
                    if token != Token::ArrayEnd {
                        continue;
                    }
                    self.end();
                }
                Token::ObjectBegin => {
                    self.begin(false, lexer)?;
                    token = lexer.next();
                    if token != Token::ObjectEnd {
                        token = self.key(token, lexer)?;
                        continue;
                    }
                    self.end();
                }
                _ => return Err(lexer.expected("value", token)),
            }
            // Here a value is on top.
            loop {
                token = lexer.next();
                let Some(open) = self.open.last_mut() else {
                    return if token == Token::End { Ok(()) } else { Err(lexer.expected("the end", token)) };
                };
                open.waiting += if open.array { 1 } else { 2 };
                if open.waiting >= open.most {
                    open.store(stack);
                }
                match token {
                    Token::Comma if open.array => token = lexer.next(),
                    Token::Comma => {
                        token = lexer.next();
                        token = self.key(token, lexer)?;
                    }
                    Token::ArrayEnd if open.array => {
                        self.end();
                        continue;
                    }
                    Token::ObjectEnd if !open.array => {
                        self.end();
                        continue;
                    }
                    _ => {
                        let wanted = if open.array { "comma or array end" } else { "comma or object end" };
                        return Err(lexer.expected(wanted, token));
                    }
                }
                break;
            }
        }
    }

    /// Pushes a key and gives the token after its colon.
    fn key(&self, token: Token, lexer: &mut Lexer) -> Result<Token, Raise> {
        if token != Token::String {
            return Err(lexer.expected("object key string", token));
        }
        self.stack.push_bytes(lexer.string());
        let colon = lexer.next();
        if colon != Token::Colon {
            return Err(lexer.expected("colon", colon));
        }
        Ok(lexer.next())
    }

    /// Opens a table.
    fn begin(&mut self, array: bool, lexer: &Lexer) -> Result<(), Raise> {
        let stack = self.stack;
        let depth = i32::try_from(self.open.len()).unwrap_or(i32::MAX - 1) + 1;
        let table = stack.top() + 1;
        let waits = table < WAITING_BELOW && self.limit <= WAITING_DEPTH;
        let most = match (waits, array) {
            (true, _) => WAITING,
            (false, true) => 1,
            (false, false) => 2,
        };
        // The table and its element, or the table, a key and a value; as the server's library counts.
        let needed = if array { 2 } else { 3 };
        let nested = depth <= self.limit && self.slots + needed <= SLOTS;
        // What waits is copied when it is stored.
        let room = if waits { WAITING + 5 } else { needed.max(MARKING) };
        if !nested || !stack.reserve(room) {
            let position = lexer.at;
            return Err(Raise::at(&format!("Found too many nested data structures ({depth}) at character {position}")));
        }
        if array && self.marks && self.slots + MARKING > SLOTS {
            return Err(Raise::at("max lua stack reached"));
        }
        if waits {
            stack.push_nil();
        } else {
            stack.push_table(0, 0);
        }
        self.open.push(Open { array, table, made: !waits, waiting: 0, most, stored: 0 });
        self.slots += needed - 1;
        Ok(())
    }

    /// Closes the innermost table, which is the value on top then.
    fn end(&mut self) {
        if let Some(mut open) = self.open.pop() {
            open.store(self.stack);
            if open.array && self.marks {
                mark(self.stack);
            }
            self.slots -= if open.array { 1 } else { 2 };
        }
    }
}

/// Marks the table on top as an array. May raise for want of memory.
fn mark(stack: &Stack) {
    stack.push_table(0, 1);
    stack.push_boolean(true);
    stack.raw_set_field(-2, MARK);
    stack.set_readonly(-1, true);
    stack.set_metatable(-2);
}

impl Open {
    /// Moves the waiting values into the table. May raise for want of memory.
    fn store(&mut self, stack: &Stack) {
        let count = std::mem::take(&mut self.waiting);
        let sized = !self.made;
        if sized {
            let count = usize::try_from(count).unwrap_or_default();
            if self.array {
                stack.push_table(count, 0);
            } else {
                stack.push_table(0, count / 2);
            }
            stack.replace(self.table);
            self.made = true;
        }
        if self.array {
            if sized || count == 1 {
                // There is a place for each of them, so the last may be the first to go.
                for element in (self.stored + 1..=self.stored + count).rev() {
                    stack.raw_set_at(self.table, element);
                }
            } else {
                for element in 1..=count {
                    stack.push_value(self.table + element);
                    stack.raw_set_at(self.table, self.stored + element);
                }
                stack.set_top(self.table);
            }
            self.stored += count;
        } else if count == 2 {
            stack.raw_set(self.table);
        } else {
            // In the order of the text: of equal keys the last counts.
            for slot in (self.table + 1..self.table + count).step_by(2) {
                stack.push_value(slot);
                stack.push_value(slot + 1);
                stack.raw_set(self.table);
            }
            stack.set_top(self.table);
        }
    }
}

/// Splits a text into tokens.
struct Lexer<'a> {
    text: &'a [u8],
    /// What is read next.
    at: usize,
    /// Where the last token began, or where reading it failed.
    start: usize,
    /// The last string: a part of the text, or what its escapes stand for.
    plain: Option<&'a [u8]>,
    string: Vec<u8>,
    /// Whether numbers that JSON does not have are read.
    lenient: bool,
    /// Called now and then inside a long string.
    safepoint: &'a dyn Fn(),
}

impl<'a> Lexer<'a> {
    const fn new(text: &'a [u8], string: Vec<u8>, lenient: bool, safepoint: &'a dyn Fn()) -> Self {
        Self { text, at: 0, start: 0, plain: None, string, lenient, safepoint }
    }

    /// The byte at `at`; the text ends with a NUL, as does one with a NUL inside.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn string(&self) -> &[u8] {
        self.plain.unwrap_or(&self.string)
    }

    /// The error for a token that is not what the grammar wants.
    fn expected(&self, wanted: &str, found: Token) -> Raise {
        let (found, position) = (found.name(), self.start + 1);
        Raise::at(&format!("Expected {wanted} but found {found} at character {position}"))
    }

    fn error(&mut self, reason: &'static str) -> Token {
        self.start = self.at;
        Token::Error(reason)
    }

    fn next(&mut self) -> Token {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.start = self.at;
        let token = match self.byte(self.at) {
            b'"' => return self.next_string(),
            b'-' | b'0'..=b'9' => {
                if !self.lenient && self.is_invalid_number() {
                    return self.error("invalid number");
                }
                return self.next_number();
            }
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return Token::End,
            b'+' | b'f' | b'i' | b'I' | b'n' | b'N' | b't' => return self.next_word(),
            _ => return self.error("invalid token"),
        };
        self.at += 1;
        token
    }

    fn next_word(&mut self) -> Token {
        let (word, token): (&[u8], _) = match self.byte(self.at) {
            b't' => (b"true", Token::Boolean(true)),
            b'f' => (b"false", Token::Boolean(false)),
            _ => (b"null", Token::Null),
        };
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return token;
        }
        if self.lenient && self.is_invalid_number() {
            return self.next_number();
        }
        self.error("invalid token")
    }

    /// Whether what follows is a number that C reads and JSON does not have. Not all such numbers are recognised.
    fn is_invalid_number(&self) -> bool {
        if self.byte(self.at) == b'+' {
            return true;
        }
        let at = self.at + usize::from(self.byte(self.at) == b'-');
        if self.byte(at) == b'0' {
            return matches!(self.byte(at + 1), b'x' | b'X' | b'0'..=b'9');
        }
        let word = self.text.get(at..at + 3).unwrap_or_default();
        word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
    }

    fn next_number(&mut self) -> Token {
        match number::read(&self.text[self.at..]) {
            Some((value, length)) => {
                self.at += length;
                Token::Number(value)
            }
            None => self.error("invalid number"),
        }
    }

    fn next_string(&mut self) -> Token {
        self.at += 1;
        let start = self.at;
        self.at += plain(&self.text[start..]);
        if self.byte(self.at) == b'"' {
            self.plain = Some(&self.text[start..self.at]);
            self.at += 1;
            return Token::String;
        }
        self.plain = None;
        self.string.clear();
        self.string.extend_from_slice(&self.text[start..self.at]);
        let mut next_safepoint = self.at + STRIDE;
        loop {
            if self.at > next_safepoint {
                next_safepoint = self.at + STRIDE;
                (self.safepoint)();
            }
            match self.byte(self.at) {
                b'"' => break,
                b'\\' => {
                    let escaped = match self.byte(self.at + 1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let Some((character, length)) = self.unicode() else {
                                return self.error("invalid unicode escape code");
                            };
                            self.string.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                            self.at += length;
                            continue;
                        }
                        _ => return self.error("invalid escape code"),
                    };
                    self.string.push(escaped);
                    self.at += 2;
                }
                _ => {
                    let length = plain(&self.text[self.at..]);
                    if length == 0 {
                        return self.error("unexpected end of string");
                    }
                    self.string.extend_from_slice(&self.text[self.at..self.at + length]);
                    self.at += length;
                }
            }
        }
        self.at += 1;
        Token::String
    }

    /// The character of the `\u` escape that follows, and the escape's length; two escapes make one character beyond
    /// the first 65,536.
    fn unicode(&self) -> Option<(char, usize)> {
        let first = self.hex(self.at + 2)?;
        if let Some(character) = char::from_u32(first) {
            return Some((character, 6));
        }
        if first >= 0xdc00 || self.byte(self.at + 6) != b'\\' || self.byte(self.at + 7) != b'u' {
            return None;
        }
        let second = self.hex(self.at + 8)?;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        let code = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
        Some((char::from_u32(code)?, 12))
    }

    /// Four hexadecimal digits.
    fn hex(&self, at: usize) -> Option<u32> {
        self.text.get(at..at + 4)?.iter().try_fold(0, |value, &byte| Some(value << 4 | char::from(byte).to_digit(16)?))
    }
}

/// How many of the first bytes stand for themselves in a string.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let special = |byte| (byte == b'"') | (byte == b'\\') | (byte == 0);
    skip(bytes, special, |byte| SPECIAL[usize::from(byte)])
}

/// The bytes that end a string or do not stand for themselves in it.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    special[0] = true;
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &[u8], lenient: bool) -> Vec<Token> {
        let mut lexer = Lexer::new(text, Vec::new(), lenient, &|| {});
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next();
            tokens.push(token);
            if matches!(token, Token::End | Token::Error(_)) {
                return tokens;
            }
        }
    }

    fn string(text: &[u8]) -> Result<Vec<u8>, (&'static str, usize)> {
        let mut lexer = Lexer::new(text, Vec::new(), true, &|| {});
        match lexer.next() {
            Token::Error(reason) => Err((reason, lexer.start + 1)),
            token => {
                assert_eq!(token, Token::String);
                Ok(lexer.string().to_vec())
            }
        }
    }

    #[test]
    fn a_text_is_split() {
        use Token::{ArrayBegin, ArrayEnd, Boolean, Colon, Comma, End, Error, Null, Number, ObjectBegin, ObjectEnd};
        assert_eq!(tokens(b" {\t}\r\n[ ]", true), [ObjectBegin, ObjectEnd, ArrayBegin, ArrayEnd, End]);
        assert_eq!(
            tokens(b"true,false:nullx", true),
            [Boolean(true), Comma, Boolean(false), Colon, Null, Error("invalid token")]
        );
        assert_eq!(tokens(b"1 -2.5e1 \0 3", true), [Number(1.0), Number(-25.0), End]);
        assert_eq!(
            tokens(b"01 0x10 +5 inf", true),
            [Number(1.0), Number(16.0), Number(5.0), Number(f64::INFINITY), End]
        );
        assert_eq!(tokens(b"01", false), [Error("invalid number")]);
        assert_eq!(tokens(b"-inf", false), [Error("invalid number")]);
        assert_eq!(tokens(b"inf", false), [Error("invalid token")]);
        assert_eq!(tokens(b"+5", false), [Error("invalid token")]);
        assert_eq!(tokens(b"-", true), [Error("invalid number")]);
    }

    #[test]
    fn strings_are_read() {
        assert_eq!(string(b"\"\""), Ok(Vec::new()));
        assert_eq!(
            string(b"\"a long string without any escape \xff\""),
            Ok(b"a long string without any escape \xff".into())
        );
        assert_eq!(string(br#""\b\f\n\r\t\/\\\"x""#), Ok(b"\x08\x0c\n\r\t/\\\"x".into()));
        assert_eq!(string(br#""\u00e9\ud83d\ude00\u0000""#), Ok(b"\xc3\xa9\xf0\x9f\x98\x80\0".into()));
        assert_eq!(string(br#""x\ud83d""#), Err(("invalid unicode escape code", 3)));
        assert_eq!(string(br#""\ude00\ud83d""#), Err(("invalid unicode escape code", 2)));
        assert_eq!(string(br#""\u12g4""#), Err(("invalid unicode escape code", 2)));
        assert_eq!(string(br#""\u12"#), Err(("invalid unicode escape code", 2)));
        assert_eq!(string(br#""\x""#), Err(("invalid escape code", 2)));
        assert_eq!(string(b"\"ab\0c\""), Err(("unexpected end of string", 4)));
        assert_eq!(string(b"\"a\\nb"), Err(("unexpected end of string", 6)));
    }
}
