//! What nodes say to each other.

use std::sync::Arc;

use crate::change::Change;
use crate::digest::{BUCKETS, BucketSet, Buckets};
use crate::entry::{Entry, Name};
use crate::registry::Key;
use crate::stamp::{Hash, Hlc, Stamp};
use crate::wire::{MAX_SOURCE, Malformed, Reader, Writer};

/// The version of the protocol that this node speaks, and the least that it understands.
pub const VERSION: u8 = 1;
/// The least version that it understands.
pub const LEAST_VERSION: u8 = 1;
/// What a message may hold. One that is long under way is lost on the bus, and stalls whoever reads it.
pub const MAX_CONTENT: usize = 48 << 10;
/// The longest message, with all that is around what it holds. A name, of which one always fits, is up to 4 KB.
pub const MAX_MESSAGE: usize = 64 << 10;
/// The longest entry.
pub const MAX_ENTRY: usize = MAX_SOURCE + (16 << 20);

/// What a node says of its state.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Summary {
    /// The least version of the protocol that it understands.
    pub least_version: u8,
    /// The version that it speaks.
    pub version: u8,
    /// Its floor.
    pub floor: Stamp,
    /// Its mark of dropped tombstones.
    pub gc: Hlc,
    /// The tombstones up to here are not in the total.
    pub upto: Hlc,
    /// The sum of all entries.
    pub total: u128,
    /// Its clock.
    pub clock: Hlc,
    /// Whether it has the state of the cluster.
    pub settled: bool,
    /// How many libraries it has.
    pub libraries: u32,
    /// How many of them sleep.
    pub asleep: u32,
    /// How many of them it could not build.
    pub blocked: u32,
}

/// What became of a change where it arrived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// It is in effect, or something later is.
    Applied,
    /// A library of it sleeps: another one has its function's name.
    Asleep,
    /// A library of it could not be built there.
    Blocked,
    /// A floor or the mark is above it: it must be made anew, later.
    Stale,
}

/// An item of a list: enough to know whether to ask for the entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Item {
    /// The name.
    pub name: Name,
    /// Its stamp.
    pub stamp: Stamp,
    /// Its digest.
    pub digest: u128,
}

/// A message. All but the first four are of one exchange: `id` is that of the question, which its answer repeats.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Message {
    /// A change, whole.
    Change(Change),
    /// A change that is too large for a message: come and get it.
    Offer(Stamp),
    /// A change arrived.
    Ack {
        /// Which.
        stamp: Stamp,
        /// What became of it.
        verdict: Verdict,
        /// The clock there.
        clock: Hlc,
        /// Which library could not be built, and why.
        reason: String,
    },
    /// My state; `answer` if it answers one of these, and wants none.
    Hello {
        /// The state.
        summary: Summary,
        /// Whether it is an answer.
        answer: bool,
    },
    /// What are the sums of your buckets?
    AskBuckets {
        /// Of the question.
        id: u32,
        /// Without the tombstones up to here.
        upto: Hlc,
    },
    /// These.
    Buckets {
        /// Of the question.
        id: u32,
        /// The state that they are the sums of.
        summary: Summary,
        /// The sums, without the tombstones up to `summary.upto`.
        sums: Buckets,
    },
    /// What is in these buckets, behind this entry?
    AskList {
        /// Of the question.
        id: u32,
        /// The buckets.
        buckets: BucketSet,
        /// Where to begin.
        from: Key,
    },
    /// This.
    List {
        /// Of the question.
        id: u32,
        /// The floor while it was written.
        floor: Stamp,
        /// The entries, in order.
        items: Vec<Item>,
        /// Where to go on, unless this was the end.
        next: Option<Key>,
    },
    /// What stands under these names?
    AskEntries {
        /// Of the question.
        id: u32,
        /// The names.
        names: Vec<Name>,
    },
    /// The first ones of them, at least one.
    Entries {
        /// Of the question.
        id: u32,
        /// What stands there, if anything does.
        entries: Vec<(Name, Option<Entry>)>,
    },
    /// A long entry, from `offset` on.
    AskPiece {
        /// Of the question.
        id: u32,
        /// The name.
        name: Name,
        /// Which one under this name.
        stamp: Stamp,
        /// From where.
        offset: u32,
    },
    /// A piece of one.
    Piece {
        /// Of the question.
        id: u32,
        /// The name.
        name: Name,
        /// Which one under this name.
        stamp: Stamp,
        /// How long it is.
        total: u32,
        /// From where.
        offset: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A message of a kind that this version does not know.
    Unknown,
}

fn write_key(key: &Key, writer: &mut Writer) {
    writer.u16(key.0);
    writer.text(key.1.as_bytes());
}

fn read_key(reader: &mut Reader<'_>) -> Result<Key, Malformed> {
    let bucket = reader.u16()?;
    let name = std::str::from_utf8(reader.text(crate::wire::MAX_NAME)?).map_err(|_| Malformed)?;
    if bucket < BUCKETS { Ok((bucket, Arc::from(name))) } else { Err(Malformed) }
}

impl Summary {
    /// Behind its length, so that a later version can say more.
    fn write(&self, writer: &mut Writer) {
        let mut inner = Writer::default();
        inner.u8(self.least_version);
        inner.u8(self.version);
        inner.stamp(self.floor);
        inner.u64(self.gc.0);
        inner.u64(self.upto.0);
        inner.hash(Hash(self.total));
        inner.u64(self.clock.0);
        inner.flag(self.settled);
        inner.u32(self.libraries);
        inner.u32(self.asleep);
        inner.u32(self.blocked);
        writer.text(&inner.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Summary, Malformed> {
        let mut inner = Reader::new(reader.text(1024)?);
        Ok(Summary {
            least_version: inner.u8()?,
            version: inner.u8()?,
            floor: inner.stamp()?,
            gc: inner.hlc()?,
            upto: inner.hlc()?,
            total: inner.hash()?.0,
            clock: inner.hlc()?,
            settled: inner.flag()?,
            libraries: inner.u32()?,
            asleep: inner.u32()?,
            blocked: inner.u32()?,
        })
    }
}

impl Message {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Message::Change(change) => {
                writer.u8(1);
                change.write(&mut writer);
            }
            Message::Offer(stamp) => {
                writer.u8(2);
                writer.stamp(*stamp);
            }
            Message::Ack { stamp, verdict, clock, reason } => {
                writer.u8(3);
                writer.stamp(*stamp);
                writer.u8(*verdict as u8);
                writer.u64(clock.0);
                writer.text(reason.as_bytes());
            }
            Message::Hello { summary, answer } => {
                writer.u8(4);
                summary.write(&mut writer);
                writer.flag(*answer);
            }
            Message::AskBuckets { id, upto } => {
                writer.u8(5);
                writer.u32(*id);
                writer.u64(upto.0);
            }
            Message::Buckets { id, summary, sums } => {
                writer.u8(6);
                writer.u32(*id);
                summary.write(&mut writer);
                writer.count(sums.len());
                for (&bucket, &sum) in sums {
                    writer.u16(bucket);
                    writer.hash(Hash(sum));
                }
            }
            Message::AskList { id, buckets, from } => {
                writer.u8(7);
                writer.u32(*id);
                for &word in buckets.words() {
                    writer.u64(word);
                }
                write_key(from, &mut writer);
            }
            Message::List { id, floor, items, next } => {
                writer.u8(8);
                writer.u32(*id);
                writer.stamp(*floor);
                writer.count(items.len());
                for item in items {
                    writer.text(item.name.as_bytes());
                    writer.stamp(item.stamp);
                    writer.hash(Hash(item.digest));
                }
                writer.flag(next.is_some());
                if let Some(next) = next {
                    write_key(next, &mut writer);
                }
            }
            Message::AskEntries { id, names } => {
                writer.u8(9);
                writer.u32(*id);
                writer.count(names.len());
                for name in names {
                    writer.text(name.as_bytes());
                }
            }
            Message::Entries { id, entries } => {
                writer.u8(10);
                writer.u32(*id);
                writer.count(entries.len());
                for (name, entry) in entries {
                    writer.text(name.as_bytes());
                    writer.flag(entry.is_some());
                    if let Some(entry) = entry {
                        entry.write(&mut writer);
                    }
                }
            }
            Message::AskPiece { id, name, stamp, offset } => {
                writer.u8(11);
                writer.u32(*id);
                writer.text(name.as_bytes());
                writer.stamp(*stamp);
                writer.u32(*offset);
            }
            Message::Piece { id, name, stamp, total, offset, bytes } => {
                writer.u8(12);
                writer.u32(*id);
                writer.text(name.as_bytes());
                writer.stamp(*stamp);
                writer.u32(*total);
                writer.u32(*offset);
                writer.text(bytes);
            }
            Message::Unknown => writer.u8(255),
        }
        writer.0
    }

    /// Out of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Message, Malformed> {
        if bytes.len() > MAX_MESSAGE {
            return Err(Malformed);
        }
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Message::Change(Change::read(&mut reader)?),
            2 => Message::Offer(reader.stamp()?),
            3 => Message::Ack {
                stamp: reader.stamp()?,
                verdict: match reader.u8()? {
                    0 => Verdict::Applied,
                    1 => Verdict::Asleep,
                    2 => Verdict::Blocked,
                    3 => Verdict::Stale,
                    _ => return Err(Malformed),
                },
                clock: reader.hlc()?,
                reason: String::from_utf8_lossy(reader.text(MAX_REASON)?).into_owned(),
            },
            4 => Message::Hello { summary: Summary::read(&mut reader)?, answer: reader.flag()? },
            5 => Message::AskBuckets { id: reader.u32()?, upto: reader.hlc()? },
            6 => {
                let (id, summary) = (reader.u32()?, Summary::read(&mut reader)?);
                let mut sums = Buckets::new();
                for _ in 0..reader.count(18)? {
                    let (bucket, sum) = (reader.u16()?, reader.hash()?.0);
                    if bucket >= BUCKETS || sum == 0 || sums.insert(bucket, sum).is_some() {
                        return Err(Malformed);
                    }
                }
                Message::Buckets { id, summary, sums }
            }
            7 => {
                let id = reader.u32()?;
                let mut words = [0; BUCKETS as usize / 64];
                for word in &mut words {
                    *word = reader.u64()?;
                }
                Message::AskList { id, buckets: BucketSet::from_words(words), from: read_key(&mut reader)? }
            }
            8 => {
                let (id, floor) = (reader.u32()?, reader.stamp()?);
                let mut items = Vec::new();
                for _ in 0..reader.count(45)? {
                    items.push(Item { name: reader.name()?, stamp: reader.stamp()?, digest: reader.hash()?.0 });
                }
                let next = if reader.flag()? { Some(read_key(&mut reader)?) } else { None };
                Message::List { id, floor, items, next }
            }
            9 => {
                let id = reader.u32()?;
                let count = reader.count(5)?;
                Message::AskEntries { id, names: (0..count).map(|_| reader.name()).collect::<Result<_, _>>()? }
            }
            10 => {
                let id = reader.u32()?;
                let mut entries = Vec::new();
                for _ in 0..reader.count(6)? {
                    let name = reader.name()?;
                    let entry = if reader.flag()? { Some(Entry::read(&mut reader)?) } else { None };
                    entries.push((name, entry));
                }
                Message::Entries { id, entries }
            }
            11 => Message::AskPiece {
                id: reader.u32()?,
                name: reader.name()?,
                stamp: reader.stamp()?,
                offset: reader.u32()?,
            },
            12 => Message::Piece {
                id: reader.u32()?,
                name: reader.name()?,
                stamp: reader.stamp()?,
                total: reader.u32()?,
                offset: reader.u32()?,
                bytes: reader.text(MAX_CONTENT)?.to_vec(),
            },
            _ => return Ok(Message::Unknown),
        };
        reader.end()?;
        Ok(message)
    }
}

/// The longest reason why a library could not be built.
pub const MAX_REASON: usize = 512;
