//! Whole clusters by seed: three to seven masters, some with a replica, over a bus that loses, doubles and delays, with
//! partitions, restarts to an older state, clocks that are an hour off, failovers of replicas that lag, FORGET, MEET
//! and RESET. Afterwards all is quiet and connected, and what must hold is looked at.
//!
//! `RUNS` is the number of runs (200), `SEED` the seed of the first; a run that fails prints its own, and `RUNS=1
//! SEED=n` repeats it. `make cluster` has more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use shadow_cluster::core::Config;
use shadow_cluster::delta::Delta;
use shadow_cluster::entry::{Body, Name, NodeId};
use shadow_cluster::input::{Failure, Input, Library, Member, Op, Output, Request};
use shadow_cluster::node::{Node, Start};
use shadow_cluster::proof::Keys;
use shadow_cluster::stamp::{Hlc, Stamp};

const NAMES: u8 = 6;
const FUNCTIONS: u8 = 7;
/// How long chaos reigns, in milliseconds, and how long it is quiet afterwards.
const CHAOS: u64 = 20_000;
const QUIET: u64 = 25_000;
/// After so long without a sign of it, a node is flagged.
const FLAGGED: u64 = 1000;

fn id(number: usize) -> NodeId {
    let mut id = [b'0'; 40];
    id[..8].copy_from_slice(format!("{number:08}").as_bytes());
    NodeId(id)
}

enum Event {
    Message { from: usize, to: usize, bytes: Vec<u8> },
    Tick(usize),
    Built { node: usize, run: u64, token: u64, failures: Vec<Failure>, gone: Vec<Name> },
    Replicated { node: usize },
    Chaos,
    Client,
}

/// A process: its number is its ID as long as it keeps it.
struct Process {
    node: Option<Node>,
    /// Counts its starts: what was to happen in an earlier one does not.
    run: u64,
    /// Since when it has run, and been in the cluster, without a break.
    since: u64,
    /// When the last that it was told to build is built.
    built: u64,
    skew: i64,
    /// What it finds when it starts again.
    saved: Vec<Vec<u8>>,
    /// Whether every change is on the disk at once.
    durable: bool,
    /// A replica's state, and what has not reached it yet.
    replica: Option<(Node, VecDeque<Vec<u8>>)>,
    /// What the server runs.
    served: BTreeMap<Name, Arc<Body>>,
    /// Whom it lists.
    knows: BTreeSet<usize>,
    /// Whether it is gone for good.
    gone: bool,
}

/// A change that was answered by all that were asked.
struct Acknowledged {
    stamp: Stamp,
    request: Request,
    lost: bool,
}

struct World {
    seed: u64,
    random: fastrand::Rng,
    now: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, Event>,
    processes: Vec<Process>,
    /// Pairs that do not reach each other, and since when.
    cut: BTreeMap<(usize, usize), u64>,
    chaos: bool,
    clients: BTreeMap<u64, (usize, Request, Stamp)>,
    /// Since when `full` is what it is.
    full_since: u64,
    acknowledged: Vec<Acknowledged>,
    /// Every tombstone that was made.
    tombstones: BTreeMap<Name, BTreeSet<Stamp>>,
    /// The greatest stamp that every master has answered.
    full: Stamp,
    next_client: u64,
    messages: u64,
    counts: Counts,
}

#[derive(Default, Debug)]
struct Counts {
    messages: u64,
    changes: u64,
    acknowledged: u64,
    lost: u64,
    restarts: u64,
    failovers: u64,
    resets: u64,
    forgotten: u64,
    collected: u64,
    withdrawn: u64,
    made_anew: u64,
    overruled: u64,
    asleep: u64,
}

fn config() -> Config {
    // Tombstones are old after half a second, so that they are dropped within a run; everything else as it is.
    Config { tombstone_ms: 500, ..Config::default() }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(3..=7);
        let mut world = World {
            seed,
            now: 1_000_000_000,
            order: 0,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            processes: Vec::new(),
            cut: BTreeMap::new(),
            chaos: true,
            clients: BTreeMap::new(),
            acknowledged: Vec::new(),
            tombstones: BTreeMap::new(),
            full: Stamp::ZERO,
            full_since: 0,
            next_client: 0,
            messages: 0,
            counts: Counts::default(),
            random: fastrand::Rng::with_seed(0),
        };
        let skewed = random.bool();
        for number in 0..count {
            let skew = if skewed { random.i64(-3_600_000..3_600_000) } else { random.i64(-20..20) };
            let durable = random.bool();
            world.add(skew, durable);
            if random.bool() {
                world.processes[number].replica = Some((world.replica(number), VecDeque::new()));
            }
        }
        world.random = random;
        for number in 0..count {
            world.processes[number].knows = (0..count).collect();
            world.members(number);
        }
        world.at(5, Event::Chaos);
        world.at(5, Event::Client);
        world
    }

    fn add(&mut self, skew: i64, durable: bool) {
        let number = self.processes.len();
        let node = Some(self.start(number, skew, 0));
        self.processes.push(Process {
            node,
            run: 0,
            since: self.now,
            built: 0,
            skew,
            saved: Vec::new(),
            durable,
            replica: None,
            served: BTreeMap::new(),
            knows: BTreeSet::from([number]),
            gone: false,
        });
        self.at(1 + number as u64 * 7, Event::Tick(number));
    }

    fn start(&self, number: usize, skew: i64, run: u64) -> Node {
        let session = (self.seed << 16) ^ (number as u64) << 8 ^ run ^ 0x5_0000_0000;
        let now_ms = self.now.saturating_add_signed(skew);
        let keys = Keys::parse("the-key-of-a-simulation").expect("it is long enough");
        Node::new(Start { me: id(number), config: config(), keys, now_ms, session })
    }

    fn replica(&self, number: usize) -> Node {
        let mut replica = self.start(number, 0, 9999);
        replica.step(self.now, Input::Role { master: false });
        replica
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + delay, self.order)));
        self.what.insert(self.order, event);
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains_key(&(a.min(b), a.max(b)))
    }

    fn is_up(&self, number: usize) -> bool {
        self.processes[number].node.is_some()
    }

    /// What the bus tells a node of the others.
    fn members(&mut self, number: usize) {
        let members = self.processes[number]
            .knows
            .iter()
            .filter(|&&other| !self.processes[other].gone)
            .map(|&other| {
                let since = self.cut.get(&(number.min(other), number.max(other)));
                let failing =
                    other != number && (!self.is_up(other) || since.is_some_and(|since| self.now - since > FLAGGED));
                Member { id: id(other), master: true, failing }
            })
            .collect();
        self.step(number, Input::Members { me: id(number), members });
    }

    fn step(&mut self, number: usize, input: Input<Vec<u8>>) {
        let process = &mut self.processes[number];
        let now = self.now.saturating_add_signed(process.skew);
        let Some(node) = &mut process.node else { return };
        let outputs = node.step(now, input);
        self.carry_out(number, outputs);
        self.look_at(number);
    }

    fn carry_out(&mut self, number: usize, outputs: Vec<Output<Vec<u8>>>) {
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    self.messages += 1;
                    self.counts.messages += 1;
                    assert!(message.len() <= shadow_cluster::proof::MAX_PACKET, "a message of {}", message.len());
                    let Some(to) = (0..self.processes.len()).find(|&other| id(other) == to) else { continue };
                    let copies = match self.random.u8(0..40) {
                        0 if self.chaos => 0,
                        1 if self.chaos => 2,
                        _ => 1,
                    };
                    for _ in 0..copies {
                        let delay = if self.random.u8(0..10) == 0 { 60 } else { 3 };
                        let delay = self.random.u64(1..=delay);
                        self.at(delay, Event::Message { from: number, to, bytes: message.clone() });
                    }
                }
                Output::Apply { token, clear, ops } => {
                    let (failures, gone) = self.build(number, clear, ops);
                    // The worker builds them one after the other.
                    let process = &mut self.processes[number];
                    process.built = (self.now + self.random.u64(0..20)).max(process.built);
                    let (run, delay) = (process.run, process.built - self.now);
                    self.at(delay, Event::Built { node: number, run, token, failures, gone });
                }
                Output::Replicate(bytes) => {
                    let delta = Delta::from_bytes(&bytes).expect("what is replicated can be read");
                    for (name, entry) in &delta.entries {
                        if let Some(entry) = entry.as_ref().filter(|entry| !entry.is_live()) {
                            self.tombstones.entry(Arc::clone(name)).or_default().insert(entry.stamp);
                        }
                    }
                    let process = &mut self.processes[number];
                    if process.durable {
                        process.saved.push(bytes.clone());
                    }
                    if let Some((_, pending)) = &mut process.replica {
                        pending.push_back(bytes);
                        let delay = self.random.u64(1..30);
                        self.at(delay, Event::Replicated { node: number });
                    }
                }
                Output::Reply { client, result } => {
                    let (origin, request, full_before) =
                        self.clients.remove(&client).expect("one reply for each client");
                    let Ok(done) = result else { continue };
                    let Some(stamp) = done.stamp else { continue };
                    if origin == number && stamp.hlc > Hlc::ZERO {
                        // I9: what is begun after another change was answered by all is later.
                        assert!(stamp > full_before, "{stamp:?} of {number} after {full_before:?}");
                    }
                    if done.answered < done.asked || done.asked == 0 {
                        continue;
                    }
                    let all = (0..self.processes.len()).filter(|&other| !self.processes[other].gone).count();
                    if done.asked + 1 == all && stamp > self.full {
                        self.full = stamp;
                        self.full_since = self.now;
                    }
                    self.counts.acknowledged += 1;
                    self.acknowledged.push(Acknowledged { stamp, request, lost: false });
                }
                Output::Log(_) => {}
            }
        }
    }

    /// Does what a server would: libraries that say so cannot be built on some nodes.
    fn build(&mut self, number: usize, clear: bool, ops: Vec<Op>) -> (Vec<Failure>, Vec<Name>) {
        let served = &mut self.processes[number].served;
        let mut before = if clear { std::mem::take(served) } else { BTreeMap::new() };
        for op in &ops {
            let (Op::Load(Library { name, .. }) | Op::Wake(Library { name, .. }) | Op::Delete(name) | Op::Sleep(name)) =
                op;
            before.extend(served.remove_entry(name));
        }
        let (mut failed, mut gone) = (Vec::new(), Vec::new());
        let collides = |a: &Body, b: &Body| a.functions().iter().any(|function| b.functions().contains(function));
        let mut new: BTreeMap<Name, Arc<Body>> = BTreeMap::new();
        for op in ops {
            let (Op::Load(Library { name, body }) | Op::Wake(Library { name, body })) = op else { continue };
            if body.source().starts_with(b"bad") && number % 2 == 1 {
                failed.push(name);
            } else {
                assert!(!new.values().any(|other| collides(other, &body)), "{name} has a function of another one");
                gone.extend(
                    served.iter().filter(|(_, there)| collides(there, &body)).map(|(name, _)| Arc::clone(name)),
                );
                served.retain(|_, there| !collides(there, &body));
                new.insert(name, body);
            }
        }
        served.extend(new);
        let failure = |name: Name| {
            let old = before.get(&name).filter(|old| !served.values().any(|there| collides(there, old)));
            let kept = old.is_some();
            if let Some(old) = old {
                served.insert(Arc::clone(&name), Arc::clone(old));
            }
            Failure { name, reason: "it is bad".into(), kept }
        };
        (failed.into_iter().map(failure).collect(), gone)
    }

    /// What holds at each moment.
    fn look_at(&self, number: usize) {
        let process = &self.processes[number];
        let mut owners = BTreeMap::new();
        for (name, body) in &process.served {
            for function in body.functions() {
                // I6: a function has one owner.
                let other = owners.insert(Arc::clone(function), name);
                assert!(other.is_none(), "{function} is of {name} and of {other:?} on {number}");
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { from, to, bytes } => {
                let known = self.processes[to].knows.contains(&from) && self.processes[from].knows.contains(&to);
                if self.is_up(to) && !self.is_cut(from, to) && known {
                    self.step(to, Input::Message { from: id(from), message: bytes });
                }
            }
            Event::Tick(number) => {
                if self.is_up(number) {
                    self.members(number);
                    self.step(number, Input::Tick);
                    if !self.processes[number].durable && self.random.u8(0..30) == 0 {
                        self.save(number);
                    }
                }
                if !self.processes[number].gone {
                    self.at(100, Event::Tick(number));
                }
            }
            Event::Built { node, run, token, failures, gone } => {
                if self.processes[node].run == run {
                    self.step(node, Input::Built { token, failures, gone });
                }
            }
            Event::Replicated { node } => {
                let now = self.now;
                if let Some((replica, pending)) = &mut self.processes[node].replica
                    && let Some(bytes) = pending.pop_front()
                {
                    replica.step(now, Input::Merge(bytes));
                }
            }
            Event::Chaos => {
                if self.chaos {
                    self.stir();
                    let delay = self.random.u64(100..3000);
                    self.at(delay, Event::Chaos);
                }
            }
            Event::Client => {
                if self.chaos {
                    self.request();
                    let delay = self.random.u64(1..300);
                    self.at(delay, Event::Client);
                }
            }
        }
    }

    fn library(&mut self) -> Library {
        let name: Name = format!("lib{}", self.random.u8(0..NAMES)).into();
        let bad = if self.random.u8(0..12) == 0 { "bad" } else { "good" };
        let long = if self.random.u8(0..15) == 0 { 60_000 } else { 4 };
        let source = format!("{bad} {} {:long$}", self.random.u32(0..200), 0);
        let own = name[3..].parse::<u8>().unwrap_or(0);
        let mut functions: Vec<Name> = vec![format!("f{own}").into()];
        if self.random.u8(0..3) == 0 {
            functions.push(format!("f{}", self.random.u8(0..FUNCTIONS)).into());
        }
        Library { name, body: Body::new(source.into_bytes(), functions) }
    }

    fn request(&mut self) {
        let number = self.random.usize(0..self.processes.len());
        if !self.is_up(number) {
            return;
        }
        let request = match self.random.u8(0..20) {
            0 => Request::Flush,
            1 | 2 => {
                let mut libraries = BTreeMap::new();
                for _ in 0..self.random.u8(1..5) {
                    let library = self.library();
                    libraries.insert(Arc::clone(&library.name), library);
                }
                let clear = self.random.u8(0..3) > 0;
                Request::Put { libraries: libraries.into_values().collect(), replace: true, clear }
            }
            3..=7 => Request::Delete(format!("lib{}", self.random.u8(0..NAMES)).into()),
            _ => {
                let replace = self.random.u8(0..3) > 0;
                Request::Put { libraries: vec![self.library()], replace, clear: false }
            }
        };
        self.next_client += 1;
        let client = self.next_client;
        self.counts.changes += 1;
        let full = if self.processes[number].since < self.full_since { self.full } else { Stamp::ZERO };
        self.clients.insert(client, (number, request.clone(), full));
        let wait = self.random.u8(0..10) > 0;
        self.step(number, Input::Request { client, request, wait });
    }

    fn save(&mut self, number: usize) {
        if let Some(node) = &self.processes[number].node {
            self.processes[number].saved = node.snapshot().collect();
        }
    }

    /// Whether a node's state has a change, or something later.
    fn holds(node: &Node, acknowledged: &Acknowledged) -> bool {
        let registry = node.core().registry();
        if registry.floor() > acknowledged.stamp {
            return true;
        }
        let names: Vec<&Name> = match &acknowledged.request {
            Request::Flush => return registry.floor() >= acknowledged.stamp,
            Request::Delete(name) => vec![name],
            Request::Put { libraries, clear, .. } => {
                if *clear && registry.floor() < acknowledged.stamp {
                    return false;
                }
                libraries.iter().map(|library| &library.name).collect()
            }
        };
        names.into_iter().all(|name| match registry.get(name) {
            Some(held) => held.entry.stamp >= acknowledged.stamp,
            None => acknowledged.stamp.hlc <= registry.gc(),
        })
    }

    /// A node goes back to an older state, or leaves: what only it has is lost, and may be.
    fn note_losses(&mut self, leaving: usize) {
        let mut acknowledged = std::mem::take(&mut self.acknowledged);
        for change in &mut acknowledged {
            // A node that is alone begins anew, as after a RESET: what it has is no part of the cluster's state.
            let stays = |other: &usize| *other != leaving && self.processes[*other].knows.len() > 1;
            let kept = (0..self.processes.len())
                .filter(stays)
                .any(|other| self.processes[other].node.as_ref().is_some_and(|node| Self::holds(node, change)));
            if !kept && !change.lost {
                change.lost = true;
                self.counts.lost += 1;
            }
        }
        self.acknowledged = acknowledged;
        // What was answered by all is in the clock of whoever stays, if somebody does.
        let stays = (0..self.processes.len()).any(|other| {
            other != leaving
                && self.processes[other]
                    .node
                    .as_ref()
                    .is_some_and(|node| node.core().registry().clock() >= self.full.hlc)
        });
        if !stays {
            self.full = Stamp::ZERO;
        }
    }

    fn stop(&mut self, number: usize) {
        self.note_losses(number);
        let process = &mut self.processes[number];
        process.node = None;
        process.run += 1;
        process.served.clear();
        self.clients.retain(|_, (origin, _, _)| *origin != number);
    }

    fn restart(&mut self, number: usize) {
        let run = self.processes[number].run;
        let mut node = self.start(number, self.processes[number].skew, run);
        for bytes in &self.processes[number].saved {
            node.restore(bytes).expect("what was saved can be read");
        }
        self.processes[number].node = Some(node);
        self.processes[number].since = self.now;
        if self.processes[number].replica.is_some() {
            // A full synchronisation.
            let mut replica = self.replica(number);
            for bytes in &self.processes[number].saved {
                replica.restore(bytes).expect("what was saved can be read");
            }
            self.processes[number].replica = Some((replica, VecDeque::new()));
        }
        self.counts.restarts += 1;
        self.members(number);
    }

    fn stir(&mut self) {
        let count = self.processes.len();
        let number = self.random.usize(0..count);
        let up = (0..count).filter(|&other| self.is_up(other)).count();
        match self.random.u8(0..12) {
            0 | 1 if self.is_up(number) && up > 2 => self.stop(number),
            0..=4 => {
                // Somebody that is down comes back, or a partition heals.
                if let Some(down) = (0..count).find(|&other| !self.is_up(other) && !self.processes[other].gone) {
                    self.restart(down);
                } else {
                    self.cut.clear();
                }
            }
            5 | 6 => {
                let side: BTreeSet<usize> = (0..count).filter(|_| self.random.bool()).collect();
                for a in 0..count {
                    for b in a + 1..count {
                        if side.contains(&a) != side.contains(&b) {
                            self.cut.entry((a, b)).or_insert(self.now);
                        }
                    }
                }
            }
            7 if self.is_up(number) && self.processes[number].replica.is_some() => self.fail_over(number),
            8 if up > 2 && self.is_up(number) => {
                // RESET: it leaves, and comes back by MEET as a node that was alone, with what it had.
                self.counts.resets += 1;
                self.note_losses(number);
                let others: BTreeSet<usize> = (0..count).filter(|other| !self.processes[*other].gone).collect();
                self.processes[number].knows = BTreeSet::from([number]);
                self.processes[number].since = u64::MAX;
                self.members(number);
                if self.random.bool() {
                    self.next_client += 1;
                    let library = self.library();
                    let request = Request::Put { libraries: vec![library], replace: true, clear: false };
                    self.clients.insert(self.next_client, (number, request.clone(), Stamp::ZERO));
                    self.step(number, Input::Request { client: self.next_client, request, wait: true });
                }
                self.processes[number].knows = others;
                self.processes[number].since = self.now;
                self.members(number);
            }
            9 => {
                // FORGET, on both sides, and MEET at the next one of these.
                let other = self.random.usize(0..count);
                if other != number {
                    self.counts.forgotten += 1;
                    for (a, b) in [(number, other), (other, number)] {
                        if !self.processes[a].knows.remove(&b) {
                            self.processes[a].knows.insert(b);
                        }
                        self.processes[a].since = self.now;
                        if self.processes[a].knows.len() == 1 {
                            self.note_losses(a);
                        }
                        if self.is_up(a) {
                            self.members(a);
                        }
                    }
                }
            }
            10 => self.processes[number].skew += self.random.i64(-2000..2000),
            _ => {}
        }
    }

    /// A master dies, and its replica is in its place, with what had reached it.
    fn fail_over(&mut self, number: usize) {
        self.counts.failovers += 1;
        self.stop(number);
        let Some((mut node, _)) = self.processes[number].replica.take() else { return };
        self.processes[number].gone = true;
        let (skew, durable) = (self.processes[number].skew, self.processes[number].durable);
        let knows: BTreeSet<usize> = self.processes[number].knows.clone();
        let new = self.processes.len();
        self.add(skew, durable);
        // The replica's process has had its own ID all the time; here it gets it when it counts.
        let saved: Vec<_> = node.snapshot().collect();
        node = self.start(new, skew, 0);
        node.step(self.now, Input::Role { master: false });
        for bytes in &saved {
            node.restore(bytes).expect("what was saved can be read");
        }
        self.processes[new].node = Some(node);
        self.processes[new].saved = saved;
        for other in 0..self.processes.len() {
            if knows.contains(&other) {
                self.processes[other].knows.insert(new);
            }
        }
        let mut knows = knows;
        knows.remove(&number);
        knows.insert(new);
        self.processes[new].knows = knows;
        self.members(new);
        self.step(new, Input::Role { master: true });
        for other in 0..new {
            if self.is_up(other) {
                self.members(other);
            }
        }
    }

    fn run(&mut self, until: u64) {
        while let Some(Reverse((at, order))) = self.events.pop() {
            if at > until {
                self.events.push(Reverse((at, order)));
                break;
            }
            self.now = at;
            let event = self.what.remove(&order).expect("each event is there once");
            self.handle(event);
        }
        self.now = until;
    }

    fn calm(&mut self) {
        self.chaos = false;
        self.cut.clear();
        let there: BTreeSet<usize> = (0..self.processes.len()).filter(|&n| !self.processes[n].gone).collect();
        for &number in &there {
            self.processes[number].knows.clone_from(&there);
            if !self.is_up(number) {
                self.restart(number);
            }
        }
        for &number in &there {
            self.members(number);
        }
    }

    fn check(&mut self) {
        let there: Vec<usize> = (0..self.processes.len()).filter(|&n| !self.processes[n].gone).collect();
        let state = |number: usize| {
            let node = self.processes[number].node.as_ref().expect("all are up");
            let registry = node.core().registry();
            let entries: BTreeMap<Name, _> = registry
                .iter()
                .filter(|(_, held)| held.entry.is_live())
                .map(|(name, held)| (Arc::clone(name), held.entry.clone()))
                .collect();
            let asleep: Vec<Name> = registry.claims.asleep().cloned().collect();
            (entries, registry.floor(), asleep)
        };
        // I1: the same everywhere.
        let (entries, floor, asleep) = state(there[0]);
        for &other in &there[1..] {
            assert_eq!(state(other), (entries.clone(), floor, asleep.clone()), "nodes {} and {other}", there[0]);
        }
        for &number in &there {
            let process = &self.processes[number];
            let node = process.node.as_ref().expect("all are up");
            let status = node.status();
            assert!(status.settled && status.ready, "{number}: {status:?}");
            assert_eq!(status.waiting, 0);
            assert_eq!(node.core().serving().open(), 0);
            // I11, and that the server has what is active.
            for (name, entry) in &entries {
                let blocked = status.blocked.iter().any(|(blocked, _)| blocked == name);
                if asleep.contains(name) {
                    assert!(!process.served.contains_key(name), "{name} sleeps and is served on {number}");
                } else if blocked {
                    let body = entry.body.as_ref().expect("it is live");
                    assert!(body.source().starts_with(b"bad"), "{name} is blocked on {number}: {:?}", status.blocked);
                } else {
                    assert_eq!(process.served.get(name), entry.body.as_ref(), "{name} on {number}");
                }
            }
            for name in process.served.keys() {
                assert!(entries.contains_key(name), "{name} is served on {number}");
            }
            // I10: a replica has what its master has.
            if let Some((replica, pending)) = &process.replica {
                assert!(pending.is_empty());
                let live = |node: &Node| -> Vec<_> {
                    let registry = node.core().registry();
                    let entries = registry.iter().map(|(name, held)| (Arc::clone(name), held.entry.clone()));
                    [(registry.floor(), registry.gc(), entries.collect::<Vec<_>>())].to_vec()
                };
                assert_eq!(live(replica), live(node), "the replica of {number}");
            }
            let counters = &status.counters;
            self.counts.withdrawn += counters.withdrawn;
            self.counts.made_anew += counters.made_anew;
            self.counts.overruled += counters.overruled;
            self.counts.collected += u64::from(status.gc > Hlc::ZERO);
            self.counts.asleep += status.asleep.len() as u64;
        }
        // I3, I4, I5: what was answered by all that were asked is in effect, or something later is.
        for change in self.acknowledged.iter().filter(|change| !change.lost) {
            let overtaken = floor > change.stamp;
            let at_least = |name: &Name, live: bool| match entries.get(name) {
                Some(entry) if live => entry.stamp >= change.stamp,
                Some(entry) => entry.stamp > change.stamp,
                None if live => {
                    let mut dead = self.tombstones.get(name).into_iter().flatten();
                    overtaken || dead.any(|stamp| *stamp > change.stamp)
                }
                None => true,
            };
            let fine = match &change.request {
                Request::Flush => floor >= change.stamp,
                Request::Delete(name) => at_least(name, false),
                Request::Put { libraries, clear, .. } => {
                    (!clear || floor >= change.stamp) && libraries.iter().all(|library| at_least(&library.name, true))
                }
            };
            assert!(fine || overtaken, "{:?} of {:?} is lost: {entries:?}, {floor:?}", change.stamp, change.request);
        }
    }
}

fn simulate(seed: u64) -> Counts {
    let mut world = World::new(seed);
    let begin = world.now;
    world.run(begin + CHAOS);
    world.calm();
    world.run(begin + CHAOS + QUIET);
    world.check();
    // I8: at rest there are a few small messages a second for each node.
    let before = world.messages;
    let nodes = world.processes.iter().filter(|process| !process.gone).count() as u64;
    world.run(begin + CHAOS + QUIET + 10_000);
    let sent = world.messages - before;
    assert!(sent <= nodes * 25, "{sent} messages in ten seconds of {nodes} nodes at rest");
    world.counts
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn clusters_converge_and_lose_nothing_that_was_acknowledged() {
    let (runs, first) = (variable("RUNS", 200), variable("SEED", 1));
    let next = std::sync::atomic::AtomicU64::new(first);
    let total = std::sync::Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= first + runs {
                        return;
                    }
                    let counts = match std::panic::catch_unwind(|| simulate(seed)) {
                        Ok(counts) => counts,
                        Err(panic) => {
                            eprintln!("a run failed: repeat it with RUNS=1 SEED={seed}");
                            next.store(first + runs, std::sync::atomic::Ordering::Relaxed);
                            std::panic::resume_unwind(panic);
                        }
                    };
                    let mut total = total.lock().expect("a run that failed holds no lock");
                    total.messages += counts.messages;
                    total.changes += counts.changes;
                    total.acknowledged += counts.acknowledged;
                    total.lost += counts.lost;
                    total.restarts += counts.restarts;
                    total.failovers += counts.failovers;
                    total.resets += counts.resets;
                    total.forgotten += counts.forgotten;
                    total.collected += counts.collected;
                    total.withdrawn += counts.withdrawn;
                    total.made_anew += counts.made_anew;
                    total.overruled += counts.overruled;
                    total.asleep += counts.asleep;
                }
            });
        }
    });
    let total = total.into_inner().expect("no run has failed");
    println!("{runs} runs from seed {first}: {total:?}");
    if runs >= 100 {
        // A run in which nothing happens proves nothing.
        let Counts { restarts, failovers, resets, collected, made_anew, overruled, .. } = total;
        assert!([restarts, failovers, resets, collected, made_anew, overruled].iter().all(|&count| count > 0));
    }
}
