//! The cluster: the slots of a function's undeclared keys, and what this node is.

use std::ffi::CString;

use crc::{CRC_16_XMODEM, Crc};

use super::api::{CallReply, Context, ServerString, State, cluster};
use super::command_keys::Places;
use super::stock;
use crate::error::Error;

/// The hash of keys, as the cluster specification has it.
const HASH: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

const SLOTS: u16 = 16_384;

/// Keeps the commands of one call to one slot.
#[derive(Debug)]
pub struct OneSlot {
    slot: Option<u16>,
}

impl OneSlot {
    /// Starts with the slot of a declared key, or with none.
    pub fn new(declared: Option<&[u8]>) -> Self {
        Self { slot: declared.map(slot_of) }
    }

    /// Whether the keys of a command are in the slot used so far. Keys in several slots are the server's to refuse.
    pub fn admits(&self, keys: Keys) -> bool {
        match (keys, self.slot) {
            (Keys::In(slot), Some(used)) => slot == used,
            _ => true,
        }
    }

    /// Notes that a command with these keys has run: the first keys used decide the slot.
    pub fn enter(&mut self, keys: Keys) {
        if let Keys::In(slot) = keys {
            self.slot.get_or_insert(slot);
        }
    }
}

/// The slot of the client whose command is running, in which the server looks for every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSlot {
    /// It has none, or the server looks where the key is.
    Free,
    /// That of the declared keys.
    Declared(u16),
    /// In a transaction: that of the keys of all its commands, if they have any.
    Unknown,
}

impl ClientSlot {
    /// That of a client that has declared this key, or none.
    pub fn of(declared: Option<&[u8]>, in_transaction: bool) -> Self {
        match declared {
            Some(key) => Self::Declared(slot_of(key)),
            None if in_transaction => Self::Unknown,
            None => Self::Free,
        }
    }

    /// What is wrong with a command that has these keys.
    pub fn refusal(self, keys: Keys) -> Option<&'static [u8]> {
        match (self, keys) {
            (Self::Declared(slot), Keys::In(other)) if other != slot => Some(
                b"ERR Script attempted to access keys of another slot than its declared keys, which this server would \
                  look for in the wrong slot; call it without keys",
            ),
            (Self::Unknown, Keys::In(_)) => Some(
                b"ERR Script attempted to access undeclared keys in a transaction, which this server could look for in \
                  the wrong slot; declare its keys",
            ),
            _ => None,
        }
    }
}

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// There are none, or the server does not know the command, or its words are wrong.
    None,
    /// In this slot.
    In(u16),
    /// In several slots.
    Scattered,
}

impl Keys {
    /// Where the keys of the command `arguments` are, which stand in these `places`.
    pub fn of(places: &Places, arguments: &[&[u8]]) -> Self {
        let mut slots = places.iter().map(|&at| slot_of(arguments[at]));
        match slots.next() {
            None => Self::None,
            Some(first) if slots.all(|slot| slot == first) => Self::In(first),
            Some(_) => Self::Scattered,
        }
    }
}

/// The nodes of the cluster that serve a slot, out of CLUSTER SLOTS: a range is its first and its last slot, then its
/// nodes, the master first, each with its host, port and name.
pub struct Serving {
    ranges: CallReply,
    range: usize,
}

impl Serving {
    const MASTER: usize = 2;

    /// The nodes that serve `slot`; None if there are none.
    pub fn of(context: &Context, slot: u16) -> Option<Self> {
        let ranges = stock::cluster_slots(context)?;
        let range = (0..ranges.len(&[])).find(|&range| {
            let bound = |at| ranges.integer(&[range, at]);
            matches!((bound(0), bound(1)), (Some(first), Some(last)) if (first..=last).contains(&slot.into()))
        })?;
        Some(Self { ranges, range })
    }

    /// Whether this node is among them.
    pub fn is_here(&self) -> bool {
        const NAME: usize = 2;
        let Some(own) = cluster::node_name() else { return false };
        (Self::MASTER..self.ranges.len(&[self.range]))
            .any(|node| self.ranges.string(&[self.range, node, NAME]) == Some(&*own))
    }

    /// Where the server sends clients that ask for the slot.
    fn address(&self) -> Option<String> {
        let host = self.ranges.string(&[self.range, Self::MASTER, 0]).unwrap_or_default();
        let port = self.ranges.integer(&[self.range, Self::MASTER, 1])?;
        Some(format!("{}:{port}", String::from_utf8_lossy(host)))
    }
}

/// Whether this server is a replica. A node of a cluster that has just started does not know its master's address yet;
/// there, its own entry in the list of nodes tells.
pub fn is_replica(context: &Context) -> bool {
    match cluster::node_name().and_then(|name| CString::new(name).ok()) {
        Some(name) => cluster::is_replica(context, &name),
        None => context.state().contains(State::SLAVE),
    }
}

/// Whether this node is known to serve no slot: its line in CLUSTER NODES ends before the slots.
pub fn serves_no_slot(context: &Context) -> bool {
    const WORDS_BEFORE_SLOTS: usize = 8;
    let Some(nodes) = stock::cluster_nodes(context) else { return false };
    let text = String::from_utf8_lossy(nodes.string(&[]).unwrap_or_default());
    let own = text.lines().find(|line| line.contains("myself"));
    own.is_some_and(|line| line.split_whitespace().count() == WORDS_BEFORE_SLOTS)
}

/// The redirection of a client to the master that serves `key`.
pub fn redirection(context: &Context, key: &[u8]) -> Option<Error> {
    let slot = slot_of(key);
    let address = Serving::of(context, slot)?.address()?;
    Some(Error::new(format!("MOVED {slot} {address}")))
}

/// Whether the command `arguments`, whose keys stand in these `places`, has several and this node has one of them.
pub fn has_some_of_several_keys(context: &Context, places: &Places, arguments: &[&[u8]]) -> bool {
    places.len() > 1 && places.iter().any(|&at| context.has_key(&ServerString::new(arguments[at])))
}

/// The slot of a key: only the part between the first `{` and the next `}` counts, unless it is empty.
fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|&byte| byte == b'}').filter(|&length| length > 0).map(|length| &rest[..length])
    });
    HASH.checksum(tag.unwrap_or(key)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot_of(b"123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot_of(b"foo"), 12182);
    }

    #[test]
    fn a_tag_in_braces_decides_unless_it_is_empty() {
        assert_eq!(slot_of(b"{user}.a"), slot_of(b"user"));
        assert_eq!(slot_of(b"x{user}{other}"), slot_of(b"user"));
        assert_ne!(slot_of(b"{}user"), slot_of(b"user"));
        assert_eq!(slot_of(b"{user"), HASH.checksum(b"{user") % SLOTS);
    }
}
