//! What became different in a node's state: what its replicas, its append-only file and its snapshots get.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::{Entry, Name};
use crate::stamp::{Hlc, Stamp};
use crate::wire::{Malformed, Reader, Writer};

/// The version of its form. A reader refuses others.
const VERSION: u8 = 1;

/// A node's state, or what is different in it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Delta {
    /// The floor, or ZERO if it is the same.
    pub floor: Stamp,
    /// The mark of dropped tombstones, or ZERO if it is the same.
    pub gc: Hlc,
    /// The clock.
    pub clock: Hlc,
    /// Whether the node has the state of the cluster.
    pub settled: bool,
    /// Whether the node was alone when its libraries were loaded.
    pub was_alone: bool,
    /// Whether the state begins anew: what is not in it is not there, floor and mark included.
    pub restart: bool,
    /// What stands under a name now, or None where nothing does.
    pub entries: BTreeMap<Name, Option<Entry>>,
    /// Names that vanished by a floor, by the mark or by a restart: whoever applies these finds that out himself.
    pub vanished: Vec<Name>,
    /// Whether `settled` is different.
    pub marked: bool,
}

impl Delta {
    /// An entry stands under a name.
    pub fn put(&mut self, name: &Name, entry: &Entry) {
        self.entries.insert(Arc::clone(name), Some(entry.clone()));
    }

    /// Nothing stands under a name any more.
    pub fn drop_name(&mut self, name: &Name) {
        self.entries.insert(Arc::clone(name), None);
    }

    /// Nothing stands under a name any more, which follows from the rest.
    pub fn forget(&mut self, name: &Name) {
        self.entries.remove(name);
        self.vanished.push(Arc::clone(name));
    }

    /// Whether nothing is different but perhaps the clock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let same = self.floor == Stamp::ZERO && self.gc == Hlc::ZERO && !self.restart && !self.marked;
        same && self.entries.is_empty() && self.vanished.is_empty()
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        writer.stamp(self.floor);
        writer.u64(self.gc.0);
        writer.u64(self.clock.0);
        writer.flag(self.settled);
        writer.flag(self.was_alone);
        writer.flag(self.restart);
        writer.count(self.entries.len());
        for (name, entry) in &self.entries {
            writer.text(name.as_bytes());
            writer.flag(entry.is_some());
            if let Some(entry) = entry {
                entry.write(&mut writer);
            }
        }
        writer.0
    }

    /// Out of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Delta, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let mut delta = Delta { floor: reader.stamp()?, gc: reader.hlc()?, clock: reader.hlc()?, ..Delta::default() };
        delta.settled = reader.flag()?;
        delta.was_alone = reader.flag()?;
        delta.restart = reader.flag()?;
        for _ in 0..reader.count(6)? {
            let name = reader.name()?;
            let entry = if reader.flag()? { Some(Entry::read(&mut reader)?) } else { None };
            delta.entries.insert(name, entry);
        }
        reader.end()?;
        Ok(delta)
    }
}
