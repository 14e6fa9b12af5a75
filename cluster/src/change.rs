//! A change: all that one command does, under one stamp.

use std::sync::Arc;

use crate::entry::{Body, Entry, Name, NodeId};
use crate::stamp::{Hash, Stamp};
use crate::wire::{Malformed, Reader, Writer};

/// What a change does to one name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Edit {
    /// The name.
    pub name: Name,
    /// As in `Entry`; the change's own stamp for a library that is new.
    pub born: Option<Stamp>,
    /// The library, or None to delete it.
    pub body: Option<Arc<Body>>,
}

/// All that one command does. LOAD is one library, DELETE one tombstone, FLUSH a floor, a deploy a floor and the
/// libraries above it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Change {
    /// Its place in the order.
    pub stamp: Stamp,
    /// Where it was made.
    pub origin: NodeId,
    /// Whether all that is older vanishes.
    pub clear: bool,
    /// By name, each once.
    pub edits: Vec<Edit>,
}

impl Change {
    /// The hash of what it does, for its stamp.
    #[must_use]
    pub fn content(clear: bool, edits: &[Edit]) -> Hash {
        let mut writer = Writer::default();
        writer.flag(clear);
        for edit in edits {
            writer.text(edit.name.as_bytes());
            writer.flag(edit.body.is_some());
            writer.hash(edit.body.as_ref().map_or(Hash(0), |body| body.hash()));
        }
        Hash::of([&writer.0[..]])
    }

    /// Its entries.
    pub fn entries(&self) -> impl Iterator<Item = (Name, Entry)> + '_ {
        self.edits.iter().map(|edit| {
            let born = edit.born.unwrap_or(self.stamp);
            let entry = Entry { stamp: self.stamp, born, origin: self.origin, body: edit.body.clone() };
            (Arc::clone(&edit.name), entry)
        })
    }

    /// How many bytes it takes on the wire, to within a few.
    #[must_use]
    pub fn wire_size(&self) -> usize {
        self.entries().map(|(name, entry)| entry.wire_size(&name)).sum::<usize>() + 100
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.stamp(self.stamp);
        writer.node(self.origin);
        writer.flag(self.clear);
        writer.count(self.edits.len());
        for (name, entry) in self.entries() {
            writer.text(name.as_bytes());
            entry.write(writer);
        }
    }

    /// Reads it. All entries are under its stamp.
    pub fn read(reader: &mut Reader<'_>) -> Result<Change, Malformed> {
        let stamp = reader.stamp()?;
        let origin = reader.node()?;
        let clear = reader.flag()?;
        let count = reader.count(70)?;
        let mut edits: Vec<Edit> = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.name()?;
            let entry = Entry::read(reader)?;
            let ordered = edits.last().is_none_or(|last| last.name < name);
            if entry.stamp != stamp || entry.origin != origin || !ordered {
                return Err(Malformed);
            }
            let born = (entry.born != stamp).then_some(entry.born);
            edits.push(Edit { name, born, body: entry.body });
        }
        if Change::content(clear, &edits) != stamp.hash {
            return Err(Malformed);
        }
        Ok(Change { stamp, origin, clear, edits })
    }
}
