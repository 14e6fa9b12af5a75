//! The cache of scripts: by their SHA-1, and by their text.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hashbrown::HashTable;

use super::callback::{Callback, Slot};
use super::digest::Digest;
use super::flags::FunctionFlags;
use super::folded::{NameHasher, drop_in_order, is_same, spread};
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
            used: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            last_use: AtomicU64::new(0),
        }
    }

    /// How it came to the cache, or how it was loaded again since.
    pub fn origin(&self) -> Origin {
        if self.stays.load(Relaxed) { Origin::Load } else { Origin::Eval }
    }

    /// For how many milliseconds it was not used.
    pub fn idle(&self) -> u64 {
        Milliseconds(self.last_use.load(Relaxed)).elapsed().0
    }

    /// Bytes that it takes outside of the VM. Counted as they were asked for, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        // Beside the script in an `Arc` stand two counts.
        2 * size_of::<usize>() + size_of::<Self>() + self.name.len() + self.code.len()
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
/// that it has noted. A use changes another number, and costs nothing here.
#[derive(Default)]
pub struct ScriptCache {
    by_digest: HashTable<Entry>,
    /// So that a cached script is found without its SHA-1, which takes longer than comparing it.
    by_code: HashTable<Entry>,
    /// Those that may be evicted, by the use that was their last one when it was noted.
    candidates: BTreeMap<u64, Arc<Script>>,
    /// Of all scripts together, outside of the VM.
    bytes: usize,
    /// What they had taken in the VM when they were loaded.
    vm_bytes: usize,
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
        self.candidates.len()
    }

    /// Bytes that all of it takes outside of the VM: see [`Script::bytes`], and what it needs to find each.
    pub fn bytes(&self) -> usize {
        self.bytes + self.count() * (2 * size_of::<Entry>())
    }

    /// Bytes of all scripts, in the VM and outside of it.
    pub fn all_bytes(&self) -> usize {
        self.bytes() + self.vm_bytes
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

    /// Notes that a script is used.
    pub fn note_use(&self, script: &Script, now: Milliseconds) {
        self.uses.set(self.uses.get() + 1);
        script.used.store(self.uses.get(), Relaxed);
        script.last_use.store(now.0, Relaxed);
    }

    /// Makes a script stay that EVAL has brought.
    pub fn keep(&mut self, digest: &[u8]) {
        if let Some(script) = self.script(digest)
            && !script.stays.swap(true, Relaxed)
        {
            let noted = script.noted.load(Relaxed);
            self.candidates.remove(&noted);
        }
    }

    /// Adds a script that is not there yet, as the one that was used last.
    pub fn insert(&mut self, script: Script, now: Milliseconds) -> Arc<Script> {
        debug_assert!(self.script(script.digest.as_bytes()).is_none());
        let script = Arc::new(script);
        self.note_use(&script, now);
        self.bytes += script.bytes();
        self.vm_bytes += script.vm_bytes;
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
        if script.origin() == Origin::Eval {
            self.candidates.remove(&script.noted.load(Relaxed));
        }
        Some(script)
    }

    fn note_candidate(&mut self, script: Arc<Script>) {
        let used = script.used.load(Relaxed);
        script.noted.store(used, Relaxed);
        self.candidates.insert(used, script);
    }

    /// The script that may be evicted and was used least recently.
    pub fn least_recently_used(&mut self) -> Option<Digest> {
        loop {
            let first = self.candidates.first_entry()?;
            if *first.key() == first.get().used.load(Relaxed) {
                return Some(first.get().digest);
            }
            let used_since = first.remove();
            self.note_candidate(used_since);
        }
    }
}

impl Drop for ScriptCache {
    fn drop(&mut self) {
        self.candidates.clear();
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
        let digest = cache.least_recently_used()?;
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
    fn what_was_loaded_is_never_to_go() {
        let mut cache = ScriptCache::default();
        let one = add(&mut cache, "one", Origin::Eval);
        add(&mut cache, "two", Origin::Load);
        assert_eq!(cache.evictable(), 1);
        cache.keep(one.digest.as_bytes());
        cache.keep(one.digest.as_bytes());
        assert_eq!((cache.evictable(), cache.least_recently_used()), (0, None));
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
