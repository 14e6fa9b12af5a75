//! Three nodes, every order of events: the model checker looks at each state that a few changes, losses, doubles,
//! restarts to an older state, joins and lost links can lead to, messages being delivered in any order.
//!
//! In each of these states it also lets the cluster come to rest, link by link, and looks at what is left: so each
//! state is one from which the nodes must agree.
//!
//! `CLUSTER_MODEL=long` looks at larger spaces.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use shadow_cluster::core::{Config, Core};
use shadow_cluster::entry::{Body, Name, NodeId};
use shadow_cluster::input::{Input, Library, Member, Output, Request};
use shadow_cluster::message::Message;
use shadow_cluster::stamp::{Hlc, Stamp};
use stateright::{Checker, Model, Property};

const NODES: usize = 3;
/// When everything happens: a wall clock that stands still leaves all to the logical one.
const NOW: u64 = 10;

fn id(number: usize) -> NodeId {
    NodeId([b'a' + number as u8; 40])
}

fn number(id: NodeId) -> usize {
    usize::from(id.0[0] - b'a')
}

/// What a client may send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Command {
    /// `LOAD REPLACE x`, with this source. Source 0 of x and that of y have a function in common.
    LoadX(u8),
    LoadY,
    DeleteX,
    Flush,
    /// All is x and y, which do not clash then.
    Deploy,
}

impl Command {
    fn request(self) -> Request {
        let library = |name: &str, source: String, function: &str| Library {
            name: name.into(),
            body: Body::new(source.into_bytes(), [function.into()]),
        };
        let put = |libraries, clear| Request::Put { libraries, replace: true, clear };
        match self {
            Command::LoadX(0) => put(vec![library("x", "x0".into(), "f")], false),
            Command::LoadX(source) => put(vec![library("x", format!("x{source}"), "g")], false),
            Command::LoadY => put(vec![library("y", "y".into(), "f")], false),
            Command::DeleteX => Request::Delete("x".into()),
            Command::Flush => Request::Flush,
            Command::Deploy => put(vec![library("x", "dx".into(), "g"), library("y", "dy".into(), "f")], true),
        }
    }
}

/// How much may happen.
#[derive(Clone)]
struct Cluster {
    name: &'static str,
    commands: Vec<Command>,
    /// How many of the nodes clients write to.
    writers: usize,
    changes: u8,
    losses: u8,
    doubles: u8,
    restarts: u8,
    hellos: u8,
    collections: u8,
    failovers: u8,
    /// Whether a link keeps its order, as the bus does.
    ordered: bool,
    /// How many events there are at most: where each brings many messages, the space is all sequences of so many.
    depth: usize,
    /// Whether the third node comes from being alone, with an x of its own.
    joins: bool,
    /// Whether all have x at the beginning.
    filled: bool,
}

/// What the clients know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Known {
    command: Command,
    stamp: Stamp,
    /// Who has answered, the origin included.
    holders: BTreeSet<usize>,
}

/// A state as a file has it.
type Saved = Vec<Vec<u8>>;

#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    nodes: Vec<Core>,
    /// What a node finds when it starts again: its state after an earlier step.
    saved: Vec<Saved>,
    /// What a node's replica has, and what it had before the last that it got.
    replicas: Vec<(Saved, Saved)>,
    /// Whether replicas decide what can happen.
    fails_over: bool,
    /// What is on its way, in no order.
    bus: BTreeMap<(usize, usize), Vec<Vec<u8>>>,
    /// Whether a link keeps its order, as the bus does. Otherwise its messages are sorted: none is before another.
    ordered: bool,
    known: Vec<Known>,
    open: BTreeMap<u64, (usize, Command, Stamp)>,
    clients: u64,
    spent: [u8; 7],
    /// Whether some step did what it must not.
    wrong: Option<&'static str>,
    joined: bool,
}

/// What replicas have is a part of the state only where it can become a node's. That it is what the masters have is
/// looked at after each step all the same.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.nodes, &self.saved, &self.bus, &self.known, &self.open).hash(hasher);
        (&self.clients, &self.spent, &self.wrong, &self.joined).hash(hasher);
        if self.fails_over {
            self.replicas.hash(hasher);
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Step {
    Client(usize, Command),
    Deliver(usize, usize, Vec<u8>),
    Lose(usize, usize, Vec<u8>),
    Double(usize, usize, Vec<u8>),
    Save(usize),
    Restart(usize),
    Hello(usize, usize),
    Collect(usize),
    FailOver(usize),
    Join,
}

fn replica(at: usize, state: &[Vec<u8>]) -> Core {
    let mut replica = Core::new(id(at), config(), NOW, 1);
    replica.step(NOW, Input::Role { master: false });
    for bytes in state {
        replica.step(NOW, Input::Merge(bytes.clone()));
    }
    replica
}

fn arrival(from: usize, bytes: &[u8]) -> Input<Message> {
    let message = Message::from_bytes(bytes).unwrap_or_else(|_| panic!("what was written can be read"));
    Input::Message { from: id(from), message }
}

fn config() -> Config {
    Config { tombstone_ms: 0, hold_ms: 0, ..Config::default() }
}

fn members(count: usize) -> Vec<Member> {
    (0..count).map(|number| Member { id: id(number), master: true, failing: false }).collect()
}

impl State {
    fn step(&mut self, at: usize, input: Input<Message>) {
        let before = self.nodes[at].registry().clone();
        let outputs = self.nodes[at].step(NOW, input);
        self.carry_out(at, outputs);
        let after = self.nodes[at].registry();
        // I2: what a node has only grows.
        if after.clock() < before.clock() || after.floor() < before.floor() || after.gc() < before.gc() {
            self.wrong = Some("I2: a clock, a floor or a mark went back");
        }
        for (name, held) in before.iter().filter(|(_, held)| held.entry.stamp.hlc > Hlc::ZERO) {
            let stamp = held.entry.stamp;
            let fine = match after.get(name) {
                Some(now) => now.entry.rank() >= held.entry.rank(),
                None => stamp < after.floor() || stamp.hlc <= after.gc() || self.vanishes(&before, stamp),
            };
            if !fine {
                self.wrong = Some("I2: an entry went back");
            }
        }
    }

    /// A node may drop what another one's mark is above: it had been deleted there.
    fn vanishes(&self, _: &shadow_cluster::registry::Registry, stamp: Stamp) -> bool {
        self.nodes.iter().any(|node| stamp.hlc <= node.registry().gc())
    }

    fn carry_out(&mut self, at: usize, outputs: Vec<Output<Message>>) {
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    let link = self.bus.entry((at, number(to))).or_default();
                    link.push(message.to_bytes());
                    if !self.ordered {
                        link.sort();
                    }
                }
                Output::Apply { token, .. } => {
                    let input = Input::Built { token, failures: Vec::new(), gone: Vec::new() };
                    let more = self.nodes[at].step(NOW, input);
                    self.carry_out(at, more);
                }
                Output::Replicate(_) if !self.fails_over => {}
                Output::Replicate(bytes) => {
                    let (now, before) = &mut self.replicas[at];
                    let mut replica = replica(at, now);
                    replica.step(NOW, Input::Merge(bytes));
                    before.clone_from(now);
                    *now = replica.snapshot().collect();
                }
                Output::Reply { client, result } => {
                    let Some((origin, command, full)) = self.open.remove(&client) else {
                        self.wrong = Some("a client gets two replies");
                        continue;
                    };
                    let Ok(done) = result else { continue };
                    let Some(stamp) = done.stamp else { continue };
                    if done.asked > 0 && stamp <= full {
                        self.wrong = Some("I9: what was begun after another change was answered by all is not later");
                    }
                    if done.answered == done.asked {
                        let holders =
                            if done.asked + 1 == NODES { (0..NODES).collect() } else { BTreeSet::from([origin]) };
                        self.known.push(Known { command, stamp, holders });
                        self.known.sort_by_key(|known| known.stamp);
                    }
                }
                Output::Log(_) => {}
            }
        }
    }

    /// Takes a message off the bus: this one, or the first of the first link.
    fn take(&mut self, which: Option<(usize, usize, &[u8])>) -> Option<(usize, usize, Vec<u8>)> {
        let (from, to) = which.map_or_else(|| self.bus.keys().next().copied(), |(from, to, _)| Some((from, to)))?;
        let link = self.bus.get_mut(&(from, to))?;
        let at = which.map_or(Some(0), |(_, _, bytes)| link.iter().position(|other| other == bytes))?;
        let bytes = link.remove(at);
        if link.is_empty() {
            self.bus.remove(&(from, to));
        }
        Some((from, to, bytes))
    }

    /// Delivers all that is on its way, and what comes of it.
    fn drain(&mut self) -> usize {
        let mut messages = 0;
        while let Some((from, to, bytes)) = self.take(None) {
            self.step(to, arrival(from, &bytes));
            messages += 1;
            if messages > 2000 {
                break;
            }
        }
        messages
    }

    fn full(&self) -> Stamp {
        self.known
            .iter()
            .filter(|known| known.holders.len() == NODES)
            .map(|known| known.stamp)
            .max()
            .unwrap_or_default()
    }

    /// Lets all nodes come to rest. Returns how many messages it took, or None if they never do.
    fn rest(&mut self) -> Option<usize> {
        let mut messages = 0;
        if !self.joined {
            self.join();
        }
        for _ in 0..8 {
            messages += self.drain();
            if messages > 2000 {
                return None;
            }
            for from in 0..NODES {
                for to in (0..NODES).filter(|&to| to != from) {
                    let outputs = self.nodes[from].greet_again(id(to));
                    self.carry_out(from, outputs);
                }
            }
        }
        Some(messages)
    }

    fn join(&mut self) {
        self.joined = true;
        for at in 0..NODES {
            self.step(at, Input::Members { me: id(at), members: members(NODES) });
        }
    }

    fn equal(&self) -> bool {
        let state = |node: &Core| -> (Stamp, Vec<(Name, _)>, Vec<Name>, Vec<Name>) {
            let live = node.registry().iter().filter(|(_, held)| held.entry.is_live());
            // Two nodes that make the same change at the same time made one: whose it is called decides nothing.
            let entries: Vec<_> = live.map(|(name, held)| (Arc::clone(name), held.entry.rank())).collect();
            let asleep = node.registry().claims.asleep().cloned().collect();
            (node.registry().floor(), entries, asleep, node.serving().served().keys().cloned().collect())
        };
        self.nodes.iter().all(|node| state(node) == state(&self.nodes[0]))
    }

    /// Whether what clients know is still so once all is at rest.
    fn kept(&self) -> Result<(), &'static str> {
        let registry = self.nodes[0].registry();
        for known in self.known.iter().filter(|known| !known.holders.is_empty()) {
            let stamp = known.stamp;
            let later = |name: &str| -> bool {
                let name: Name = name.into();
                match registry.get(&name) {
                    Some(held) => held.entry.stamp >= stamp,
                    None => registry.floor() > stamp || stamp.hlc <= registry.gc(),
                }
            };
            let dead_or_later = |name: &str| {
                let name: Name = name.into();
                registry.get(&name).is_none_or(|held| !held.entry.is_live() || held.entry.stamp > stamp)
            };
            let deleted = self
                .commands_later_than(stamp)
                .any(|command| matches!(command, Command::DeleteX | Command::Flush | Command::Deploy));
            match known.command {
                Command::LoadX(_) if !later("x") => return Err("I3: a change that was answered is lost"),
                Command::LoadY if !later("y") && !deleted => return Err("I3: a change that was answered is lost"),
                Command::DeleteX if !dead_or_later("x") => return Err("I4: a deleted library returned"),
                Command::Flush | Command::Deploy if registry.floor() < stamp => {
                    return Err("I3: a change that was answered is lost");
                }
                _ => {}
            }
            // I5: only a deletion makes a library vanish.
            if let (Command::LoadX(_), None) = (known.command, registry.get(&"x".into()))
                && !deleted
                && !self.deletes_open()
            {
                return Err("I5: a library is gone that nobody deleted");
            }
        }
        for (_, held) in registry.iter() {
            if held.entry.stamp < registry.floor() {
                return Err("I4: an entry is below the floor");
            }
        }
        Ok(())
    }

    fn commands_later_than(&self, stamp: Stamp) -> impl Iterator<Item = Command> + '_ {
        self.known.iter().filter(move |known| known.stamp > stamp).map(|known| known.command)
    }

    /// Whether a deletion may have taken effect without an answer that counts.
    fn deletes_open(&self) -> bool {
        self.open.values().any(|(_, command, _)| matches!(command, Command::DeleteX | Command::Flush | Command::Deploy))
            || self.spent[3] > 0
            || self.spent[6] > 0
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut nodes: Vec<Core> = (0..NODES).map(|at| Core::new(id(at), config(), NOW, 1)).collect();
        let mut alone = Vec::new();
        if self.joins {
            let x = Library { name: "x".into(), body: Body::new(&b"foreign"[..], ["f".into()]) };
            let last = NODES - 1;
            alone.extend(nodes[last].step(NOW, Input::Members { me: id(last), members: vec![members(NODES)[last]] }));
            let request = Request::Put { libraries: vec![x], replace: true, clear: false };
            alone.extend(nodes[last].step(NOW, Input::Request { client: 999, request, wait: true }));
        }
        let mut state = State {
            nodes,
            saved: vec![Vec::new(); NODES],
            replicas: vec![Default::default(); NODES],
            fails_over: self.failovers > 0,
            bus: BTreeMap::new(),
            ordered: self.ordered,
            known: Vec::new(),
            open: BTreeMap::new(),
            clients: 0,
            spent: [0; 7],
            wrong: None,
            joined: !self.joins,
        };
        for output in alone {
            if let Output::Apply { token, .. } = output {
                state.nodes[NODES - 1].step(NOW, Input::Built { token, failures: Vec::new(), gone: Vec::new() });
            }
        }
        let there = if self.joins { NODES - 1 } else { NODES };
        for at in 0..there {
            state.step(at, Input::Members { me: id(at), members: members(there) });
        }
        // They meet, and what they say to each other until then is not looked at.
        for _ in 0..6 {
            for at in 0..there {
                state.step(at, Input::Tick);
            }
            state.drain();
            for from in 0..there {
                for to in (0..there).filter(|&to| to != from) {
                    let outputs = state.nodes[from].greet_again(id(to));
                    state.carry_out(from, outputs);
                }
            }
        }
        state.drain();
        if self.filled {
            let request = Command::LoadX(0).request();
            state.open.insert(0, (0, Command::LoadX(0), Stamp::ZERO));
            state.step(0, Input::Request { client: 0, request, wait: true });
            state.drain();
        }
        assert!(state.nodes[..there].iter().all(|node| node.is_settled() && node.is_ready()));
        for at in 0..NODES {
            state.saved[at] = state.nodes[at].snapshot().collect();
            state.replicas[at] = (state.saved[at].clone(), state.saved[at].clone());
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        let [changes, losses, doubles, restarts, hellos, collections, failovers] = state.spent;
        if state.wrong.is_some() {
            return;
        }
        for (&(from, to), link) in &state.bus {
            for (at, bytes) in link.iter().enumerate() {
                if at > 0 && (self.ordered || link[at - 1] == *bytes) {
                    continue;
                }
                actions.push(Step::Deliver(from, to, bytes.clone()));
                if losses < self.losses {
                    actions.push(Step::Lose(from, to, bytes.clone()));
                }
                if doubles < self.doubles {
                    actions.push(Step::Double(from, to, bytes.clone()));
                }
            }
        }
        let there = if state.joined { NODES } else { NODES - 1 };
        if changes < self.changes {
            // Which of them write is a matter of names.
            for at in 0..there.min(self.writers) {
                actions.extend(self.commands.iter().map(|&command| Step::Client(at, command)));
            }
        }
        if restarts < self.restarts {
            actions.extend((0..there).map(Step::Restart));
            actions.extend((0..there).map(Step::Save));
        }
        if failovers < self.failovers {
            actions.extend((0..there).map(Step::FailOver));
        }
        if hellos < self.hellos {
            for from in 0..there {
                actions.extend((0..there).filter(|&to| to != from).map(|to| Step::Hello(from, to)));
            }
        }
        if collections < self.collections {
            actions.extend((0..there).map(Step::Collect));
        }
        if !state.joined {
            actions.push(Step::Join);
        }
    }

    fn next_state(&self, last: &State, action: Step) -> Option<State> {
        let mut state = last.clone();
        match action {
            Step::Client(at, command) => {
                state.spent[0] += 1;
                state.clients += 1;
                let full = state.full();
                state.open.insert(state.clients, (at, command, full));
                let client = state.clients;
                state.step(at, Input::Request { client, request: command.request(), wait: true });
            }
            Step::Deliver(from, to, bytes) => {
                state.take(Some((from, to, &bytes)))?;
                state.step(to, arrival(from, &bytes));
            }
            Step::Lose(from, to, bytes) => {
                state.spent[1] += 1;
                state.take(Some((from, to, &bytes)))?;
            }
            Step::Double(from, to, bytes) => {
                state.spent[2] += 1;
                state.step(to, arrival(from, &bytes));
            }
            Step::Save(at) => {
                let snapshot: Vec<_> = state.nodes[at].snapshot().collect();
                if state.saved[at] == snapshot {
                    return None;
                }
                state.saved[at] = snapshot;
            }
            Step::Restart(at) | Step::FailOver(at) => {
                let from_replica = matches!(action, Step::FailOver(_));
                state.spent[if from_replica { 6 } else { 3 }] += 1;
                let mut node = Core::new(id(at), config(), NOW, 1);
                let saved = if from_replica {
                    // Its last change had not reached the replica.
                    state.replicas[at].1.clone()
                } else {
                    state.saved[at].clone()
                };
                for bytes in &saved {
                    node.restore(bytes).ok()?;
                }
                state.replicas[at] = (saved.clone(), saved);
                state.nodes[at] = node;
                state.open.retain(|_, (origin, _, _)| *origin != at);
                state.bus.retain(|(from, to), _| *from != at && *to != at);
                for known in &mut state.known {
                    known.holders.remove(&at);
                }
                state.step(at, Input::Members { me: id(at), members: members(NODES) });
            }
            Step::Hello(from, to) => {
                state.spent[4] += 1;
                let outputs = state.nodes[from].greet_again(id(to));
                state.carry_out(from, outputs);
            }
            Step::Collect(at) => {
                state.spent[5] += 1;
                let gc = state.nodes[at].registry().gc();
                let outputs = state.nodes[at].collect_now(NOW);
                state.carry_out(at, outputs);
                if state.nodes[at].registry().gc() == gc {
                    return None;
                }
            }
            Step::Join => state.join(),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I2, I9: no step goes back, and each client gets one reply", |_, state: &State| {
                state.wrong.is_none()
            }),
            Property::always("I8: at rest after a bounded number of messages", |_, state: &State| {
                at_rest(state).messages
            }),
            Property::always("I1: at rest, all have the same", |_, state: &State| at_rest(state).equal),
            Property::always("I3: what every master answered survives", |_, state: &State| at_rest(state).answered),
            Property::always("I4: nothing returns from below a tombstone or a floor", |_, state: &State| {
                at_rest(state).gone
            }),
            Property::always("I5: only a deletion makes a library vanish", |_, state: &State| at_rest(state).there),
            Property::always("I6: a function has one owner, and sums are of entries alone", |_, state: &State| {
                state.nodes.iter().all(|node| {
                    let mut functions = BTreeSet::new();
                    let served = node.serving().served().values();
                    served.flat_map(|body| body.functions().iter()).all(|function| functions.insert(function))
                })
            }),
            Property::always("I10: a replica that has all has what its master has", |_, state: &State| {
                !state.fails_over
                    || (0..NODES).all(|at| {
                        let (a, b) = (replica(at, &state.replicas[at].0), &state.nodes[at]);
                        let entries = |node: &Core| -> Vec<_> {
                            node.registry().iter().map(|(name, held)| (Arc::clone(name), held.entry.clone())).collect()
                        };
                        let marks = |node: &Core| (node.registry().floor(), node.registry().gc());
                        entries(&a) == entries(b) && marks(&a) == marks(b)
                    })
            }),
        ]
    }
}

/// What holds once a state has come to rest.
#[derive(Clone, Copy)]
struct Rest {
    messages: bool,
    equal: bool,
    answered: bool,
    gone: bool,
    there: bool,
}

/// Lets a state come to rest. The checker asks for each property of a state, one after the other: the last is kept.
fn at_rest(state: &State) -> Rest {
    thread_local!(static LAST: Cell<Option<(u64, Rest)>> = const { Cell::new(None) });
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    let print = hasher.finish();
    if let Some((_, rest)) = LAST.get().filter(|(last, _)| *last == print) {
        return rest;
    }
    let mut state = state.clone();
    let messages = state.wrong.is_some() || state.rest().is_some();
    let kept = state.kept().err();
    let fine = |invariant: &str| kept.is_none_or(|broken| !broken.starts_with(invariant));
    let rest = Rest { messages, equal: state.equal(), answered: fine("I3"), gone: fine("I4"), there: fine("I5") };
    LAST.set(Some((print, rest)));
    rest
}

/// Looks at all of a space, and says how large it is.
fn explore(model: Cluster) {
    let name = model.name;
    let depth = model.depth;
    let checker = model.checker().threads(2).target_max_depth(depth).spawn_bfs().join();
    println!(
        "{name}: {} states, of which {} differ, {} steps deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    for (property, path) in checker.discoveries() {
        let last = path.last_state();
        let mut rest = last.clone();
        let messages = rest.rest();
        println!("{name}: {property}: {:?}", last.wrong);
        for action in path.into_actions() {
            match action {
                Step::Deliver(from, to, bytes) => println!("    {from} -> {to}: {:?}", Message::from_bytes(&bytes)),
                Step::Lose(from, to, bytes) => println!("    {from} lost {to}: {:?}", Message::from_bytes(&bytes)),
                Step::Double(from, to, bytes) => println!("    {from} twice {to}: {:?}", Message::from_bytes(&bytes)),
                other => println!("    {other:?}"),
            }
        }
        println!("at rest after {messages:?}: {:?}", rest.kept());
        for node in &rest.nodes {
            println!("    {:?} {:?}", node.registry().iter().collect::<Vec<_>>(), node.status());
        }
    }
    assert!(checker.discoveries().is_empty(), "{name}: see above");
}

fn long() -> bool {
    std::env::var("CLUSTER_MODEL").is_ok_and(|word| word == "long")
}

/// How many events, where there are too many of them for all: more in the long form.
fn depth(short: usize) -> usize {
    if long() { short + 6 } else { short }
}

/// Nothing happens but what is said.
fn still(name: &'static str, commands: Vec<Command>, changes: u8) -> Cluster {
    Cluster {
        name,
        commands,
        writers: 2,
        changes,
        losses: 0,
        doubles: 0,
        restarts: 0,
        hellos: 0,
        collections: 0,
        failovers: 0,
        ordered: false,
        depth: 1000,
        joins: false,
        filled: false,
    }
}

#[test]
fn changes_in_any_order() {
    let mut commands = vec![Command::LoadX(1), Command::DeleteX, Command::Flush];
    if long() {
        commands.extend([Command::LoadX(0), Command::LoadY]);
    }
    explore(Cluster { filled: true, ..still("changes", commands, 2) });
}

#[test]
fn changes_lost_and_doubled() {
    let commands = vec![Command::LoadX(1), Command::DeleteX];
    let changes = 1 + u8::from(long());
    explore(Cluster { losses: 1, doubles: 1, filled: true, ..still("losses", commands, changes) });
}

#[test]
fn deploys_and_loads() {
    let commands = vec![Command::Deploy, Command::LoadX(1)];
    explore(Cluster { losses: u8::from(long()), ..still("deploys", commands, 2) });
}

#[test]
fn libraries_with_a_function_in_common() {
    let commands = vec![Command::LoadX(0), Command::LoadY];
    explore(Cluster { depth: depth(10), losses: u8::from(long()), ..still("clashes", commands, 2) });
}

#[test]
fn repair_meets_changes() {
    let commands = vec![Command::LoadX(1), Command::DeleteX];
    explore(Cluster {
        losses: 1,
        hellos: 1,
        filled: true,
        ordered: true,
        ..still("repair", commands, 1 + u8::from(long()))
    });
}

#[test]
fn restarts_to_an_older_state() {
    let commands = vec![Command::LoadX(1), Command::DeleteX];
    explore(Cluster {
        writers: 1,
        restarts: 1,
        filled: true,
        depth: depth(10),
        ordered: true,
        ..still("restarts", commands, 1 + u8::from(long()))
    });
}

#[test]
fn failovers_of_a_replica_that_lags() {
    let commands = vec![Command::LoadX(1), Command::DeleteX];
    explore(Cluster {
        writers: 1,
        failovers: 1,
        filled: true,
        depth: depth(9),
        ordered: true,
        ..still("failovers", commands, 1 + u8::from(long()))
    });
}

#[test]
fn tombstones_are_dropped() {
    let commands = vec![Command::DeleteX];
    let more = u8::from(long());
    explore(Cluster {
        writers: 1,
        collections: 1,
        hellos: 2,
        losses: more,
        ordered: true,
        depth: depth(12),
        filled: true,
        ..still("tombstones", commands, 1)
    });
}

#[test]
fn a_node_with_libraries_of_its_own_joins() {
    let commands = vec![Command::LoadX(1), Command::Flush];
    explore(Cluster {
        writers: 1,
        joins: true,
        losses: u8::from(long()),
        filled: true,
        depth: depth(9),
        ordered: true,
        ..still("joins", commands, 1)
    });
}
