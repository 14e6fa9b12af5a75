//! What a function returns, as the reply to the client.

use super::api::Context;
use crate::engine::Sink;

/// Writes values to the client whose command is running, in the protocol that it speaks.
pub struct ClientReply<'a>(pub &'a Context<'a>);

impl Sink for ClientReply<'_> {
    fn null(&mut self, _typed: bool) {
        self.0.reply_null();
    }

    fn boolean(&mut self, value: bool) {
        self.0.reply_boolean(value);
    }

    fn integer(&mut self, value: i64) {
        self.0.reply_integer(value);
    }

    fn double(&mut self, value: f64) {
        self.0.reply_double(value);
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.0.reply_bulk(bytes);
    }

    fn status(&mut self, text: &[u8]) {
        self.0.reply_status(text);
    }

    fn error(&mut self, text: &[u8]) {
        self.0.reply_error(text);
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.0.reply_big_number(digits);
    }

    fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        self.0.reply_verbatim(format, text);
    }

    fn array(&mut self, length: usize) {
        self.0.reply_array(length);
    }

    fn map(&mut self, pairs: usize) {
        self.0.reply_map(pairs);
    }

    fn set(&mut self, length: usize) {
        self.0.reply_set(length);
    }
}
