//! The entries, and how two states become one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clash::Claims;
use crate::delta::Delta;
use crate::digest::{BUCKETS, BucketSet, Buckets, Sums, add, bucket_of};
use crate::entry::{Entry, Name, stamp_alone};
use crate::stamp::{Hlc, Stamp};

/// Where an entry stands: by bucket, so that a bucket can be listed without looking at the others.
pub type Key = (u16, Name);

/// The key of a name.
#[must_use]
pub fn key_of(name: &Name) -> Key {
    (bucket_of(name), Arc::clone(name))
}

/// An entry, and what this node alone knows of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Held {
    /// The entry.
    pub entry: Entry,
    digest: u128,
    /// The how-manieth that came: what a peer confirmed later than that, it confirmed with this entry.
    pub seen: u64,
    /// When it came.
    pub arrived: u64,
    /// Whether a client of this node has been answered for this content.
    pub echoed: bool,
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merged {
    /// It is what stands under its name now.
    Taken,
    /// It stood there already.
    Same,
    /// Something later stands there.
    Overruled,
    /// A floor is above it, or what it is was deleted so long ago that nobody remembers.
    Stale,
}

/// The entries of a node, what vanished as a whole, and the clock.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Registry {
    entries: BTreeMap<Key, Held>,
    sums: Sums,
    /// The tombstones, oldest first.
    dead: BTreeSet<(Hlc, Key)>,
    /// The newest change that cleared all. What is older is not there.
    floor: Stamp,
    /// Tombstones up to here were dropped.
    gc: Hlc,
    clock: Hlc,
    /// The libraries' claims on names of functions.
    pub claims: Claims,
    /// How many entries came.
    arrivals: u64,
    /// The bytes of all entries.
    bytes: usize,
}

impl Registry {
    /// The newest change that cleared all.
    #[must_use]
    pub fn floor(&self) -> Stamp {
        self.floor
    }

    /// Tombstones up to here were dropped.
    #[must_use]
    pub fn gc(&self) -> Hlc {
        self.gc
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Hlc {
        self.clock
    }

    /// A reading of another clock was seen.
    pub fn see(&mut self, hlc: Hlc) {
        self.clock = self.clock.max(hlc);
    }

    /// A new reading.
    pub fn tick(&mut self, now_ms: u64) -> Hlc {
        self.clock = self.clock.next(now_ms);
        self.clock
    }

    /// How many entries came until now.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// The bytes of all entries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many tombstones there are.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.dead.len()
    }

    /// How many libraries there are.
    #[must_use]
    pub fn libraries(&self) -> usize {
        self.entries.len() - self.dead.len()
    }

    /// What stands under a name, tombstones included.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Held> {
        self.entries.get(&key_of(name))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Held)> {
        self.entries.iter().map(|((_, name), held)| (name, held))
    }

    /// The entries of a bucket behind a name, in order.
    pub fn bucket_after<'a>(&'a self, bucket: u16, after: &Name) -> impl Iterator<Item = (&'a Name, &'a Held)> + 'a {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = (Excluded((bucket, Arc::clone(after))), Unbounded);
        self.entries.range(from).take_while(move |((at, _), _)| *at == bucket).map(|((_, name), held)| (name, held))
    }

    /// Merges an entry. Commutative, associative, idempotent: the same set of entries, floors and drops of tombstones
    /// comes out in whichever order and however often they came in.
    pub fn merge(&mut self, name: &Name, entry: Entry, now_ms: u64, delta: &mut Delta) -> Merged {
        self.see(entry.stamp.hlc);
        if entry.stamp < self.floor {
            return Merged::Stale;
        }
        let key = key_of(name);
        let mut echoed = false;
        match self.entries.get_mut(&key) {
            Some(held) => {
                match entry.rank().cmp(&held.entry.rank()) {
                    std::cmp::Ordering::Less => return Merged::Overruled,
                    std::cmp::Ordering::Equal => return Merged::Same,
                    std::cmp::Ordering::Greater => {}
                }
                // A client that sends the same to every master got its answer from this one already.
                echoed = held.echoed && held.entry.body == entry.body;
                if entry.stamp.hlc <= self.gc && !entry.is_live() {
                    self.remove(name, delta);
                    return Merged::Taken;
                }
            }
            None if entry.stamp.hlc <= self.gc && self.gc > Hlc::ZERO => return Merged::Stale,
            None => {}
        }
        self.put(key, entry, now_ms, echoed, delta);
        Merged::Taken
    }

    /// Puts an entry where it is, whatever stands there: for what this node is to take over, or has from its master.
    pub fn overwrite(&mut self, name: &Name, entry: Entry, now_ms: u64, delta: &mut Delta) {
        self.see(entry.stamp.hlc);
        self.put(key_of(name), entry, now_ms, false, delta);
    }

    fn put(&mut self, key: Key, entry: Entry, now_ms: u64, echoed: bool, delta: &mut Delta) {
        self.take_out(&key);
        let name = Arc::clone(&key.1);
        let digest = entry.digest(&name);
        self.sums.add(key.0, digest);
        self.bytes += entry.wire_size(&name);
        match &entry.body {
            Some(body) => self.claims.insert(&name, entry.born, body),
            None => {
                self.dead.insert((entry.stamp.hlc, key.clone()));
            }
        }
        self.arrivals += 1;
        delta.put(&name, &entry);
        self.entries.insert(key, Held { entry, digest, seen: self.arrivals, arrived: now_ms, echoed });
    }

    fn take_out(&mut self, key: &Key) -> Option<Held> {
        let held = self.entries.remove(key)?;
        self.sums.subtract(key.0, held.digest);
        self.bytes -= held.entry.wire_size(&key.1);
        if held.entry.is_live() {
            self.claims.remove(&key.1);
        } else {
            self.dead.remove(&(held.entry.stamp.hlc, key.clone()));
        }
        Some(held)
    }

    /// Drops what stands under a name without leaving a tombstone.
    pub fn remove(&mut self, name: &Name, delta: &mut Delta) {
        if self.take_out(&key_of(name)).is_some() {
            delta.drop_name(name);
        }
    }

    /// Raises the floor: what is below it vanishes, tombstones too. What was made by the change that set the floor has
    /// its stamp, and stays.
    pub fn raise_floor(&mut self, floor: Stamp, delta: &mut Delta) -> bool {
        self.see(floor.hlc);
        if floor <= self.floor {
            return false;
        }
        self.floor = floor;
        let below: Vec<Key> =
            self.entries.iter().filter(|(_, held)| held.entry.stamp < floor).map(|(key, _)| key.clone()).collect();
        for key in below {
            self.take_out(&key);
            delta.forget(&key.1);
        }
        delta.floor = floor;
        true
    }

    /// Takes the mark below which tombstones were dropped, and drops them.
    pub fn raise_gc(&mut self, gc: Hlc, delta: &mut Delta) {
        if gc <= self.gc {
            return;
        }
        self.gc = gc;
        while let Some((hlc, key)) = self.dead.first().cloned() {
            if hlc > gc {
                break;
            }
            self.take_out(&key);
            delta.forget(&key.1);
        }
        delta.gc = gc;
    }

    /// Up to where tombstones may be dropped: those at the front that everybody confirmed (who confirmed the least, did
    /// so after `confirmed` arrivals) and that were made before `before`.
    #[must_use]
    pub fn droppable(&self, confirmed: u64, before: Hlc) -> Option<Hlc> {
        let confirmed = |key: &Key| self.entries[key].seen <= confirmed;
        // The first that must stay keeps all of its time, or the mark would not be below it.
        let stays = self.dead.iter().find(|(hlc, key)| *hlc >= before || !confirmed(key)).map(|(hlc, _)| *hlc);
        let last = match stays {
            Some(stays) => self.dead.range(..(stays, (0, Arc::from("")))).next_back(),
            None => self.dead.last(),
        };
        last.map(|(hlc, _)| *hlc)
    }

    /// Drops tombstones and floor, and puts all libraries below every change that is made in a cluster: nobody is left
    /// whose changes these could be compared with.
    pub fn restart_alone(&mut self, delta: &mut Delta) {
        let libraries: Vec<_> = std::mem::take(&mut self.entries).into_iter().collect();
        let clock = self.clock;
        let claims = std::mem::take(&mut self.claims);
        let arrivals = self.arrivals;
        *self = Registry { clock, arrivals, claims, ..Registry::default() };
        delta.restart = true;
        for ((_, name), held) in libraries {
            if let Some(body) = &held.entry.body {
                let stamp = stamp_alone(&name, body);
                let entry = Entry { stamp, born: Stamp::BEFORE_THE_CLUSTER, ..held.entry };
                self.put(key_of(&name), entry, held.arrived, false, delta);
            } else {
                delta.forget(&name);
            }
        }
    }

    /// The sum of all entries without the tombstones up to `gc`.
    #[must_use]
    pub fn total(&self, gc: Hlc) -> u128 {
        self.below(gc).fold(self.sums.total(), |sum, (_, digest)| sum.wrapping_sub(digest))
    }

    /// The sums of the buckets without the tombstones up to `gc`.
    #[must_use]
    pub fn sums(&self, gc: Hlc) -> Buckets {
        let mut sums = self.sums.buckets().clone();
        for (bucket, digest) in self.below(gc) {
            add(&mut sums, bucket, digest.wrapping_neg());
        }
        sums
    }

    fn below(&self, gc: Hlc) -> impl Iterator<Item = (u16, u128)> + '_ {
        self.dead.iter().take_while(move |(hlc, _)| *hlc <= gc).map(|(_, key)| (key.0, self.entries[key].digest))
    }

    /// The first entries of some buckets, from `from` on, until `full` says that it is enough; and where to go on.
    #[must_use]
    pub fn list(&self, buckets: &BucketSet, from: &Key, mut full: impl FnMut(&Name) -> bool) -> Listed<'_> {
        let mut items = Vec::new();
        let mut bucket = from.0;
        let mut after = Arc::clone(&from.1);
        while let Some(next) = buckets.first_from(bucket) {
            if next != bucket {
                after = Arc::from("");
            }
            for (name, held) in self.bucket_after(next, &after) {
                if full(name) {
                    let last = items.last().map_or_else(|| from.clone(), |(name, _): &(Name, &Held)| key_of(name));
                    return Listed { items, next: Some(last) };
                }
                items.push((Arc::clone(name), held));
            }
            if next + 1 >= BUCKETS {
                break;
            }
            bucket = next + 1;
            after = Arc::from("");
        }
        Listed { items, next: None }
    }

    /// A client of this node is answered for this content: the next that sends it gets the usual reply.
    pub fn mark_echoed(&mut self, name: &Name) {
        if let Some(held) = self.entries.get_mut(&key_of(name)) {
            held.echoed = true;
        }
    }
}

/// A page of a list.
pub struct Listed<'a> {
    /// The entries.
    pub items: Vec<(Name, &'a Held)>,
    /// Where to go on, unless this was the end.
    pub next: Option<Key>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Body, NodeId};
    use crate::stamp::Hash;

    const NODE: NodeId = NodeId([b'a'; 40]);

    fn at(time: u64) -> Stamp {
        Stamp { hlc: Hlc(time << 16), hash: Hash(u128::from(time)) }
    }

    fn entry(stamp: Stamp, source: Option<u8>) -> Entry {
        let body = source.map(|source| Body::new(vec![source], [format!("f{source}").into()]));
        Entry { stamp, born: stamp, origin: NODE, body }
    }

    fn entries(registry: &Registry) -> Vec<(Name, Entry)> {
        registry.iter().map(|(name, held)| (Arc::clone(name), held.entry.clone())).collect()
    }

    #[test]
    fn merging_does_not_depend_on_order_or_number() {
        // I2, and that sums are of what is there, however it came.
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let mut changes: Vec<(Option<Name>, Entry)> = (0..random.usize(1..8))
                .map(|_| {
                    // Times collide, contents too.
                    let stamp = Stamp { hlc: at(random.u64(1..4)).hlc, hash: Hash(random.u128(0..3)) };
                    let name = (random.u8(0..5) > 0).then(|| Name::from(format!("l{}", random.u8(0..2))));
                    (name, entry(stamp, (random.u8(0..3) > 0).then(|| random.u8(0..2))))
                })
                .collect();
            let mut outcome = None;
            for _ in 0..4 {
                random.shuffle(&mut changes);
                let mut registry = Registry::default();
                for (name, entry) in changes.iter().chain(changes.iter().take(2)) {
                    match name {
                        Some(name) => {
                            registry.merge(name, entry.clone(), 0, &mut Delta::default());
                        }
                        None => {
                            registry.raise_floor(entry.stamp, &mut Delta::default());
                        }
                    }
                }
                registry.claims.settle();
                let asleep: Vec<Name> = registry.claims.asleep().cloned().collect();
                let now = (entries(&registry), registry.floor(), registry.total(Hlc::ZERO), registry.bytes(), asleep);
                assert_eq!(outcome.get_or_insert_with(|| now.clone()), &now, "{changes:?}");
            }
        }
    }

    #[test]
    fn what_a_floor_has_taken_does_not_return_and_what_it_brought_stays() {
        let mut registry = Registry::default();
        let mut delta = Delta::default();
        registry.merge(&"old".into(), entry(at(1), Some(1)), 0, &mut delta);
        registry.raise_floor(at(2), &mut delta);
        assert_eq!(registry.merge(&"old".into(), entry(at(1), Some(1)), 0, &mut delta), Merged::Stale);
        assert_eq!(registry.merge(&"new".into(), entry(at(2), Some(2)), 0, &mut delta), Merged::Taken);
        assert!(!registry.raise_floor(at(1), &mut delta));
        assert_eq!(registry.libraries(), 1);
        assert_eq!(registry.clock(), at(2).hlc);
    }

    #[test]
    fn what_was_deleted_does_not_return_when_its_tombstone_is_dropped() {
        let mut registry = Registry::default();
        let mut delta = Delta::default();
        let name: Name = "x".into();
        registry.merge(&name, entry(at(1), Some(1)), 0, &mut delta);
        registry.merge(&name, entry(at(2), None), 0, &mut delta);
        assert_eq!(registry.tombstones(), 1);
        registry.raise_gc(at(2).hlc, &mut delta);
        assert_eq!((registry.tombstones(), registry.bytes(), registry.total(Hlc::ZERO)), (0, 0, 0));
        assert_eq!(registry.merge(&name, entry(at(1), Some(1)), 0, &mut delta), Merged::Stale);
        assert_eq!(registry.merge(&name, entry(at(3), Some(1)), 0, &mut delta), Merged::Taken);
    }

    #[test]
    fn only_what_is_confirmed_and_old_may_be_dropped() {
        let mut registry = Registry::default();
        let mut delta = Delta::default();
        for (time, name) in [(1, "a"), (2, "b"), (3, "c")] {
            registry.merge(&name.into(), entry(at(time), None), 0, &mut delta);
        }
        // Of the time of "b", and later here.
        registry.merge(&"d".into(), entry(at(2), None), 0, &mut delta);
        assert_eq!(registry.droppable(0, Hlc::MAX), None, "nobody has confirmed any");
        assert_eq!(registry.droppable(1, Hlc::MAX), Some(at(1).hlc));
        assert_eq!(registry.droppable(2, Hlc::MAX), Some(at(1).hlc), "one of two of the same time is not enough");
        assert_eq!(registry.droppable(4, Hlc::MAX), Some(at(3).hlc));
        assert_eq!(registry.droppable(4, at(2).hlc), Some(at(1).hlc), "the others are too new");
    }

    #[test]
    fn tombstones_below_the_others_mark_are_not_compared() {
        let (mut a, mut b) = (Registry::default(), Registry::default());
        let mut delta = Delta::default();
        for registry in [&mut a, &mut b] {
            registry.merge(&"kept".into(), entry(at(9), Some(1)), 0, &mut delta);
            registry.merge(&"x".into(), entry(at(2), None), 0, &mut delta);
        }
        a.raise_gc(at(2).hlc, &mut delta);
        assert_ne!(a.total(a.gc()), b.total(b.gc()));
        assert_eq!(a.total(a.gc()), b.total(a.gc()));
        assert_eq!(a.sums(a.gc()), b.sums(a.gc()));
    }
}
