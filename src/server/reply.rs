//! What a function returns, as the reply to the client.

use super::api::Context;
use crate::engine::{Item, Sink};

/// Writes values to the client whose command is running, in the protocol that it speaks.
pub struct ClientReply<'a>(pub &'a Context<'a>);

impl Sink for ClientReply<'_> {
    #[inline(always)]
    fn put(&mut self, item: Item<'_>) {
        match item {
            Item::Null | Item::NullBulk => self.0.reply_null(),
            Item::Boolean(value) => self.0.reply_boolean(value),
            Item::Integer(value) => self.0.reply_integer(value),
            Item::Double(value) => self.0.reply_double(value),
            Item::Bulk(bytes) => self.0.reply_bulk(bytes),
            Item::Status(text) => self.0.reply_status(text),
            Item::Error(text) => self.0.reply_error(text),
            Item::BigNumber(digits) => self.0.reply_big_number(digits),
            Item::Verbatim { format, text } => self.0.reply_verbatim(format, text),
            Item::Array(length) => self.0.reply_array(length),
            Item::Map(pairs) => self.0.reply_map(pairs),
            Item::Set(length) => self.0.reply_set(length),
        }
    }
}
