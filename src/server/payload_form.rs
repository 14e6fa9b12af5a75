//! The form of the server's payloads: what DUMP writes and what RESTORE takes.

use std::cell::Cell;

use super::api::Context;
use super::stock;
use crate::engine::Dialect;
use crate::registry::payload::{self, Rules, Versions};

/// Knows the version of the server's files, which payloads carry.
#[derive(Debug, Default)]
pub struct PayloadForm {
    /// The version, once the server was asked for it.
    version: Cell<Option<u16>>,
}

impl PayloadForm {
    /// The version of the payloads that the server writes, and whether it compresses them.
    pub fn written(&self, context: &Context) -> (u16, bool) {
        let compress = stock::setting(context, c"rdbcompression").is_none_or(|value| value == b"yes");
        (self.version(context).unwrap_or(payload::OLDEST_VERSION), compress)
    }

    /// Which payloads the server takes.
    pub fn accepted(&self, context: &Context, dialect: &Dialect) -> Rules {
        let relaxed = || stock::setting(context, c"rdb-version-check").as_deref() == Some(b"relaxed");
        let versions = match self.version(context) {
            None => Versions::Relaxed,
            Some(own) if !dialect.is_valkey() => Versions::Redis(own),
            Some(own) if relaxed() => Versions::relaxed(own),
            Some(own) => Versions::Valkey(own),
        };
        Rules { versions, pre_ga: dialect.is_7_0(), unsealed: dialect.takes_unsealed_payloads() }
    }

    /// The version of the server's files, read from a payload of its own; None if FUNCTION was renamed away.
    fn version(&self, context: &Context) -> Option<u16> {
        if self.version.get().is_none() {
            self.version.set(stock::functions(context).as_deref().and_then(payload::version));
        }
        self.version.get()
    }
}
