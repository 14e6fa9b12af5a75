//! The two tables: libraries by name, functions by name in any case.

use std::fmt;
use std::mem;
use std::sync::Arc;

use hashbrown::HashTable;

use super::error::RegistryError;
use super::folded::{NameHasher, drop_in_order, is_same, spread};
use super::glob;
use super::library::{Function, Library};
use super::release::{Release, SetHash};
use crate::block;

/// Everything that is loaded.
///
/// Invariant: the function table holds exactly one entry for each function of each library, so a name, in any case, has
/// one owner.
#[derive(Default)]
pub struct Registry {
    // The tables hold no names of their own: an entry finds its name through its library.
    functions: HashTable<FunctionRef>,
    /// By their folded names: no two that differ in case only.
    libraries: HashTable<LibraryRef>,
    /// Those that would, by their names as they are. There are hardly any; but one table for all, by folded names,
    /// would be slow for a payload full of them.
    variants: HashTable<LibraryRef>,
    /// Of all libraries together.
    bytes: usize,
    /// The deploy that has put the libraries in place; None if that was no deploy.
    release: Option<Box<Release>>,
    hasher: NameHasher,
}

/// A library and the hash that its table has it under.
struct LibraryRef {
    library: Arc<Library>,
    /// Kept so that the table need not look at every name when it grows, which would be felt: 5 ms at 57,000 libraries.
    hash: u32,
}

/// A function and the library it belongs to.
#[derive(Clone)]
pub struct FunctionRef {
    library: Arc<Library>,
    index: u32,
    /// Of the folded name; kept for the same reason.
    hash: u32,
}

impl LibraryRef {
    fn is_named(&self, name: &[u8], hash: u32) -> bool {
        self.hash == hash && self.library.name.as_bytes() == name
    }
}

impl FunctionRef {
    /// The function.
    pub fn function(&self) -> &Function {
        &self.library.functions[self.index as usize]
    }

    /// The library that registered it.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }
}

impl fmt::Debug for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.library.name, self.function().name)
    }
}

impl Registry {
    /// An empty registry; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is loaded.
    pub fn is_empty(&self) -> bool {
        self.library_count() == 0
    }

    /// How many libraries are loaded.
    pub fn library_count(&self) -> usize {
        self.libraries.len() + self.variants.len()
    }

    /// How many functions they have together.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Bytes that all of it takes: see [`Library::bytes`], and what it needs to find each.
    pub fn bytes(&self) -> usize {
        let libraries = [&self.libraries, &self.variants].map(|table| block::size(table.allocation_size()));
        self.bytes + block::size(self.functions.allocation_size()) + libraries.iter().sum::<usize>()
    }

    /// The deploy that has put the libraries in place, if it was one.
    pub fn release(&self) -> Option<&Release> {
        self.release.as_deref()
    }

    /// Notes the deploy that has put the libraries in place. What changes from now on is a change of it.
    pub fn set_release(&mut self, release: Release) {
        self.release = Some(Box::new(release));
    }

    /// The libraries are those of no deploy.
    pub fn forget_release(&mut self) {
        self.release = None;
    }

    /// What tells these libraries from others. Reads every source.
    pub fn hash(&self) -> SetHash {
        SetHash::of(self.libraries().map(|library| &**library))
    }

    /// The libraries are not those of the deploy any more.
    fn note_change(&mut self) {
        if let Some(release) = &mut self.release {
            release.changed = true;
        }
    }

    /// The library of that name; case matters.
    pub fn library(&self, name: &[u8]) -> Option<&Arc<Library>> {
        let hash = self.hasher.folded(name);
        let entry = self.libraries.find(spread(hash), |entry| entry.is_named(name, hash)).or_else(|| {
            let hash = self.variant_hash(name)?;
            self.variants.find(spread(hash), |entry| entry.is_named(name, hash))
        });
        entry.map(|entry| &entry.library)
    }

    /// The libraries whose names match a glob pattern in any case, in no particular order. A pattern without special
    /// characters takes as long among a million libraries as among ten.
    pub fn libraries_matching(&self, pattern: &[u8]) -> Vec<&Arc<Library>> {
        if glob::is_literal(pattern) {
            return self.libraries_alike(pattern).collect();
        }
        self.libraries().filter(|library| glob::matches(pattern, library.name.as_bytes(), true)).collect()
    }

    /// The libraries of that name in any case.
    fn libraries_alike(&self, name: &[u8]) -> impl Iterator<Item = &Arc<Library>> {
        let alike = |entry: &&LibraryRef| is_same(entry.library.name.as_bytes(), name);
        let hash = self.hasher.folded(name);
        let first = self.libraries.find(spread(hash), |entry| entry.hash == hash && alike(&entry));
        first.into_iter().chain(self.variants.iter().filter(alike)).map(|entry| &entry.library)
    }

    /// The function of that name, in any case.
    pub fn function(&self, name: &[u8]) -> Option<&FunctionRef> {
        let hash = self.hasher.folded(name);
        self.functions.find(spread(hash), |entry| entry.hash == hash && is_same(entry.function().name.as_bytes(), name))
    }

    /// All libraries, in no particular order.
    pub fn libraries(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.libraries.iter().chain(&self.variants).map(|entry| &entry.library)
    }

    /// All functions, in no particular order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.function_refs().map(FunctionRef::function)
    }

    /// All functions with their libraries, in no particular order.
    pub fn function_refs(&self) -> impl Iterator<Item = &FunctionRef> {
        self.functions.iter()
    }

    /// The first of `names` that is taken: owned, in any case, by a library other than those that are `replaced`.
    pub fn conflict<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        replaced: impl Fn(&Library) -> bool,
    ) -> Option<&'n str> {
        names.into_iter().find(|name| self.function(name.as_bytes()).is_some_and(|owned| !replaced(&owned.library)))
    }

    /// Whether [`merge`](Self::merge) can take in `others`. With `replace` they take the places of libraries of the
    /// same names, all of them at once: a function may move from one of them to another.
    ///
    /// # Errors
    /// A library or function of `others` whose name is taken. If there are several, any of them.
    pub fn check_merge(&self, others: &Self, replace: bool) -> Result<(), RegistryError> {
        let taken = |library: &&Arc<Library>| self.library(library.name.as_bytes()).is_some();
        if !replace && let Some(library) = others.libraries().find(taken) {
            return Err(RegistryError::LibraryCollides(library.name.clone()));
        }
        let names = others.functions.iter().map(|entry| &*entry.function().name);
        match self.conflict(names, |owner| others.library(owner.name.as_bytes()).is_some()) {
            Some(name) => Err(RegistryError::FunctionExists(name.into())),
            None => Ok(()),
        }
    }

    /// Takes in `others`, in the places of libraries of the same names: those are returned, and their slots are the
    /// caller's to release.
    ///
    /// Must have passed [`check_merge`](Self::check_merge).
    pub fn merge(&mut self, mut others: Self) -> Vec<Arc<Library>> {
        if !others.is_empty() {
            self.note_change();
        }
        if self.is_empty() {
            others.release = self.release.take();
            *self = others;
            return Vec::new();
        }
        // All of them before any is added: their functions may have moved.
        let replaced = others.libraries().filter_map(|library| self.remove(library.name.as_bytes())).collect();
        others.functions = HashTable::new();
        for entry in mem::take(&mut others.libraries).into_iter().chain(mem::take(&mut others.variants)) {
            self.add(entry.library);
        }
        replaced
    }

    /// Registers `library`, in the place of the one of the same name if there is one: that one is returned, and its
    /// slots are the caller's to release.
    ///
    /// None of its functions may be in [`conflict`](Self::conflict).
    pub fn insert(&mut self, library: Library) -> Option<Arc<Library>> {
        let replaced = self.remove(library.name.as_bytes());
        self.add(Arc::new(library));
        replaced
    }

    fn add(&mut self, library: Arc<Library>) {
        self.note_change();
        debug_assert_eq!(self.conflict(library.functions.iter().map(|function| &*function.name), |_| false), None);
        for (index, function) in (0..).zip(&library.functions) {
            let hash = self.hasher.folded(function.name.as_bytes());
            let entry = FunctionRef { library: Arc::clone(&library), index, hash };
            self.functions.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        }
        self.bytes += library.bytes();
        let name = library.name.as_bytes();
        let hash = self.hasher.folded(name);
        let is_taken = |entry: &LibraryRef| entry.hash == hash && is_same(entry.library.name.as_bytes(), name);
        let is_variant = self.libraries.find(spread(hash), is_taken).is_some();
        let hash = if is_variant { self.hasher.exact(name) } else { hash };
        let table = if is_variant { &mut self.variants } else { &mut self.libraries };
        table.insert_unique(spread(hash), LibraryRef { library, hash }, |entry| spread(entry.hash));
    }

    /// Takes out the library of that name, and its functions with it. Its slots are the caller's to release.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Library>> {
        let hash = self.hasher.folded(name);
        let entry = match self.libraries.find_entry(spread(hash), |entry| entry.is_named(name, hash)) {
            Ok(entry) => entry,
            Err(_) => {
                let hash = self.variant_hash(name)?;
                self.variants.find_entry(spread(hash), |entry| entry.is_named(name, hash)).ok()?
            }
        };
        let LibraryRef { library, .. } = entry.remove().0;
        self.note_change();
        self.bytes -= library.bytes();
        for (index, function) in (0u32..).zip(&library.functions) {
            let hash = self.hasher.folded(function.name.as_bytes());
            let entry = self
                .functions
                .find_entry(spread(hash), |entry| entry.index == index && Arc::ptr_eq(&entry.library, &library));
            if let Ok(entry) = entry {
                entry.remove();
            }
        }
        Some(library)
    }

    /// The hash of a name in `variants`; none while there are none.
    fn variant_hash(&self, name: &[u8]) -> Option<u32> {
        (!self.variants.is_empty()).then(|| self.hasher.exact(name))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.functions = HashTable::new();
        drop_in_order(self.libraries.drain().chain(self.variants.drain()).map(|entry| entry.library));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.libraries().map(|library| &library.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::callback::{Callback, Slot};
    use super::super::flags::FunctionFlags;
    use super::super::library::Version;
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Library {
        Library {
            name: name.into(),
            code: format!("#!lua name={name}\n").into_bytes().into(),
            vm_bytes: 0,
            loaded_at: 0,
            keys_declared: false,
            version: Version::default(),
            functions: functions
                .iter()
                .zip(0..)
                .map(|(&name, slot)| Function {
                    name: name.into(),
                    description: None,
                    flags: FunctionFlags::empty(),
                    callback: Callback::new(Slot(slot)),
                })
                .collect(),
        }
    }

    fn registry(libraries: &[(&str, &[&str])]) -> Registry {
        let mut registry = Registry::new();
        for &(name, functions) in libraries {
            assert!(registry.insert(library(name, functions)).is_none());
        }
        registry
    }

    fn owner<'r>(registry: &'r Registry, function: &str) -> Option<&'r str> {
        let entry = registry.function(function.as_bytes())?;
        Some(&entry.library().name)
    }

    #[test]
    fn a_fresh_registry_is_empty() {
        let registry = Registry::new();
        assert!(registry.is_empty());
        assert_eq!((registry.library_count(), registry.function_count()), (0, 0));
        assert!(registry.library(b"").is_none());
        assert!(registry.function(b"").is_none());
        assert_eq!(registry.libraries().count(), 0);
    }

    #[test]
    fn libraries_are_found_in_their_own_case_only() {
        let registry = registry(&[("Lib", &["a"]), ("lib", &["b"])]);
        assert_eq!(registry.library_count(), 2);
        assert_eq!(&*registry.library(b"Lib").unwrap().name, "Lib");
        assert_eq!(&*registry.library(b"lib").unwrap().name, "lib");
        assert!(registry.library(b"LIB").is_none());
    }

    fn matching(registry: &Registry, pattern: &str) -> Vec<String> {
        let mut names: Vec<String> =
            registry.libraries_matching(pattern.as_bytes()).iter().map(|library| library.name.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_pattern_without_special_characters_finds_its_libraries_in_every_case() {
        let registry = registry(&[("Cart", &["a"]), ("cart", &["b"]), ("CART", &["c"]), ("carts_1", &["d"])]);
        for pattern in ["cart", "CART", "cArT"] {
            assert_eq!(matching(&registry, pattern), ["CART", "Cart", "cart"], "{pattern}");
        }
        assert_eq!(matching(&registry, "CARTS_1"), ["carts_1"]);
        for pattern in ["", "car", "cart]", "carts\x7f1", "carts_\x11"] {
            assert!(matching(&registry, pattern).is_empty(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_with_special_characters_finds_what_it_matches() {
        let registry = registry(&[("Cart", &["a"]), ("cart", &["b"]), ("carts", &["c"])]);
        assert_eq!(matching(&registry, "CART*"), ["Cart", "cart", "carts"]);
        assert_eq!(matching(&registry, "c[a]rt"), ["Cart", "cart"]);
        assert_eq!(matching(&registry, r"\cart"), ["Cart", "cart"]);
        assert_eq!(matching(&registry, "????s"), ["carts"]);
    }

    #[test]
    fn names_that_differ_in_case_only_come_and_go_by_themselves() {
        let mut registry = registry(&[("cart", &["a"]), ("Cart", &["b"]), ("CART", &["c"])]);
        assert!(registry.remove(b"cARt").is_none());
        assert_eq!(&*registry.remove(b"cart").unwrap().name, "cart");
        assert_eq!(matching(&registry, "cart"), ["CART", "Cart"]);
        assert_eq!(owner(&registry, "c"), Some("CART"));
        assert_eq!(&*registry.insert(library("CART", &["d"])).unwrap().functions[0].name, "c");
        assert!(registry.insert(library("cart", &["e"])).is_none());
        assert_eq!(registry.library_count(), 3);
        for name in ["CART", "Cart", "cart"] {
            assert_eq!(&*registry.remove(name.as_bytes()).unwrap().name, name);
        }
        assert!(registry.is_empty());
        assert_eq!(registry.function_count(), 0);
    }

    #[test]
    fn many_names_that_differ_in_case_only_take_no_longer_than_others() {
        // A table by folded names alone would compare each with each: minutes.
        let started = std::time::Instant::now();
        let mut registry = Registry::new();
        let name =
            |number: usize| -> String { (0..17).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'A' }).collect() };
        for number in 0..100_000 {
            registry.insert(library(&name(number), &[&format!("f{number}")]));
        }
        assert!((0..100_000).all(|number| registry.library(name(number).as_bytes()).is_some()));
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn functions_are_found_in_any_case_under_their_registered_name() {
        let name = "A_Name_of_many_Words_2";
        let registry = registry(&[("lib", &["f", name])]);
        for call in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let found = registry.function(call.as_bytes()).unwrap();
            assert_eq!(&*found.function().name, name);
            assert_eq!(found.function().callback.slot, Slot(1));
            assert_eq!(&*found.library().name, "lib");
        }
    }

    #[test]
    fn bytes_that_hash_alike_are_still_told_apart() {
        let registry = registry(&[("lib", &["a_1"])]);
        for call in [&b"a_1\0"[..], b"a_1 ", b"a\x7f1", b"a_\x11", b"\xc1_1", b"a_"] {
            assert!(registry.function(call).is_none(), "{call:?}");
        }
    }

    #[test]
    fn names_of_every_length_are_found() {
        let names: Vec<String> = (1..200).map(|length| "Xy_".repeat(length)).collect();
        let functions: Vec<&str> = names.iter().map(String::as_str).collect();
        let registry = registry(&[("lib", &functions)]);
        for name in &names {
            let found = registry.function(name.to_uppercase().as_bytes()).unwrap();
            assert_eq!(*found.function().name, **name);
        }
    }

    #[test]
    fn a_name_owned_by_another_library_conflicts_in_any_case() {
        let registry = registry(&[("lib", &["taken"])]);
        assert_eq!(registry.conflict(["free", "TAKEN", "taken"], |_| false), Some("TAKEN"));
        assert_eq!(registry.conflict(["free"], |_| false), None);
    }

    #[test]
    fn libraries_being_replaced_do_not_conflict() {
        let registry = registry(&[("lib", &["f"]), ("other", &["g"])]);
        let replaced = |library: &Library| &*library.name == "lib";
        assert_eq!(registry.conflict(["F", "h"], replaced), None);
        assert_eq!(registry.conflict(["F", "G"], replaced), Some("G"));
    }

    #[test]
    fn a_replacement_takes_over_and_hands_back_the_old_one() {
        let mut registry = registry(&[("lib", &["a", "b"]), ("other", &["c"])]);
        let old = registry.insert(library("lib", &["B", "d"])).unwrap();
        assert_eq!(&*old.functions[0].name, "a");
        assert_eq!(Arc::strong_count(&old), 1);
        assert_eq!((registry.library_count(), registry.function_count()), (2, 3));
        assert_eq!(owner(&registry, "a"), None);
        assert_eq!(&*registry.function(b"b").unwrap().function().name, "B");
        assert_eq!(owner(&registry, "d"), Some("lib"));
        assert_eq!(owner(&registry, "c"), Some("other"));
    }

    #[test]
    fn a_removed_library_takes_its_functions_along() {
        let mut registry = registry(&[("lib", &["a", "b"]), ("other", &["c"])]);
        assert!(registry.remove(b"LIB").is_none());
        let removed = registry.remove(b"lib").unwrap();
        assert_eq!(Arc::strong_count(&removed), 1);
        assert_eq!((registry.library_count(), registry.function_count()), (1, 1));
        assert_eq!(owner(&registry, "a"), None);
        assert_eq!(owner(&registry, "c"), Some("other"));
        assert!(registry.remove(b"lib").is_none());
        registry.remove(b"other").unwrap();
        assert!(registry.is_empty());
        assert_eq!(registry.function_count(), 0);
    }

    fn merged(registry: &mut Registry, others: &[(&str, &[&str])], replace: bool) -> Result<usize, String> {
        let others = self::registry(others);
        registry.check_merge(&others, replace).map_err(|error| error.to_string())?;
        Ok(registry.merge(others).len())
    }

    #[test]
    fn a_merge_adds_to_what_is_there() {
        let mut registry = registry(&[("a", &["f"])]);
        assert_eq!(merged(&mut registry, &[("b", &["g", "h"]), ("A", &["i"])], false), Ok(0));
        assert_eq!((registry.library_count(), registry.function_count()), (3, 4));
        assert_eq!([owner(&registry, "f"), owner(&registry, "H"), owner(&registry, "i")], ["a", "b", "A"].map(Some));
        assert_eq!(Arc::strong_count(registry.library(b"b").unwrap()), 3);
    }

    #[test]
    fn a_merge_into_nothing_is_all_of_it() {
        let mut registry = Registry::new();
        assert_eq!(merged(&mut registry, &[("a", &["f"])], false), Ok(0));
        assert_eq!(owner(&registry, "F"), Some("a"));
    }

    #[test]
    fn a_library_of_the_same_name_stops_a_merge_that_does_not_replace() {
        let mut registry = registry(&[("a", &["f"])]);
        assert_eq!(merged(&mut registry, &[("a", &["f"])], false), Err("ERR Library a already exists".to_owned()));
        assert_eq!(merged(&mut registry, &[("b", &["F"])], false), Err("ERR Function F already exists".to_owned()));
        assert_eq!(registry.library_count(), 1);
    }

    #[test]
    fn functions_move_between_libraries_that_are_replaced_together() {
        let mut registry = registry(&[("a", &["f", "old"]), ("b", &["g"]), ("c", &["h"])]);
        assert_eq!(merged(&mut registry, &[("a", &["G"]), ("b", &["F"])], true), Ok(2));
        assert_eq!([owner(&registry, "f"), owner(&registry, "g"), owner(&registry, "h")], ["b", "a", "c"].map(Some));
        assert_eq!(owner(&registry, "old"), None);
        assert_eq!((registry.library_count(), registry.function_count()), (3, 3));
        let taken = merged(&mut registry, &[("a", &["x"]), ("b", &["H"])], true);
        assert_eq!(taken, Err("ERR Function H already exists".to_owned()));
    }

    #[test]
    fn nothing_is_lost_while_the_tables_grow_and_shrink() {
        let mut registry = Registry::new();
        for i in 0..5000 {
            let (f, g) = (format!("f{i}"), format!("G_{i}"));
            registry.insert(library(&format!("lib{i}"), &[&f, &g]));
        }
        for i in (0..5000).step_by(2) {
            assert!(registry.remove(format!("lib{i}").as_bytes()).is_some());
        }
        assert_eq!((registry.library_count(), registry.function_count()), (2500, 5000));
        assert_eq!(registry.libraries().count(), 2500);
        for i in 0..5000 {
            let lib = format!("lib{i}");
            let expected = (i % 2 == 1).then_some(&*lib);
            assert_eq!(owner(&registry, &format!("F{i}")), expected);
            assert_eq!(owner(&registry, &format!("g_{i}")), expected);
            assert_eq!(registry.library(lib.as_bytes()).is_some(), expected.is_some());
        }
    }

    #[test]
    fn a_registry_can_be_dropped_on_another_thread() {
        let registry = registry(&[("lib", &["f"])]);
        std::thread::spawn(move || drop(registry)).join().unwrap();
    }

    #[test]
    fn an_entry_of_the_function_table_stays_small() {
        assert_eq!(size_of::<FunctionRef>(), 16);
        assert!(size_of::<Library>() <= 88);
        assert!(size_of::<Function>() <= 112);
    }
}
