//! Taking over what another node has and this one has not.
//!
//! The node that lacks something asks, page by page, and so sets the pace; the other answers each question out of what
//! it has at that moment and remembers nothing. What comes is staged, and merged as one change at the end, together
//! with the other's floor: so a deploy that is taken over in a thousand messages takes effect at once, and nothing
//! vanishes before what comes in its place is there.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::digest::BucketSet;
use crate::entry::{Entry, Name, NodeId};
use crate::message::{Item, MAX_CONTENT, MAX_ENTRY, Message, Summary};
use crate::registry::{Key, Registry};
use crate::stamp::{Hlc, Stamp};
use crate::wire::Reader;

/// How often a question is asked.
const TRIES: u8 = 4;
/// How often the exchange begins anew because the other's floor rose meanwhile.
const RESTARTS: u8 = 3;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Buckets,
    List,
    Entries,
    Piece { name: Name, stamp: Stamp, bytes: Vec<u8> },
}

/// An exchange. A node has one at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pull {
    /// With whom.
    pub peer: NodeId,
    /// Changes that it offered before this began.
    pub offers: Vec<Stamp>,
    /// What it said of itself at the beginning.
    pub summary: Summary,
    /// Entries that came, and are to be merged.
    pub staged: Vec<(Name, Entry)>,
    /// Entries of this node that the other has not, and that therefore go: each as it was.
    pub lacking: Vec<(Name, Stamp)>,
    /// Whether this node takes over what it lacks even in the place of what it has from before it joined.
    joining: bool,
    id: u32,
    stage: Stage,
    buckets: BucketSet,
    from: Key,
    next: Option<Key>,
    wanted: VecDeque<Name>,
    bytes: usize,
    asked: u64,
    tries: u8,
    restarts: u8,
    torn: bool,
}

/// How an exchange goes on.
pub enum Progress {
    /// With this question.
    Ask(Message),
    /// The message was no answer to the question.
    Ignore,
    /// All is staged.
    End,
    /// More is staged than may be: merge it, and go on with this question.
    Full(Message),
}

impl Pull {
    /// Begins one. `id` differs from those of all before.
    #[must_use]
    pub fn new(peer: NodeId, offers: Vec<Stamp>, joining: bool, id: u32, now: u64) -> Pull {
        Pull {
            peer,
            offers,
            summary: Summary::default(),
            staged: Vec::new(),
            lacking: Vec::new(),
            joining,
            id,
            stage: Stage::Buckets,
            buckets: BucketSet::default(),
            from: (0, Arc::from("")),
            next: None,
            wanted: VecDeque::new(),
            bytes: 0,
            asked: now,
            tries: 0,
            restarts: 0,
            torn: false,
        }
    }

    /// The number of the question that is open.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The bytes that are staged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The question that is open.
    #[must_use]
    pub fn question(&self, registry: &Registry) -> Message {
        let id = self.id;
        match &self.stage {
            Stage::Buckets => Message::AskBuckets { id, upto: registry.gc() },
            Stage::List => Message::AskList { id, buckets: self.buckets.clone(), from: self.from.clone() },
            Stage::Entries => {
                let mut bytes = 0;
                let fits = |name: &&Name| {
                    bytes += name.len() + 4;
                    bytes <= MAX_CONTENT
                };
                Message::AskEntries { id, names: self.wanted.iter().take_while(fits).cloned().collect() }
            }
            Stage::Piece { name, stamp, bytes } => Message::AskPiece {
                id,
                name: Arc::clone(name),
                stamp: *stamp,
                offset: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            },
        }
    }

    /// Asks again what got no answer, unless that was in vain too often.
    pub fn again(&mut self, registry: &Registry, now: u64) -> Option<Message> {
        self.tries += 1;
        self.asked = now;
        (self.tries < TRIES).then(|| self.question(registry))
    }

    /// When the open question was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    fn ask(&mut self, stage: Stage, registry: &Registry, now: u64) -> Progress {
        self.stage = stage;
        self.id = self.id.wrapping_add(1);
        self.asked = now;
        self.tries = 0;
        Progress::Ask(self.question(registry))
    }

    /// Takes an answer. More than `limit` staged bytes are not kept.
    pub fn answer(&mut self, message: Message, registry: &Registry, limit: usize, now: u64) -> Progress {
        match (message, &mut self.stage) {
            (Message::Buckets { id, summary, sums }, Stage::Buckets) if id == self.id => {
                self.buckets = BucketSet::unequal(&sums, &registry.sums(summary.upto));
                self.torn = false;
                self.summary = summary;
                self.from = (0, Arc::from(""));
                self.lacking.clear();
                if self.buckets.first_from(0).is_none() {
                    return Progress::End;
                }
                self.ask(Stage::List, registry, now)
            }
            (Message::List { id, floor, items, next }, Stage::List) if id == self.id => {
                let ordered = items.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
                let forward = items.iter().all(|item| key(item) > self.from && self.buckets.contains(key(item).0));
                let ahead = next.as_ref().is_none_or(|next| items.last().is_some_and(|last| key(last) == *next));
                if !(ordered && forward && ahead) {
                    return Progress::Ignore;
                }
                self.torn |= floor != self.summary.floor;
                self.compare(&items, next.as_ref(), registry);
                self.next = next;
                self.go_on(registry, now)
            }
            (Message::Entries { id, entries }, Stage::Entries) if id == self.id && !entries.is_empty() => {
                for (name, entry) in entries {
                    if self.wanted.front() != Some(&name) {
                        return Progress::Ignore;
                    }
                    self.wanted.pop_front();
                    self.stage_entry(name, entry);
                }
                self.go_on_within(limit, registry, now)
            }
            (Message::Piece { id, name, stamp, total, offset: 0, bytes }, Stage::Entries)
                if id == self.id && self.wanted.front() == Some(&name) && (total as usize) <= MAX_ENTRY =>
            {
                self.take_piece(name, stamp, total, bytes, limit, registry, now)
            }
            (
                Message::Piece { id, name, stamp, total, offset, bytes },
                Stage::Piece { name: wanted, stamp: at, bytes: before },
            ) if id == self.id && name == *wanted && (total as usize) <= MAX_ENTRY => {
                if stamp == *at && offset as usize == before.len() {
                    let mut whole = std::mem::take(before);
                    whole.extend_from_slice(&bytes);
                    self.take_piece(name, stamp, total, whole, limit, registry, now)
                } else if offset == 0 {
                    // It was replaced meanwhile.
                    self.take_piece(name, stamp, total, bytes, limit, registry, now)
                } else {
                    Progress::Ignore
                }
            }
            (Message::Entries { id, entries }, Stage::Piece { name: wanted, .. })
                if id == self.id && entries.len() == 1 && entries[0].0 == *wanted =>
            {
                // It was replaced by one that fits into a message, or is not there any more.
                let (name, entry) = entries.into_iter().next().unwrap_or_else(|| unreachable!("there is one"));
                self.wanted.pop_front();
                self.stage_entry(name, entry);
                self.go_on_within(limit, registry, now)
            }
            _ => Progress::Ignore,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a piece has this many parts")]
    fn take_piece(
        &mut self,
        name: Name,
        stamp: Stamp,
        total: u32,
        bytes: Vec<u8>,
        limit: usize,
        registry: &Registry,
        now: u64,
    ) -> Progress {
        if bytes.len() < total as usize {
            return self.ask(Stage::Piece { name, stamp, bytes }, registry, now);
        }
        self.wanted.pop_front();
        let mut reader = Reader::new(&bytes);
        match Entry::read(&mut reader) {
            Ok(entry) if entry.stamp == stamp => self.stage_entry(name, Some(entry)),
            _ => self.stage_entry(name, None),
        }
        self.go_on_within(limit, registry, now)
    }

    fn stage_entry(&mut self, name: Name, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.bytes += entry.wire_size(&name);
            self.staged.push((name, entry));
        }
    }

    fn go_on_within(&mut self, limit: usize, registry: &Registry, now: u64) -> Progress {
        let full = self.bytes > limit;
        match self.go_on(registry, now) {
            Progress::Ask(question) if full => Progress::Full(question),
            progress => progress,
        }
    }

    /// The staged entries, to merge them before the end.
    pub fn unload(&mut self) -> Vec<(Name, Entry)> {
        self.bytes = 0;
        std::mem::take(&mut self.staged)
    }

    fn go_on(&mut self, registry: &Registry, now: u64) -> Progress {
        if !self.wanted.is_empty() {
            return self.ask(Stage::Entries, registry, now);
        }
        if let Some(next) = self.next.take() {
            self.from = next;
            return self.ask(Stage::List, registry, now);
        }
        if self.torn && self.restarts < RESTARTS {
            self.restarts += 1;
            return self.ask(Stage::Buckets, registry, now);
        }
        Progress::End
    }

    /// Compares a page with what is here: what to ask for, and what goes.
    fn compare(&mut self, items: &[Item], next: Option<&Key>, registry: &Registry) {
        for item in items {
            let floor = registry.floor().max(self.summary.floor);
            let want = match registry.get(&item.name) {
                Some(held) if self.joining && held.entry.stamp.hlc == Hlc::ZERO => held.entry.stamp != item.stamp,
                Some(held) => {
                    let same = item.stamp == held.entry.stamp && item.digest != held.entry.digest(&item.name);
                    item.stamp > held.entry.stamp || same
                }
                None => item.stamp.hlc > registry.gc() || registry.gc() == Hlc::ZERO,
            };
            let staged = |(name, entry): &(Name, Entry)| *name == item.name && entry.stamp == item.stamp;
            if want && item.stamp >= floor && !(self.restarts > 0 && self.staged.iter().any(staged)) {
                self.wanted.push_back(Arc::clone(&item.name));
            }
        }
        let joins = self.joining && self.summary.settled;
        let page = registry
            .list(&self.buckets, &self.from, |name| next.is_some_and(|next| crate::registry::key_of(name) > *next));
        let mut theirs = items.iter().map(key).peekable();
        for (name, held) in page.items {
            let key = crate::registry::key_of(&name);
            while theirs.peek().is_some_and(|item| *item < key) {
                theirs.next();
            }
            if theirs.peek() == Some(&key) {
                continue;
            }
            let hlc = held.entry.stamp.hlc;
            let collected = self.summary.gc > Hlc::ZERO && hlc <= self.summary.gc;
            if collected || (joins && hlc == Hlc::ZERO) {
                self.lacking.push((name, held.entry.stamp));
            }
        }
    }
}

fn key(item: &Item) -> Key {
    crate::registry::key_of(&item.name)
}
