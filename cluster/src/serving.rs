//! What the server has built, or was told to build, and what it could not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::entry::{Body, Name, NodeId};
use crate::input::{Failure, Library, Op};
use crate::registry::Registry;
use crate::stamp::{Hash, Stamp};

/// A change whose maker is told when the server has built it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Owed {
    /// Who made it.
    pub to: NodeId,
    /// Which.
    pub stamp: Stamp,
    /// Its libraries.
    pub names: Vec<Name>,
}

/// A library that the server could not build.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Blocked {
    /// Which one of its name.
    pub body: Hash,
    /// Why not.
    pub reason: String,
    /// Since when.
    pub since: u64,
}

/// What is loaded under a name, and what stood there.
type Before = BTreeMap<Name, (Arc<Body>, Option<Arc<Body>>)>;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Order {
    token: u64,
    /// What stood in the place of what is loaded.
    before: Before,
    owed: Vec<Owed>,
}

/// What the server has built, was told to build, and could not.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Serving {
    served: BTreeMap<Name, Arc<Body>>,
    /// Names with a library that could not be built, which may still have an older one.
    pub blocked: BTreeMap<Name, Blocked>,
    /// Names whose library slept when they were last planned for.
    sleeping: BTreeSet<Name>,
    /// What stood in the place of what was planned since the last order.
    planned: Before,
    orders: VecDeque<Order>,
    last: u64,
}

/// How many orders the server may have open and still owe answers for each.
const MAX_OPEN: usize = 1024;

impl Serving {
    /// What is to be done so that the server has the active libraries, for names whose state may be another now.
    pub fn plan(&mut self, names: &BTreeSet<Name>, registry: &Registry) -> Vec<Op> {
        let claims = &registry.claims;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for name in names {
            let held = registry.get(name).and_then(|held| held.entry.body.as_ref());
            let Some(body) = held.filter(|_| !claims.is_asleep(name)) else {
                self.blocked.remove(name);
                if held.is_some() {
                    self.sleeping.insert(Arc::clone(name));
                } else {
                    self.sleeping.remove(name);
                }
                if self.served.remove(name).is_some() {
                    let name = Arc::clone(name);
                    gone.push(if held.is_some() { Op::Sleep(name) } else { Op::Delete(name) });
                }
                continue;
            };
            if self.blocked.get(name).is_some_and(|blocked| blocked.body == body.hash()) {
                continue;
            }
            self.blocked.remove(name);
            if self.served.get(name).is_none_or(|served| served.hash() != body.hash()) {
                new.push((Arc::clone(name), Arc::clone(body)));
            }
        }
        for (name, body) in new {
            let old = self.served.insert(Arc::clone(&name), Arc::clone(&body));
            let library = Library { name: Arc::clone(&name), body: Arc::clone(&body) };
            gone.push(if self.sleeping.remove(&name) { Op::Wake(library) } else { Op::Load(library) });
            self.planned.insert(name, (body, old));
        }
        gone
    }

    /// The server gets these orders; these nodes wait for them. Returns the number.
    pub fn order(&mut self, owed: Vec<Owed>) -> u64 {
        self.last += 1;
        let before = std::mem::take(&mut self.planned);
        if self.orders.len() >= MAX_OPEN {
            self.orders.pop_front();
        }
        self.orders.push_back(Order { token: self.last, before, owed });
        self.last
    }

    /// An order is carried out, but for failures, and libraries that could not be built before gave way to it. Returns
    /// who waited for it.
    pub fn built(&mut self, token: u64, failures: Vec<Failure>, gone: &[Name], now: u64) -> Vec<Owed> {
        let Some(at) = self.orders.iter().position(|order| order.token == token) else { return Vec::new() };
        let Some(order) = self.orders.remove(at) else { return Vec::new() };
        for name in gone {
            for (_, before) in self.orders.iter_mut().filter_map(|later| later.before.get_mut(name)) {
                *before = None;
            }
            if self.blocked.contains_key(name) {
                self.served.remove(name);
            }
        }
        for Failure { name, mut reason, kept } in failures {
            let Some((body, old)) = order.before.get(&name) else { continue };
            let old = old.as_ref().filter(|_| kept);
            // Later orders took this one for built.
            for (_, before) in self.orders.iter_mut().filter_map(|later| later.before.get_mut(&name)) {
                if before.as_ref() == Some(body) {
                    *before = old.cloned();
                }
            }
            if self.served.get(&name) != Some(body) {
                continue;
            }
            match old {
                Some(old) => self.served.insert(Arc::clone(&name), Arc::clone(old)),
                None => self.served.remove(&name),
            };
            while reason.len() > crate::message::MAX_REASON {
                reason.pop();
            }
            self.blocked.insert(name, Blocked { body: body.hash(), reason, since: now });
        }
        order.owed
    }

    /// Forgets failures, so that they are tried again. Returns their names.
    pub fn retry(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.blocked).into_keys().collect()
    }

    /// What the server has, or was told to build.
    #[must_use]
    pub fn served(&self) -> &BTreeMap<Name, Arc<Body>> {
        &self.served
    }

    /// How many orders are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.orders.len()
    }
}
