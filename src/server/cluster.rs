//! The cluster: the slots of a function's undeclared keys, and what this node is.

use std::ffi::{CString, c_int};
use std::ptr;

use crc::{CRC_16_XMODEM, Crc};
use redis_module::raw;

use super::api::{CallReply, Context, KeyPositions, State, Text, Words, api, checked};
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
    /// Starts from the slot of a declared key, or from none.
    pub fn new(declared: Option<&[u8]>) -> Self {
        Self { slot: declared.map(slot_of) }
    }

    /// Whether the keys of a command are in the slot used so far. A command whose keys are in several slots is the
    /// server's to refuse.
    pub fn admits(&self, keys: Keys) -> bool {
        match (keys, self.slot) {
            (Keys::In(slot), Some(used)) => slot == used,
            _ => true,
        }
    }

    /// A command with these keys has run: the first keys used decide.
    pub fn enter(&mut self, keys: Keys) {
        if let Keys::In(slot) = keys {
            self.slot.get_or_insert(slot);
        }
    }
}

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// It has none, or it is one that the server does not know or whose words are wrong.
    None,
    In(u16),
    /// In more than one slot.
    Scattered,
}

impl Keys {
    /// Where the keys of the command `arguments` are.
    pub fn of(context: &Context, arguments: &[&[u8]]) -> Self {
        let mut slots =
            keys_of(context, arguments).into_iter().filter_map(|at| arguments.get(at)).map(|key| slot_of(key));
        match slots.next() {
            None => Self::None,
            Some(first) if slots.all(|slot| slot == first) => Self::In(first),
            Some(_) => Self::Scattered,
        }
    }
}

/// The nodes of the cluster that serve a slot, as CLUSTER SLOTS has them: in each range the first and the last slot,
/// then the nodes, the master first, each with its host, its port and its name.
pub struct Serving {
    ranges: CallReply,
    range: usize,
}

impl Serving {
    const MASTER: usize = 2;

    /// The nodes that serve `slot`; None if nobody does.
    pub fn of(context: &Context, slot: u16) -> Option<Self> {
        // SAFETY: the context is alive; the format names one C string.
        let reply =
            unsafe { api!(RedisModule_Call)(context.raw(), c"CLUSTER".as_ptr(), c"c".as_ptr(), c"SLOTS".as_ptr()) };
        let ranges = CallReply::own(reply)?;
        let range = (0..ranges.len(&[])).find(|&range| {
            let bound = |at| ranges.integer(&[range, at]);
            matches!((bound(0), bound(1)), (Some(first), Some(last)) if (first..=last).contains(&slot.into()))
        })?;
        Some(Self { ranges, range })
    }

    /// Whether this node is among them.
    pub fn is_here(&self) -> bool {
        const NAME: usize = 2;
        let Some(own) = own_name() else { return false };
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

/// The name of this node; None outside of a cluster.
fn own_name() -> Option<Vec<u8>> {
    // SAFETY: takes nothing. In a cluster the server answers the address of a name of this length; it is copied before
    // the server can give itself another one.
    unsafe {
        let name = api!(RedisModule_GetMyClusterID)().cast::<u8>();
        (!name.is_null()).then(|| std::slice::from_raw_parts(name, raw::REDISMODULE_NODE_ID_LEN as usize).to_vec())
    }
}

/// Whether this server follows a master. A node of a cluster that starts anew does not know its master's address yet:
/// there, its own entry in the list of nodes tells.
pub fn is_replica(context: &Context) -> bool {
    let Some(name) = own_name().and_then(|name| CString::new(name).ok()) else {
        return context.state().contains(State::SLAVE);
    };
    let (no_text, no_number) = (ptr::null_mut(), ptr::null_mut());
    let mut flags: c_int = 0;
    // SAFETY: the context is alive, the name a C string. The server writes the flags, and leaves out what has no
    // address to go to: the node's address, its master's name, its port.
    let known = unsafe {
        api!(RedisModule_GetClusterNodeInfo)(context.raw(), name.as_ptr(), no_text, no_text, no_number, &raw mut flags)
    };
    checked(known).is_ok() && flags as u32 & raw::REDISMODULE_NODE_SLAVE != 0
}

/// Whether this node is known to serve no slot: its line in CLUSTER NODES ends before the slots.
pub fn serves_no_slot(context: &Context) -> bool {
    const WORDS_BEFORE_SLOTS: usize = 8;
    // SAFETY: the context is alive; the format names one C string.
    let reply = unsafe { api!(RedisModule_Call)(context.raw(), c"CLUSTER".as_ptr(), c"c".as_ptr(), c"NODES".as_ptr()) };
    let Some(nodes) = CallReply::own(reply) else { return false };
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

/// Whether the command has several keys and this node has one of them.
pub fn has_some_of_several_keys(context: &Context, arguments: &[&[u8]]) -> bool {
    let keys: Vec<Text> =
        keys_of(context, arguments).into_iter().filter_map(|at| arguments.get(at)).map(|key| Text::new(key)).collect();
    // SAFETY: the context and the strings are alive.
    keys.len() > 1 && keys.iter().any(|key| unsafe { api!(RedisModule_KeyExists)(context.raw(), key.raw()) } != 0)
}

/// The slot of a key: what stands between the first `{` and the next `}` decides, if that is not empty.
fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|&byte| byte == b'}').filter(|&length| length > 0).map(|length| &rest[..length])
    });
    HASH.checksum(tag.unwrap_or(key)) % SLOTS
}

/// The positions of the keys among the words of a command. The server looks at their number first.
pub fn keys_of(context: &Context, arguments: &[&[u8]]) -> Vec<usize> {
    let texts: Vec<Text> = arguments.iter().map(|word| Text::new(word)).collect();
    let keys = KeyPositions::of(context, &mut Words::new(&texts));
    keys.map(|keys| keys.get().iter().map(|&at| at as usize).collect()).unwrap_or_default()
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
