//! Who owns the name of a function.
//!
//! Two masters can load two libraries with a function of the same name at the same time. Which of them is active is a
//! function of the set of libraries alone, and so the same on every node that has this set: in the order of birth, a
//! library is active if none of its functions is taken by one before it. The others sleep.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use crate::entry::{Body, Name};
use crate::stamp::Stamp;

/// The claims of all libraries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Claims {
    libraries: BTreeMap<Name, (Stamp, Arc<Body>)>,
    claimants: BTreeMap<Name, BTreeSet<(Stamp, Name)>>,
    asleep: BTreeSet<Name>,
    /// Functions whose claimants changed since `settle`.
    touched: BTreeSet<Name>,
    /// Libraries for which it may be different who is active, since `take_changed`.
    changed: BTreeSet<Name>,
}

impl Claims {
    /// A library is there, in the place of one of the same name.
    pub fn insert(&mut self, name: &Name, born: Stamp, body: &Arc<Body>) {
        self.remove(name);
        for function in body.functions() {
            self.claimants.entry(Arc::clone(function)).or_default().insert((born, Arc::clone(name)));
            self.touched.insert(Arc::clone(function));
        }
        self.libraries.insert(Arc::clone(name), (born, Arc::clone(body)));
    }

    /// A library is not there any more.
    pub fn remove(&mut self, name: &Name) {
        self.asleep.remove(name);
        let Some((born, body)) = self.libraries.remove(name) else { return };
        for function in body.functions() {
            if let btree_map::Entry::Occupied(mut claimants) = self.claimants.entry(Arc::clone(function)) {
                claimants.get_mut().remove(&(born, Arc::clone(name)));
                if claimants.get().is_empty() {
                    claimants.remove();
                }
            }
            self.touched.insert(Arc::clone(function));
        }
    }

    /// Decides anew who is active, among the libraries that what has changed can reach.
    pub fn settle(&mut self) {
        let mut group = BTreeSet::new();
        let mut open: Vec<Name> = std::mem::take(&mut self.touched).into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(function) = open.pop() {
            let Some(claimants) = self.claimants.get(&function) else { continue };
            let contested = claimants.len() > 1;
            for (_, name) in claimants {
                if (contested || self.asleep.contains(name)) && group.insert(Arc::clone(name)) {
                    let functions = self.libraries[name].1.functions();
                    open.extend(functions.iter().filter(|name| seen.insert(Arc::clone(name))).cloned());
                }
            }
        }
        let mut order: Vec<_> = group.iter().map(|name| (self.libraries[name].0, Arc::clone(name))).collect();
        order.sort();
        let mut taken = BTreeSet::new();
        for (_, name) in order {
            let functions = self.libraries[&name].1.functions();
            if functions.iter().any(|function| taken.contains(function)) {
                self.asleep.insert(name);
            } else {
                taken.extend(functions.iter().cloned());
                self.asleep.remove(&name);
            }
        }
        self.changed.append(&mut group);
    }

    /// The libraries for which it may be different who is active, since this was last called.
    pub fn take_changed(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.changed)
    }

    /// Whether a library sleeps.
    #[must_use]
    pub fn is_asleep(&self, name: &str) -> bool {
        self.asleep.contains(name)
    }

    /// The libraries that sleep.
    pub fn asleep(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.asleep.iter()
    }

    /// The active library with a function.
    #[must_use]
    pub fn owner(&self, function: &str) -> Option<&Name> {
        self.claimants.get(function)?.iter().map(|(_, name)| name).find(|name| !self.asleep.contains(*name))
    }

    /// Some library with a function that is none of those left out, active or asleep.
    pub fn claimant(&self, function: &str, left_out: impl Fn(&str) -> bool) -> Option<&Name> {
        self.claimants.get(function)?.iter().map(|(_, name)| name).find(|name| !left_out(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{Hash, Hlc};

    fn name(text: &str) -> Name {
        Arc::from(text)
    }

    fn body(functions: &[&str]) -> Arc<Body> {
        Body::new(&b"x"[..], functions.iter().map(|function| name(function)))
    }

    fn at(time: u64) -> Stamp {
        Stamp { hlc: Hlc(time), hash: Hash(0) }
    }

    /// The rule as it is written above, over all libraries.
    fn by_the_rule(libraries: &BTreeMap<Name, (Stamp, Arc<Body>)>) -> BTreeSet<Name> {
        let mut order: Vec<_> = libraries.iter().map(|(name, (born, body))| (*born, name, body)).collect();
        order.sort_by_key(|(born, name, _)| (*born, (*name).clone()));
        let mut taken = BTreeSet::new();
        let mut asleep = BTreeSet::new();
        for (_, name, body) in order {
            if body.functions().iter().any(|function| taken.contains(function)) {
                asleep.insert(Arc::clone(name));
            } else {
                taken.extend(body.functions().iter().cloned());
            }
        }
        asleep
    }

    #[test]
    fn the_later_one_sleeps_and_wakes_when_the_name_is_free() {
        let mut claims = Claims::default();
        claims.insert(&name("late"), at(2), &body(&["f", "h"]));
        claims.insert(&name("early"), at(1), &body(&["f", "g"]));
        claims.settle();
        assert!(claims.is_asleep("late"));
        assert_eq!(claims.owner("f"), Some(&name("early")));
        assert_eq!(claims.owner("h"), None);
        claims.remove(&name("early"));
        claims.settle();
        assert!(claims.take_changed().contains("late"));
        assert!(!claims.is_asleep("late"));
    }

    #[test]
    fn what_is_decided_step_by_step_is_what_the_rule_says_of_the_whole() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let mut claims = Claims::default();
            let mut libraries = BTreeMap::new();
            for _ in 0..30 {
                for _ in 0..random.usize(1..3) {
                    let library = name(&format!("l{}", random.u8(0..7)));
                    if random.u8(0..3) == 0 {
                        claims.remove(&library);
                        libraries.remove(&library);
                    } else {
                        let functions: Vec<_> = (0..random.u8(1..4)).map(|_| format!("f{}", random.u8(0..8))).collect();
                        let body = Body::new(&b"x"[..], functions.iter().map(|function| name(function)));
                        let born = at(random.u64(0..4));
                        claims.insert(&library, born, &body);
                        libraries.insert(library, (born, body));
                    }
                }
                claims.settle();
                assert_eq!(claims.asleep, by_the_rule(&libraries));
            }
        }
    }
}
