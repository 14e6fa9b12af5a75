//! The cache of scripts: by their SHA-1, and by their text.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hashbrown::HashTable;

use super::callback::{Callback, Slot};
use super::digest::Digest;
use super::flags::FunctionFlags;
use super::folded::{NameHasher, drop_in_order, is_same, spread};
use crate::block;
use crate::clock::Milliseconds;

/// How a script came to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By EVAL or EVAL_RO. It may be evicted.
    Eval,
    /// By SCRIPT LOAD. It stays.
    Load,
}

/// A cached script.
#[derive(Debug)]
pub struct Script {
    /// What it is found by.
    pub digest: Digest,
    /// The same as text, which each call asks for.
    pub name: Box<str>,
    /// Its text as it was sent, first line included.
    pub code: Box<[u8]>,
    /// What its first line declares; None without such a line.
    pub flags: Option<FunctionFlags>,
    /// What is called, unless it is refused.
    pub callback: Callback,
    /// The wire text of why it cannot be called: it came from a file and does not compile.
    pub refusal: Option<Vec<u8>>,
    /// Bytes that it had taken in the VM when it was loaded.
    pub vm_bytes: usize,
    /// Whether it stays, whatever else comes.
    stays: AtomicBool,
    /// Whether the server's files and replicas have it as it is.
    kept: AtomicBool,
    /// The number of the last use: greater than that of every use before.
    used: AtomicU64,
    /// The number by which it is among the candidates for eviction.
    noted: AtomicU64,
    /// When it was used last, by the clock of [`Milliseconds`].
    last_use: AtomicU64,
}

impl Script {
    /// A script that was not used yet. `vm_bytes`: what it has taken in the VM.
    pub fn new(
        code: &[u8],
        flags: Option<FunctionFlags>,
        callback: Result<Callback, Vec<u8>>,
        vm_bytes: usize,
        origin: Origin,
    ) -> Self {
        let (callback, refusal) = match callback {
            Ok(callback) => (callback, None),
            Err(refusal) => (Callback::new(Slot::NONE), Some(refusal)),
        };
        let digest = Digest::of(code);
        Self {
            digest,
            name: digest.as_str().into(),
            code: code.into(),
            flags,
            callback,
            refusal,
            vm_bytes,
            stays: AtomicBool::new(origin == Origin::Load),
            kept: AtomicBool::new(false),
            used: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            last_use: AtomicU64::new(0),
        }
    }

    /// How it came to the cache, or how it was loaded again since.
    pub fn origin(&self) -> Origin {
        if self.stays.load(Relaxed) { Origin::Load } else { Origin::Eval }
    }

    /// Whether the server's files and replicas have it as it is.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// For how many milliseconds it was not used.
    pub fn idle(&self) -> u64 {
        Milliseconds(self.last_use.load(Relaxed)).elapsed().0
    }

    /// Bytes that it takes outside of the VM.
    pub fn bytes(&self) -> usize {
        block::shared_size::<Self>() + block::size(self.name.len()) + block::size(self.code.len())
    }
}

/// A script and the hash that a table has it under.
struct Entry {
    script: Arc<Script>,
    hash: u32,
}

/// All cached scripts.
///
/// Invariant: both tables hold the same scripts. The candidates are the scripts that may be evicted, each by the number
/// that it has noted, and those that are kept apart from the others. A use changes another number, and costs nothing
/// here.
#[derive(Default)]
pub struct ScriptCache {
    by_digest: HashTable<Entry>,
    /// So that a cached script is found without its SHA-1, which takes longer than comparing it.
    by_code: HashTable<Entry>,
    /// Those that may be evicted, by the use that was their last one when it was noted. The second map has those that
    /// are kept.
    candidates: [BTreeMap<u64, Arc<Script>>; 2],
    /// Of all scripts together, outside of the VM.
    bytes: usize,
    /// What they had taken in the VM when they were loaded.
    vm_bytes: usize,
    /// How many cannot be called.
    refused: usize,
    /// The number of the last use of any script.
    uses: Cell<u64>,
    hasher: NameHasher,
}

impl ScriptCache {
    /// How many scripts there are.
    pub fn count(&self) -> usize {
        self.by_digest.len()
    }

    /// How many of them may be evicted.
    pub fn evictable(&self) -> usize {
        self.candidates.iter().map(BTreeMap::len).sum()
    }

    /// How many of them may be evicted and are not kept.
    pub fn evictable_unkept(&self) -> usize {
        self.candidates[0].len()
    }

    /// Bytes that those had taken in the VM that may be evicted; with `spares_kept` those of them that are not kept.
    pub fn evictable_bytes(&self, spares_kept: bool) -> usize {
        let maps = if spares_kept { 1 } else { 2 };
        self.candidates[..maps].iter().flat_map(BTreeMap::values).map(|script| script.vm_bytes).sum()
    }

    /// How many of them cannot be called: they came from a file and do not compile.
    pub const fn refused(&self) -> usize {
        self.refused
    }

    /// Bytes that all of it takes outside of the VM: see [`Script::bytes`], and what it needs to find each.
    pub fn bytes(&self) -> usize {
        let tables = [&self.by_digest, &self.by_code].map(|table| block::size(table.allocation_size()));
        self.bytes + tables.iter().sum::<usize>()
    }

    /// Bytes that the scripts had taken in the VM when they were loaded.
    pub const fn vm_bytes(&self) -> usize {
        self.vm_bytes
    }

    /// Bytes of all scripts, in the VM and outside of it. With what finds each of them, but without the room that the
    /// tables have for more: that stays when scripts go.
    pub fn all_bytes(&self) -> usize {
        self.bytes + self.count() * 2 * size_of::<Entry>() + self.vm_bytes
    }

    /// The script of this digest, in any case.
    pub fn script(&self, digest: &[u8]) -> Option<&Arc<Script>> {
        if digest.len() != Digest::LENGTH {
            return None;
        }
        let hash = self.hasher.folded(digest);
        let is_it = |entry: &Entry| entry.hash == hash && is_same(entry.script.digest.as_bytes(), digest);
        self.by_digest.find(spread(hash), is_it).map(|entry| &entry.script)
    }

    /// The script of this text.
    pub fn script_of(&self, code: &[u8]) -> Option<&Arc<Script>> {
        let hash = self.hasher.exact(code);
        let is_it = |entry: &Entry| entry.hash == hash && *entry.script.code == *code;
        self.by_code.find(spread(hash), is_it).map(|entry| &entry.script)
    }

    /// All scripts, in no particular order.
    pub fn scripts(&self) -> impl Iterator<Item = &Arc<Script>> {
        self.by_digest.iter().map(|entry| &entry.script)
    }

    /// All scripts, the one that was used last first.
    pub fn by_last_use(&self) -> Vec<&Arc<Script>> {
        let mut scripts: Vec<_> = self.scripts().collect();
        scripts.sort_unstable_by_key(|script| Reverse(script.used.load(Relaxed)));
        scripts
    }

    /// Notes that a script is used.
    pub fn note_use(&self, script: &Script, now: Milliseconds) {
        self.uses.set(self.uses.get() + 1);
        script.used.store(self.uses.get(), Relaxed);
        script.last_use.store(now.0, Relaxed);
    }

    /// Those that are kept, the least recently used first.
    pub fn kept_by_use(&self) -> Vec<&Arc<Script>> {
        let mut kept: Vec<_> = self.scripts().filter(|script| script.is_kept()).collect();
        kept.sort_unstable_by_key(|script| script.used.load(Relaxed));
        kept
    }

    /// Makes a script stay that EVAL has brought. The files and replicas do not have it as such yet.
    pub fn promote(&mut self, digest: &[u8]) {
        let Some(script) = self.script(digest).cloned().filter(|script| script.origin() == Origin::Eval) else {
            return;
        };
        self.forget_candidate(&script);
        script.stays.store(true, Relaxed);
        script.kept.store(false, Relaxed);
    }

    /// Notes whether the files and replicas have this script as it is.
    pub fn set_kept(&mut self, digest: &[u8], kept: bool) {
        let Some(script) = self.script(digest).cloned().filter(|script| script.is_kept() != kept) else { return };
        let evictable = self.forget_candidate(&script);
        script.kept.store(kept, Relaxed);
        if evictable {
            self.note_candidate(script);
        }
    }

    /// Notes that the files and replicas may have none of the scripts from now on.
    pub fn forget_kept(&mut self) {
        self.scripts().for_each(|script| script.kept.store(false, Relaxed));
        let [unkept, kept] = &mut self.candidates;
        unkept.append(kept);
    }

    /// Adds a script that is not there yet, as the one that was used last.
    pub fn insert(&mut self, script: Script, now: Milliseconds) -> Arc<Script> {
        debug_assert!(self.script(script.digest.as_bytes()).is_none());
        let script = Arc::new(script);
        self.note_use(&script, now);
        self.bytes += script.bytes();
        self.vm_bytes += script.vm_bytes;
        self.refused += usize::from(script.refusal.is_some());
        if script.origin() == Origin::Eval {
            self.note_candidate(Arc::clone(&script));
        }
        let by_digest = self.hasher.folded(script.digest.as_bytes());
        let by_code = self.hasher.exact(&script.code);
        for (table, hash) in [(&mut self.by_digest, by_digest), (&mut self.by_code, by_code)] {
            let entry = Entry { script: Arc::clone(&script), hash };
            table.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        }
        script
    }

    /// Takes out the script of this digest. Its slot is the caller's to release.
    pub fn remove(&mut self, digest: &[u8]) -> Option<Arc<Script>> {
        let script = Arc::clone(self.script(digest)?);
        let by_digest = self.hasher.folded(script.digest.as_bytes());
        let by_code = self.hasher.exact(&script.code);
        for (table, hash) in [(&mut self.by_digest, by_digest), (&mut self.by_code, by_code)] {
            if let Ok(entry) = table.find_entry(spread(hash), |entry| Arc::ptr_eq(&entry.script, &script)) {
                entry.remove();
            }
        }
        self.bytes -= script.bytes();
        self.vm_bytes -= script.vm_bytes;
        self.refused -= usize::from(script.refusal.is_some());
        self.forget_candidate(&script);
        Some(script)
    }

    fn note_candidate(&mut self, script: Arc<Script>) {
        let used = script.used.load(Relaxed);
        script.noted.store(used, Relaxed);
        self.candidates[usize::from(script.is_kept())].insert(used, script);
    }

    /// Takes a script from the candidates. Whether it was one.
    fn forget_candidate(&mut self, script: &Script) -> bool {
        script.origin() == Origin::Eval
            && self.candidates[usize::from(script.is_kept())].remove(&script.noted.load(Relaxed)).is_some()
    }

    /// The script that may be evicted and was used least recently; with `spares_kept` of those that are not kept.
    pub fn least_recently_used(&mut self, spares_kept: bool) -> Option<Digest> {
        let unkept = self.first_candidate(0);
        let kept = if spares_kept { None } else { self.first_candidate(1) };
        unkept.into_iter().chain(kept).min_by_key(|&(used, _)| used).map(|(_, digest)| digest)
    }

    fn first_candidate(&mut self, kept: usize) -> Option<(u64, Digest)> {
        loop {
            let first = self.candidates[kept].first_entry()?;
            let used = first.get().used.load(Relaxed);
            if *first.key() == used {
                return Some((used, first.get().digest));
            }
            let used_since = first.remove();
            self.note_candidate(used_since);
        }
    }
}

impl Drop for ScriptCache {
    fn drop(&mut self) {
        self.candidates.iter_mut().for_each(BTreeMap::clear);
        self.by_code = HashTable::new();
        drop_in_order(self.by_digest.drain().map(|entry| entry.script));
    }
}

impl fmt::Debug for ScriptCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.scripts().map(|script| script.digest)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(cache: &mut ScriptCache, code: &str, origin: Origin) -> Arc<Script> {
        let callback = Ok(Callback::new(Slot(0)));
        cache.insert(Script::new(code.as_bytes(), None, callback, 10, origin), Milliseconds(0))
    }

    fn oldest(cache: &mut ScriptCache) -> Option<String> {
        let digest = cache.least_recently_used(false)?;
        Some(String::from_utf8(cache.script(digest.as_bytes())?.code.to_vec()).unwrap())
    }

    #[test]
    fn a_script_is_found_by_its_digest_in_any_case_and_by_its_text() {
        let mut cache = ScriptCache::default();
        let script = add(&mut cache, "return 1", Origin::Eval);
        let digest = script.digest.to_string();
        for digest in [digest.clone(), digest.to_uppercase()] {
            assert!(cache.script(digest.as_bytes()).is_some_and(|found| Arc::ptr_eq(found, &script)));
        }
        assert!(cache.script_of(b"return 1").is_some_and(|found| Arc::ptr_eq(found, &script)));
        for other in [&digest[1..], &format!("{digest}0"), "", &"0".repeat(40)] {
            assert!(cache.script(other.as_bytes()).is_none(), "{other}");
        }
        assert!(cache.script_of(b"return 2").is_none());
    }

    #[test]
    fn the_least_recently_used_is_the_next_to_go() {
        let mut cache = ScriptCache::default();
        let [one, two, _] = ["one", "two", "three"].map(|code| add(&mut cache, code, Origin::Eval));
        assert_eq!(oldest(&mut cache).as_deref(), Some("one"));
        cache.note_use(&one, Milliseconds(5));
        cache.note_use(&two, Milliseconds(5));
        assert_eq!(oldest(&mut cache).as_deref(), Some("three"));
        cache.note_use(&one, Milliseconds(5));
        cache.remove(Digest::of(b"three").as_bytes());
        assert_eq!(oldest(&mut cache).as_deref(), Some("two"));
    }

    #[test]
    fn all_are_given_in_the_order_of_their_last_use() {
        let mut cache = ScriptCache::default();
        let [one, ..] = ["one", "two", "three"].map(|code| add(&mut cache, code, Origin::Load));
        cache.note_use(&one, Milliseconds(0));
        let order: Vec<&[u8]> = cache.by_last_use().into_iter().map(|script| &*script.code).collect();
        assert_eq!(order, [&b"one"[..], b"three", b"two"]);
    }

    #[test]
    fn what_was_loaded_is_never_to_go() {
        let mut cache = ScriptCache::default();
        let one = add(&mut cache, "one", Origin::Eval);
        add(&mut cache, "two", Origin::Load);
        assert_eq!(cache.evictable(), 1);
        cache.promote(one.digest.as_bytes());
        cache.promote(one.digest.as_bytes());
        assert_eq!((cache.evictable(), cache.least_recently_used(false)), (0, None));
    }

    #[test]
    fn what_is_kept_is_spared_where_that_is_asked_for() {
        let mut cache = ScriptCache::default();
        let [one, two, three] = ["one", "two", "three"].map(|code| add(&mut cache, code, Origin::Eval));
        for script in [&one, &three] {
            cache.set_kept(script.digest.as_bytes(), true);
        }
        assert_eq!((cache.evictable(), cache.evictable_unkept()), (3, 1));
        assert_eq!(cache.least_recently_used(false), Some(one.digest));
        assert_eq!(cache.least_recently_used(true), Some(two.digest));
        cache.note_use(&one, Milliseconds(5));
        assert_eq!(cache.least_recently_used(false), Some(two.digest));
        let kept: Vec<_> = cache.kept_by_use().into_iter().map(|script| script.digest).collect();
        assert_eq!(kept, [three.digest, one.digest]);
        cache.remove(two.digest.as_bytes());
        assert_eq!((cache.least_recently_used(true), cache.least_recently_used(false)), (None, Some(three.digest)));
        cache.forget_kept();
        assert_eq!((cache.least_recently_used(true), cache.evictable_unkept()), (Some(three.digest), 2));
        assert!(cache.kept_by_use().is_empty());
    }

    #[test]
    fn what_is_promoted_is_to_be_kept_anew() {
        let mut cache = ScriptCache::default();
        let one = add(&mut cache, "one", Origin::Eval);
        cache.set_kept(one.digest.as_bytes(), true);
        cache.promote(one.digest.as_bytes());
        assert!(!one.is_kept());
        cache.set_kept(one.digest.as_bytes(), true);
        cache.promote(one.digest.as_bytes());
        assert!(one.is_kept());
        assert_eq!(cache.evictable(), 0);
    }

    #[test]
    fn what_cannot_be_called_is_counted() {
        let mut cache = ScriptCache::default();
        let refused = Script::new(b"x", None, Err(b"ERR no".to_vec()), 0, Origin::Eval);
        let digest = cache.insert(refused, Milliseconds(0)).digest;
        add(&mut cache, "return 1", Origin::Eval);
        assert_eq!(cache.refused(), 1);
        cache.remove(digest.as_bytes());
        assert_eq!(cache.refused(), 0);
    }

    #[test]
    fn what_is_gone_leaves_nothing() {
        let mut cache = ScriptCache::default();
        let scripts: Vec<_> =
            (0..100).map(|number| add(&mut cache, &format!("return {number}"), Origin::Eval)).collect();
        for script in &scripts {
            assert!(cache.remove(script.digest.as_bytes()).is_some());
        }
        assert_eq!((cache.count(), cache.evictable(), cache.all_bytes()), (0, 0, 0));
        assert!(scripts.iter().all(|script| Arc::strong_count(script) == 1));
    }
}
