//! Reads a raw reply of the server (RESP2 or RESP3) into a [`Sink`].

use super::sink::{Item, Sink};

/// Writes the first reply in `bytes` to `sink`.
///
/// The bytes come from the server itself. Should they still be cut short or unknown, what is missing reads as null, so
/// that the sink always gets one whole value.
pub fn read(bytes: &[u8], sink: &mut impl Sink) {
    match bytes {
        // Comes often, and takes less time than all the types that it could be.
        [b':', rest @ ..] => sink.put(Item::Integer(Reader { rest }.number())),
        _ => Reader { rest: bytes }.value(sink),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'\r').unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn block(&mut self, length: usize) -> &'a [u8] {
        let block = &self.rest[..length.min(self.rest.len())];
        self.rest = self.rest.get(length + 2..).unwrap_or_default();
        block
    }

    /// The decimal number that the line is; 0 for anything else.
    #[inline]
    fn number(&mut self) -> i64 {
        let (negative, digits) = match self.rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        // Wrapping, since the lowest number is one further from 0 than the highest.
        let mut number: i64 = 0;
        let mut bytes = digits.iter();
        for byte in &mut bytes {
            match byte.wrapping_sub(b'0') {
                digit @ 0..=9 => number = number.wrapping_mul(10).wrapping_add(i64::from(digit)),
                _ if *byte == b'\r' => {
                    self.rest = bytes.as_slice().get(1..).unwrap_or_default();
                    return if negative { number.wrapping_neg() } else { number };
                }
                _ => break,
            }
        }
        self.line();
        0
    }

    /// The number of elements that the line tells; None below 0.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()).ok()
    }

    fn value(&mut self, sink: &mut impl Sink) {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return sink.put(Item::Null);
        };
        self.rest = rest;
        match kind {
            b'+' => sink.put(Item::Status(self.line())),
            b'-' => sink.put(Item::Error(self.line())),
            b':' => sink.put(Item::Integer(self.number())),
            b'$' => match self.count() {
                Some(length) => sink.put(Item::Bulk(self.block(length))),
                None => sink.put(Item::NullBulk),
            },
            b'*' => match self.count() {
                Some(length) => {
                    sink.put(Item::Array(length));
                    self.values(length, sink);
                }
                None => sink.put(Item::NullBulk),
            },
            b'#' => sink.put(Item::Boolean(self.line() == b"t")),
            b',' => sink.put(Item::Double(double(self.line()))),
            b'(' => sink.put(Item::BigNumber(self.line())),
            b'=' => {
                let length = self.count().unwrap_or(0);
                match self.block(length) {
                    &[a, b, c, b':', ref text @ ..] => sink.put(Item::Verbatim { format: [a, b, c], text }),
                    text => sink.put(Item::Verbatim { format: *b"txt", text }),
                }
            }
            b'%' => {
                let pairs = self.count().unwrap_or(0);
                sink.put(Item::Map(pairs));
                self.values(pairs * 2, sink);
            }
            b'~' => {
                let length = self.count().unwrap_or(0);
                sink.put(Item::Set(length));
                self.values(length, sink);
            }
            // Attributes describe the reply that follows; scripts see only the reply.
            b'|' => {
                let pairs = self.count().unwrap_or(0);
                self.values(pairs * 2, &mut Nowhere);
                self.value(sink);
            }
            // The null, and what is not known.
            _ => {
                self.line();
                sink.put(Item::Null);
            }
        }
    }

    #[inline]
    fn values(&mut self, count: usize, sink: &mut impl Sink) {
        for _ in 0..count {
            // What nearly all long replies consist of takes less time than all the types that it could be.
            match short_bulk(self.rest) {
                Some((block, rest)) => {
                    self.rest = rest;
                    sink.put(Item::Bulk(block));
                }
                None => self.value(sink),
            }
        }
    }
}

/// The string of less than a hundred bytes that `bytes` begin with, and what follows it; None if they do not.
#[inline]
fn short_bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let digit = |byte: u8| usize::from(byte - b'0');
    let (length, rest) = match bytes {
        [b'$', only @ b'0'..=b'9', b'\r', b'\n', rest @ ..] => (digit(*only), rest),
        [b'$', first @ b'0'..=b'9', second @ b'0'..=b'9', b'\r', b'\n', rest @ ..] => {
            (10 * digit(*first) + digit(*second), rest)
        }
        _ => return None,
    };
    Some((rest.get(..length)?, rest.get(length + 2..)?))
}

fn double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Swallows values.
struct Nowhere;

impl Sink for Nowhere {
    fn put(&mut self, _: Item<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes what it gets as text.
    #[derive(Default)]
    struct Transcript(String);

    impl Sink for Transcript {
        fn put(&mut self, item: Item<'_>) {
            self.0 += &match item {
                Item::Null => "null ".to_owned(),
                Item::NullBulk => "nil ".to_owned(),
                Item::Boolean(value) => format!("{value} "),
                Item::Integer(value) => format!("{value} "),
                Item::Double(value) => format!("d{value} "),
                Item::Bulk(bytes) => format!("{} ", bytes.escape_ascii()),
                Item::Status(text) => format!("+{} ", text.escape_ascii()),
                Item::Error(text) => format!("-{} ", text.escape_ascii()),
                Item::BigNumber(digits) => format!("({} ", digits.escape_ascii()),
                Item::Verbatim { format, text } => format!("{}={} ", format.escape_ascii(), text.escape_ascii()),
                Item::Array(length) => format!("*{length} "),
                Item::Map(pairs) => format!("%{pairs} "),
                Item::Set(length) => format!("~{length} "),
            };
        }
    }

    fn transcript(bytes: &[u8]) -> String {
        let mut sink = Transcript::default();
        read(bytes, &mut sink);
        sink.0.trim_end().to_owned()
    }

    #[test]
    fn every_type_of_both_protocols_is_read() {
        assert_eq!(transcript(b"+OK\r\n"), "+OK");
        assert_eq!(transcript(b"-ERR no\r\n"), "-ERR no");
        assert_eq!(transcript(b":-7\r\n"), "-7");
        assert_eq!(transcript(b":9223372036854775807\r\n"), "9223372036854775807");
        assert_eq!(transcript(b":-9223372036854775808\r\n"), "-9223372036854775808");
        assert_eq!(transcript(b":\r\n"), "0");
        assert_eq!(transcript(b":1x\r\n"), "0");
        assert_eq!(transcript(b"$4\r\na\r\nb\r\n"), "a\\r\\nb");
        assert_eq!(transcript(b"$-1\r\n"), "nil");
        assert_eq!(transcript(b"*-1\r\n"), "nil");
        assert_eq!(transcript(b"_\r\n"), "null");
        assert_eq!(transcript(b"#f\r\n"), "false");
        assert_eq!(transcript(b",1.5\r\n"), "d1.5");
        assert_eq!(transcript(b",-inf\r\n"), "d-inf");
        assert_eq!(transcript(b"(123\r\n"), "(123");
        assert_eq!(transcript(b"=5\r\ntxt:x\r\n"), "txt=x");
        assert_eq!(transcript(b"%1\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n"), "%1 a *2 1 2");
        assert_eq!(transcript(b"~1\r\n:1\r\n"), "~1 1");
    }

    #[test]
    fn strings_of_every_length_are_read_in_an_array() {
        for length in [0, 1, 9, 10, 99, 100, 1000] {
            let text = "x".repeat(length);
            let reply = format!("*3\r\n${length}\r\n{text}\r\n$-1\r\n${length}\r\n{text}\r\n");
            assert_eq!(transcript(reply.as_bytes()), format!("*3 {text} nil {text}").trim_end(), "{length}");
        }
    }

    #[test]
    fn an_attribute_is_dropped_and_its_reply_kept() {
        assert_eq!(transcript(b"|1\r\n+a\r\n*1\r\n:1\r\n:5\r\n"), "5");
    }

    #[test]
    fn cut_bytes_still_give_one_value() {
        assert_eq!(transcript(b""), "null");
        assert_eq!(transcript(b"$10\r\nab"), "ab");
        assert_eq!(transcript(b"*2\r\n:1\r\n"), "*2 1 null");
        assert_eq!(transcript(b"*2\r\n$3\r\nab"), "*2 ab null");
        assert_eq!(transcript(b"*2\r\n$2\r\nab"), "*2 ab null");
        assert_eq!(transcript(b"*2\r\n$2\r\n"), "*2  null");
    }
}
