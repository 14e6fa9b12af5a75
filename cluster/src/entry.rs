//! What the registry holds under a name.

use std::fmt;
use std::sync::Arc;

use crate::stamp::{Hash, Hlc, Stamp};
use crate::wire::{MAX_NAME, MAX_SOURCE, Malformed, Reader, Writer};

/// The name of a library or a function.
pub type Name = Arc<str>;

/// A node's ID: 40 characters, without the NUL that the server wants behind them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 40]);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            write!(f, "{}", if byte.is_ascii_graphic() { char::from(byte) } else { '?' })?;
        }
        Ok(())
    }
}

/// A library: its source, and the functions that it registered where it was loaded.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Body {
    source: Arc<[u8]>,
    functions: Vec<Name>,
    hash: Hash,
}

impl Body {
    /// A body, of which the hash is taken.
    #[must_use]
    pub fn new(source: impl Into<Arc<[u8]>>, functions: impl IntoIterator<Item = Name>) -> Arc<Body> {
        let source = source.into();
        let mut functions: Vec<Name> = functions.into_iter().collect();
        functions.sort();
        functions.dedup();
        let parts = std::iter::once(&source[..]).chain(functions.iter().map(|name| name.as_bytes()));
        let hash = Hash::of(parts);
        Arc::new(Body { source, functions, hash })
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Arc<[u8]> {
        &self.source
    }

    /// The names of its functions, sorted.
    #[must_use]
    pub fn functions(&self) -> &[Name] {
        &self.functions
    }

    /// The hash of both.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether the wire takes it.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.source.len() <= MAX_SOURCE && self.functions.iter().all(|name| is_name(name))
    }
}

/// Whether the wire takes a name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME
}

/// A library's state by the latest change of it: there, or deleted (a tombstone).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The change that made it so.
    pub stamp: Stamp,
    /// The change that first loaded a library of this name, if none has deleted it since.
    pub born: Stamp,
    /// Where the change was made. It has no part in the order.
    pub origin: NodeId,
    /// The library, or None for a tombstone.
    pub body: Option<Arc<Body>>,
}

impl Entry {
    /// The entry that wins has the greater rank. The stamp alone decides between changes that were made as they should
    /// be; the rest is there so that nodes agree even on two bodies under one stamp, which nobody should have made.
    #[must_use]
    pub fn rank(&self) -> (Stamp, Option<Hash>, Stamp) {
        (self.stamp, self.body.as_ref().map(|body| body.hash()), self.born)
    }

    /// Whether it is a library, not a tombstone.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.body.is_some()
    }

    /// What it adds to the digests.
    #[must_use]
    pub fn digest(&self, name: &str) -> u128 {
        let mut writer = Writer::default();
        writer.stamp(self.stamp);
        writer.stamp(self.born);
        let body = self.body.as_ref().map_or(Hash(0), |body| body.hash());
        writer.flag(self.is_live());
        writer.hash(body);
        Hash::of([name.as_bytes(), &writer.0]).0
    }

    /// How many bytes it takes on the wire, with its name, to within a few.
    #[must_use]
    pub fn wire_size(&self, name: &str) -> usize {
        let body =
            |body: &Arc<Body>| body.source.len() + 8 + body.functions.iter().map(|name| name.len() + 4).sum::<usize>();
        name.len() + 96 + self.body.as_ref().map_or(0, body)
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        self.write_head(writer);
        if let Some(body) = &self.body {
            writer.0.extend_from_slice(&body.source);
        }
    }

    /// The bytes from `offset` on, at most `limit`, of what `write` writes, and how many that writes in all: so a long
    /// source can be sent in pieces without a copy of the whole for each.
    #[must_use]
    pub fn slice(&self, offset: usize, limit: usize) -> (Vec<u8>, usize) {
        let mut head = Writer::default();
        self.write_head(&mut head);
        let source: &[u8] = self.body.as_ref().map_or(&[], |body| &body.source);
        let from_head = &head.0[offset.min(head.0.len())..];
        let from_source = &source[offset.saturating_sub(head.0.len()).min(source.len())..];
        let mut bytes = from_head[..from_head.len().min(limit)].to_vec();
        let rest = limit - bytes.len();
        bytes.extend_from_slice(&from_source[..from_source.len().min(rest)]);
        (bytes, head.0.len() + source.len())
    }

    /// All but the source itself, which comes last.
    fn write_head(&self, writer: &mut Writer) {
        writer.stamp(self.stamp);
        let old = self.born == Stamp::BEFORE_THE_CLUSTER;
        writer.flag(old);
        if !old {
            writer.stamp(self.born);
        }
        writer.node(self.origin);
        writer.flag(self.is_live());
        if let Some(body) = &self.body {
            writer.count(body.functions.len());
            for name in &body.functions {
                writer.text(name.as_bytes());
            }
            writer.count(body.source.len());
        }
    }

    /// Reads it.
    pub fn read(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
        let stamp = reader.stamp()?;
        let born = if reader.flag()? { Stamp::BEFORE_THE_CLUSTER } else { reader.stamp()? };
        let origin = reader.node()?;
        let body = if reader.flag()? { Some(read_body(reader)?) } else { None };
        Ok(Entry { stamp, born, origin, body })
    }
}

fn read_body(reader: &mut Reader<'_>) -> Result<Arc<Body>, Malformed> {
    let count = reader.count(5)?;
    let functions = (0..count).map(|_| reader.name()).collect::<Result<Vec<_>, _>>()?;
    Ok(Body::new(reader.text(MAX_SOURCE)?, functions))
}

/// The stamp of a library that is older than the cluster's registry: the same wherever the same library is.
#[must_use]
pub fn stamp_alone(name: &str, body: &Body) -> Stamp {
    Stamp { hlc: Hlc::ZERO, hash: Hash::of([name.as_bytes(), &body.hash().0.to_le_bytes()]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_put_together_are_the_entry() {
        let body = Body::new(vec![7; 1000], [Name::from("f"), Name::from("g")]);
        let entry = Entry {
            stamp: stamp_alone("a", &body),
            born: Stamp::BEFORE_THE_CLUSTER,
            origin: NodeId([b'a'; 40]),
            body: Some(body),
        };
        let mut whole = Writer::default();
        entry.write(&mut whole);
        for limit in [1, 7, 150, 5000] {
            let mut bytes = Vec::new();
            loop {
                let (piece, total) = entry.slice(bytes.len(), limit);
                assert_eq!(total, whole.0.len());
                if piece.is_empty() {
                    break;
                }
                bytes.extend(piece);
            }
            assert_eq!(bytes, whole.0);
        }
        assert_eq!(Entry::read(&mut Reader::new(&whole.0)), Ok(entry));
    }
}
