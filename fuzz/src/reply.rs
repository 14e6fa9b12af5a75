//! What a function replies, and whether it is one whole reply.

use shadow::engine::{Item, Sink};

/// Takes a reply and writes it down. Panics when values come that no array or map has asked for.
#[derive(Debug)]
pub struct Reply {
    text: Vec<u8>,
    missing: usize,
}

impl Default for Reply {
    fn default() -> Self {
        Self { text: Vec::new(), missing: 1 }
    }
}

impl Reply {
    /// The reply: a kind and bytes for each value.
    ///
    /// # Panics
    /// When it is not whole.
    pub fn text(&self) -> &[u8] {
        assert_eq!(self.missing, 0, "the reply is not whole");
        &self.text
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.missing == 1
    }

    fn value(&mut self, kind: u8, bytes: &[u8], inside: usize) {
        self.missing = self.missing.checked_sub(1).expect("nobody asked for this value");
        self.missing += inside;
        self.text.push(kind);
        self.text.extend_from_slice(bytes);
        self.text.push(b'\n');
    }
}

impl Sink for Reply {
    fn put(&mut self, item: Item<'_>) {
        match item {
            Item::Null | Item::NullBulk => self.value(b'_', b"", 0),
            Item::Boolean(value) => self.value(b'#', if value { b"t" } else { b"f" }, 0),
            Item::Integer(value) => self.value(b':', value.to_string().as_bytes(), 0),
            Item::Double(value) => self.value(b',', value.to_string().as_bytes(), 0),
            Item::Bulk(bytes) => self.value(b'$', bytes, 0),
            Item::Status(text) => self.value(b'+', text, 0),
            Item::Error(text) => self.value(b'-', text, 0),
            Item::BigNumber(digits) => self.value(b'(', digits, 0),
            Item::Verbatim { text, .. } => self.value(b'=', text, 0),
            Item::Array(length) => self.value(b'*', b"", length),
            Item::Map(pairs) => self.value(b'%', b"", 2 * pairs),
            Item::Set(length) => self.value(b'~', b"", length),
        }
    }
}
