//! What a function replies, and whether it is one whole reply.

use shadow::engine::Sink;

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

    /// A text that goes into one line on the wire.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.value(kind, text, 0);
    }
}

impl Sink for Reply {
    fn null(&mut self, _: bool) {
        self.value(b'_', b"", 0);
    }
    fn boolean(&mut self, value: bool) {
        self.value(b'#', if value { b"t" } else { b"f" }, 0);
    }
    fn integer(&mut self, value: i64) {
        self.value(b':', value.to_string().as_bytes(), 0);
    }
    fn double(&mut self, value: f64) {
        self.value(b',', value.to_string().as_bytes(), 0);
    }
    fn bulk(&mut self, bytes: &[u8]) {
        self.value(b'$', bytes, 0);
    }
    fn status(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }
    fn error(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }
    fn big_number(&mut self, digits: &[u8]) {
        self.line(b'(', digits);
    }
    fn verbatim(&mut self, _: [u8; 3], text: &[u8]) {
        self.value(b'=', text, 0);
    }
    fn array(&mut self, length: usize) {
        self.value(b'*', b"", length);
    }
    fn map(&mut self, pairs: usize) {
        self.value(b'%', b"", 2 * pairs);
    }
    fn set(&mut self, length: usize) {
        self.value(b'~', b"", length);
    }
}
