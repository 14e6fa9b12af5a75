//! What the server has built, or was told to build, and what it could not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::clash::Claims;
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
        gone.extend(self.give_way(claims));
        for (name, body) in new {
            let old = self.served.insert(Arc::clone(&name), Arc::clone(&body));
            let library = Library { name: Arc::clone(&name), body: Arc::clone(&body) };
            gone.push(if self.sleeping.remove(&name) { Op::Wake(library) } else { Op::Load(library) });
            self.planned.insert(name, (body, old));
        }
        gone
    }

    /// An older library in the place of one that could not be built gives way to the owners of its functions.
    fn give_way(&mut self, claims: &Claims) -> Vec<Op> {
        let names: Vec<Name> = self
            .blocked
            .keys()
            .filter(|name| {
                let functions = self.served.get(*name).map_or(&[][..], |body| body.functions());
                functions.iter().any(|function| claims.owner(function).is_some_and(|owner| owner != *name))
            })
            .cloned()
            .collect();
        for name in &names {
            self.served.remove(name);
        }
        names.into_iter().map(Op::Sleep).collect()
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

    /// An order is carried out, but for failures. Returns who waited for it, and names to plan for again.
    pub fn built(&mut self, token: u64, failures: Vec<Failure>, claims: &Claims, now: u64) -> (Vec<Owed>, BTreeSet<Name>) {
        let Some(at) = self.orders.iter().position(|order| order.token == token) else { return Default::default() };
        let Some(order) = self.orders.remove(at) else { return Default::default() };
        let mut again = BTreeSet::new();
        for failure in failures {
            let Some((body, old)) = order.before.get(&failure.name) else { continue };
            // Later orders took this one for built.
            for later in &mut self.orders {
                if let Some((_, before)) = later.before.get_mut(&failure.name)
                    && before.as_ref() == Some(body)
                {
                    before.clone_from(old);
                }
            }
            if self.served.get(&failure.name) != Some(body) {
                continue;
            }
            match old {
                Some(old) => self.served.insert(Arc::clone(&failure.name), Arc::clone(old)),
                None => self.served.remove(&failure.name),
            };
            let mut reason = failure.reason;
            while reason.len() > crate::message::MAX_REASON {
                reason.pop();
            }
            let blocked = Blocked { body: body.hash(), reason, since: now };
            // What stays in its place may have kept the owner of one of its functions from being built.
            for function in self.served.get(&failure.name).map_or(&[][..], |body| body.functions()) {
                if let Some(owner) = claims.owner(function).filter(|owner| **owner != failure.name) {
                    again.insert(Arc::clone(owner));
                }
            }
            again.insert(Arc::clone(&failure.name));
            self.blocked.insert(failure.name, blocked);
        }
        for name in &again {
            let gives_way = |blocked: &Name| {
                self.served.get(blocked).is_some_and(|body| {
                    body.functions().iter().any(|function| claims.owner(function) == Some(name))
                })
            };
            if self.blocked.keys().any(|blocked| blocked != name && gives_way(blocked)) {
                self.blocked.remove(name);
            }
        }
        (order.owed, again)
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
