//! The replies of inner commands.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem;

use super::CallReply;

/// The reply of an inner command, as bytes.
#[derive(Default)]
pub struct InnerReply {
    holder: Holder,
    /// The reply, where the server does not hold it.
    bytes: Vec<u8>,
}

/// Who holds a reply.
#[derive(Default)]
enum Holder {
    /// There is none.
    #[default]
    Nobody,
    Server(CallReply),
    Ourselves,
}

impl InnerReply {
    /// The reply as it would go over the wire; empty if there is none.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        match &self.holder {
            Holder::Nobody => &[],
            Holder::Server(reply) => reply.wire(),
            Holder::Ourselves => &self.bytes,
        }
    }

    /// Whether there is a reply. It may be empty: nothing keeps another module's command from replying nothing.
    pub const fn is_there(&self) -> bool {
        !matches!(self.holder, Holder::Nobody)
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.wire().starts_with(b"-")
    }

    /// Puts an error in its place. `text`: with its code, without the dash and the line break.
    pub fn refuse(&mut self, text: &[u8]) {
        self.holder = Holder::Ourselves;
        self.bytes.clear();
        self.bytes.push(b'-');
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Drops what there is.
    pub fn clear(&mut self) {
        self.holder = Holder::Nobody;
    }

    /// Takes the reply that `fill` puts into the buffer, with the errno that came with it; None if there was none.
    /// `spare` has a buffer for a reply that has none yet. Returns the errno.
    #[inline]
    pub(super) fn fill(&mut self, spare: &Cell<Vec<u8>>, fill: impl FnOnce(&mut Vec<u8>) -> Option<c_int>) -> c_int {
        if self.bytes.capacity() == 0 {
            self.bytes = spare.take();
        }
        let errno = fill(&mut self.bytes);
        self.holder = if errno.is_some() { Holder::Ourselves } else { Holder::Nobody };
        errno.unwrap_or_default()
    }

    /// Drops what there is, and gives its buffer away.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.clear();
        mem::take(&mut self.bytes)
    }

    /// Takes the result of `RM_Call`.
    pub(super) fn take(&mut self, reply: Option<CallReply>) {
        self.holder = reply.map_or(Holder::Nobody, Holder::Server);
    }
}
