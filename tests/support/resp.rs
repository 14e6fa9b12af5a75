//! The server's wire protocol, both versions: reading one reply as it stands, and understanding it.

use std::io::{self, BufRead};

/// One reply, understood. Texts that need not be UTF-8 are kept as bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:number`
    Integer(i64),
    /// `$` with bytes
    Bulk(Vec<u8>),
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `_`, `$-1` and `*-1`
    Null,
    /// `,text`
    Double(String),
    /// `#t` and `#f`
    Boolean(bool),
    /// `(digits`
    BigNumber(String),
    /// `=` with a format of three letters and a text
    Verbatim(String, Vec<u8>),
}

impl Value {
    /// The text of a string reply of any kind or of an error, and the digits of a number; empty for the others.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text) | Value::Error(text) | Value::Double(text) | Value::BigNumber(text) => text.clone(),
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Integer(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Whether this is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// The elements of an array, a set or a push; those of a map one after the other, a key before its value.
    pub fn items(&self) -> Vec<Value> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items.clone(),
            Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
            _ => Vec::new(),
        }
    }

    /// The value beside `key` in a map, or in an array that lists keys and values in turn.
    pub fn field(&self, key: &str) -> Option<Value> {
        self.items().chunks(2).find(|pair| pair[0].text() == key).map(|pair| pair[1].clone())
    }

    /// The elements' texts, in the order of the alphabet.
    pub fn sorted_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.items().iter().map(Value::text).collect();
        texts.sort();
        texts
    }
}

/// The bytes of a command as clients send it.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads exactly one reply, with everything nested in it, and returns its bytes. Nesting may be of any depth.
pub fn read_reply(source: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let mut missing: usize = 1;
    while missing > 0 {
        missing -= 1;
        let start = raw.len();
        if source.read_until(b'\n', &mut raw)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        let kind = raw[start];
        let count = || {
            let digits = String::from_utf8_lossy(&raw[start + 1..]).trim_end().to_owned();
            digits.parse::<i64>().map_err(|_| io::Error::other(format!("not a length: {digits:?}")))
        };
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'$' | b'=' | b'!' => {
                let length = count()?;
                if let Ok(length) = usize::try_from(length) {
                    let body = raw.len();
                    raw.resize(body + length + 2, 0);
                    source.read_exact(&mut raw[body..])?;
                }
            }
            b'*' | b'~' | b'>' => missing += usize::try_from(count()?).unwrap_or(0),
            b'%' => missing += 2 * usize::try_from(count()?).unwrap_or(0),
            b'|' => missing += 2 * usize::try_from(count()?).unwrap_or(0) + 1,
            _ => {
                let line = String::from_utf8_lossy(&raw[start..]).into_owned();
                return Err(io::Error::other(format!("not a reply: {line:?}")));
            }
        }
    }
    Ok(raw)
}

/// Understands the bytes of one reply.
///
/// # Panics
///
/// When they are not a reply: [`read_reply`] has returned only whole ones.
pub fn parse(raw: &[u8]) -> Value {
    let mut rest = raw;
    let value = parse_next(&mut rest);
    assert!(rest.is_empty(), "bytes after a reply: {:?}", String::from_utf8_lossy(rest));
    value
}

fn parse_next(rest: &mut &[u8]) -> Value {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line of a reply ends with CRLF");
    let (kind, line) = (rest[0], String::from_utf8_lossy(&rest[1..end]).into_owned());
    *rest = &rest[end + 2..];
    let number = || line.parse::<i64>().expect("a number in a reply");
    let length = || usize::try_from(number()).ok();
    match kind {
        b'+' => Value::Simple(line),
        b'-' => Value::Error(line),
        b':' => Value::Integer(number()),
        b'_' => Value::Null,
        b',' => Value::Double(line),
        b'#' => Value::Boolean(line == "t"),
        b'(' => Value::BigNumber(line),
        b'$' => length().map_or(Value::Null, |length| Value::Bulk(take(rest, length))),
        b'!' => length()
            .map_or(Value::Null, |length| Value::Error(String::from_utf8_lossy(&take(rest, length)).into_owned())),
        b'=' => length().map_or(Value::Null, |length| {
            let text = take(rest, length);
            Value::Verbatim(String::from_utf8_lossy(&text[..3]).into_owned(), text[4..].to_vec())
        }),
        b'*' => length().map_or(Value::Null, |length| Value::Array(parse_many(rest, length))),
        b'~' => Value::Set(parse_many(rest, length().unwrap_or(0))),
        b'>' => Value::Push(parse_many(rest, length().unwrap_or(0))),
        b'%' => Value::Map((0..length().unwrap_or(0)).map(|_| (parse_next(rest), parse_next(rest))).collect()),
        b'|' => {
            parse_many(rest, 2 * length().unwrap_or(0));
            parse_next(rest)
        }
        _ => panic!("not a kind of reply: {:?}", kind as char),
    }
}

fn parse_many(rest: &mut &[u8], count: usize) -> Vec<Value> {
    (0..count).map(|_| parse_next(rest)).collect()
}

fn take(rest: &mut &[u8], length: usize) -> Vec<u8> {
    let (body, after) = rest.split_at(length);
    *rest = &after[2..];
    body.to_vec()
}

/// Applies `change` to the text of every simple string and error in a raw reply, however deep; all else stays as it is.
pub fn map_lines(raw: &[u8], mut change: impl FnMut(&str) -> String) -> Vec<u8> {
    let mut mapped = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let line = &rest[..end];
        rest = &rest[end..];
        match line[0] {
            b'+' | b'-' => match std::str::from_utf8(line) {
                Ok(text) => mapped.extend_from_slice(change(text).as_bytes()),
                Err(_) => mapped.extend_from_slice(line),
            },
            b'$' | b'=' | b'!' => {
                mapped.extend_from_slice(line);
                let length = String::from_utf8_lossy(&line[1..]).trim_end().parse::<i64>().unwrap_or(-1);
                if let Ok(length) = usize::try_from(length) {
                    let body = (length + 2).min(rest.len());
                    mapped.extend_from_slice(&rest[..body]);
                    rest = &rest[body..];
                }
            }
            _ => mapped.extend_from_slice(line),
        }
    }
    mapped
}

/// The commands in a stream of them, as an append only file or a replication link holds it.
pub fn parse_commands(stream: &[u8]) -> Vec<Vec<String>> {
    let mut source = stream;
    let mut commands = Vec::new();
    while source.fill_buf().is_ok_and(|left| !left.is_empty()) {
        // The last command may still be on its way into the file.
        let Ok(raw) = read_reply(&mut source) else { break };
        commands.push(parse(&raw).items().iter().map(Value::text).collect());
    }
    commands
}
