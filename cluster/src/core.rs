//! The protocol: a step for each input, without bytes and proofs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::change::{Change, Edit};
use crate::delta::Delta;
use crate::entry::{Entry, Name, NodeId, stamp_alone};
use crate::input::{ClientId, Done, Failure, Input, Library, Member, Output, Refusal, Request};
use crate::message::{Item, LEAST_VERSION, MAX_CONTENT, Message, Summary, VERSION, Verdict};
use crate::peer::Peer;
use crate::pull::{Progress, Pull};
use crate::registry::{Merged, Registry};
use crate::serving::{Owed, Serving};
use crate::stamp::{Hlc, Stamp};
use crate::status::{Counters, PeerStatus, Status};
use crate::wait::{MAX_ATTEMPTS, Wait};
use crate::wire::Malformed;

/// What can be set.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// How long a client waits for the other masters, in milliseconds.
    pub wait_ms: u64,
    /// Whether changes are refused while half of the masters or more are flagged as failing.
    pub quorum: bool,
    /// How long a client that sends the same to every master may take for it.
    pub echo_ms: u64,
    /// How long a node that has started, or became a master, waits to hear the cluster before it makes changes.
    pub hold_ms: u64,
    /// How old a tombstone is at least when it is dropped.
    pub tombstone_ms: u64,
    /// How many tombstones there may be before DELETE is refused.
    pub tombstones: usize,
    /// Every so often, on average, another master is told this node's state.
    pub hello_ms: u64,
    /// After so long a question is asked again.
    pub retry_ms: u64,
    /// So many bytes are staged at most before they are merged.
    pub staged: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            wait_ms: 1000,
            quorum: false,
            echo_ms: 10_000,
            hold_ms: 2000,
            tombstone_ms: 3_600_000,
            tombstones: 65_536,
            hello_ms: 1000,
            retry_ms: 1000,
            staged: 256 << 20,
        }
    }
}

/// How many changes wait for answers at most; what comes on top does not wait.
const MAX_WAITS: usize = 1024;
/// How many requests wait for the node to hear the cluster.
const MAX_HELD: usize = 64;

type Out = Output<Message>;

/// A node without its links.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Core {
    me: NodeId,
    config: Config,
    now: u64,
    random: u64,
    registry: Registry,
    /// Whether it has the state of the cluster.
    settled: bool,
    /// Whether it was alone when what it has was loaded.
    was_alone: bool,
    /// Whether it is alone; None until it was told.
    alone: Option<bool>,
    master: bool,
    members: Vec<Member>,
    peers: BTreeMap<NodeId, Peer>,
    serving: Serving,
    waits: Vec<Wait>,
    held: VecDeque<(ClientId, Request)>,
    /// Whether it has heard the cluster since it started or became a master.
    ready: bool,
    since: u64,
    next_hello: u64,
    pull: Option<Pull>,
    /// Whom to pull from next.
    wanted: VecDeque<NodeId>,
    last_id: u32,
    /// When another node's FLUSH emptied the registry, until a client of this node has been answered for it.
    flushed: Option<u64>,
    counters: Counters,
    delta: Delta,
    /// Names whose state may be another, which the server has not been told.
    unplanned: BTreeSet<Name>,
    /// Whether all vanished meanwhile.
    cleared: bool,
    owed: Vec<Owed>,
    out: Vec<Out>,
}

impl Core {
    /// A node that has nothing yet. `random` spreads what all nodes do every so often.
    #[must_use]
    pub fn new(me: NodeId, config: Config, now: u64, random: u64) -> Core {
        Core {
            me,
            config,
            now,
            random: random | 1,
            registry: Registry::default(),
            settled: false,
            was_alone: false,
            alone: None,
            master: true,
            members: Vec::new(),
            peers: BTreeMap::new(),
            serving: Serving::default(),
            waits: Vec::new(),
            held: VecDeque::new(),
            ready: false,
            since: now,
            next_hello: now,
            pull: None,
            wanted: VecDeque::new(),
            last_id: 0,
            flushed: None,
            counters: Counters::default(),
            delta: Delta::default(),
            unplanned: BTreeSet::new(),
            cleared: false,
            owed: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Before the first input: a part of what `snapshot` gave, or `Output::Replicate`. What the server then is to build
    /// comes with the first step.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.absorb(Delta::from_bytes(bytes)?);
        Ok(())
    }

    /// Before the first input: a library of a file that knows nothing of clusters.
    pub fn adopt(&mut self, library: Library) {
        let entry = self.entry_alone(&library);
        self.registry.overwrite(&library.name, entry, self.now, &mut self.delta);
        self.keep_names();
    }

    /// The state in parts, each of which `restore` and `Input::Merge` take.
    pub fn snapshot(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let head = Delta {
            floor: self.registry.floor(),
            gc: self.registry.gc(),
            restart: true,
            ..self.mark(Delta::default())
        };
        let parts = self.registry.iter().map(|(name, held)| {
            let mut part = self.mark(Delta::default());
            part.put(name, &held.entry);
            part.to_bytes()
        });
        std::iter::once(head.to_bytes()).chain(parts)
    }

    fn mark(&self, delta: Delta) -> Delta {
        Delta { clock: self.registry.clock(), settled: self.settled, was_alone: self.was_alone, ..delta }
    }

    /// The entries.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the server has built, or could not.
    #[must_use]
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// This node's ID.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Whether it has the state of the cluster.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether it may make changes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready || self.alone == Some(true)
    }

    /// The nodes that it knows, itself included.
    #[must_use]
    pub fn knows(&self, node: &NodeId) -> bool {
        self.peers.contains_key(node)
    }

    /// Settings that changed.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// What STATUS and INFO tell.
    #[must_use]
    pub fn status(&self) -> Status {
        let upto = self.registry.gc();
        let peers = self.members.iter().filter(|member| member.id != self.me).map(|member| {
            let peer = self.peers.get(&member.id);
            let summary = peer.and_then(|peer| peer.summary.as_ref());
            PeerStatus {
                id: member.id,
                master: member.master,
                failing: member.failing,
                version: summary.map(|summary| summary.version),
                settled: summary.is_some_and(|summary| summary.settled),
                agrees_since: peer.and_then(|peer| peer.agrees_since),
                differs_since: peer.and_then(|peer| peer.differs_since),
                heard: summary.and(peer).map(|peer| peer.heard),
                behind_ms: summary
                    .map_or(0, |summary| self.registry.clock().millis().saturating_sub(summary.clock.millis())),
                libraries: summary.map_or(0, |summary| summary.libraries),
                asleep: summary.map_or(0, |summary| summary.asleep),
                blocked: summary.map_or(0, |summary| summary.blocked),
                failure: peer.and_then(|peer| peer.failure.clone()),
                pulling: self.pull.as_ref().is_some_and(|pull| pull.peer == member.id),
            }
        });
        Status {
            me: self.me,
            settled: self.settled,
            ready: self.is_ready(),
            alone: self.alone == Some(true),
            libraries: self.registry.libraries(),
            tombstones: self.registry.tombstones(),
            bytes: self.registry.bytes(),
            floor: self.registry.floor(),
            gc: self.registry.gc(),
            clock: self.registry.clock(),
            total: self.registry.total(upto),
            asleep: self.registry.claims.asleep().cloned().collect(),
            blocked: self.serving.blocked.iter().map(|(name, why)| (Arc::clone(name), why.clone())).collect(),
            waiting: self.waits.len() + self.held.len(),
            staged: self.pull.as_ref().map_or(0, Pull::bytes),
            counters: self.counters.clone(),
            peers: peers.collect(),
        }
    }

    /// A step. `now_ms` is the wall clock, which may jump.
    pub fn step(&mut self, now_ms: u64, input: Input<Message>) -> Vec<Out> {
        self.now = now_ms;
        match input {
            Input::Tick => self.tick(),
            Input::Request { client, request, wait } => self.request(client, request, wait),
            Input::Message { from, message } => self.message(from, message),
            Input::Members { me, members } => self.set_members(me, members),
            Input::Role { master } => self.set_role(master),
            Input::Built { token, failures, gone } => self.built(token, failures, &gone),
            Input::Merge(bytes) => match Delta::from_bytes(&bytes) {
                Ok(delta) => self.absorb(delta),
                Err(Malformed) => self.log("What the master sent of the cluster's registry is not understood".into()),
            },
            Input::Retry => {
                let names = self.serving.retry();
                self.plan(names, false);
            }
        }
        self.commit();
        std::mem::take(&mut self.out)
    }

    /// What was said to a node may not have been read: it is told this one's state once more.
    pub fn greet_again(&mut self, to: NodeId) -> Vec<Out> {
        if self.master && self.alone == Some(false) && self.peers.contains_key(&to) {
            self.greet(to, false);
        }
        std::mem::take(&mut self.out)
    }

    /// Drops the tombstones that every listed master has confirmed. `Input::Tick` does so by itself.
    pub fn collect_now(&mut self, now_ms: u64) -> Vec<Out> {
        self.now = now_ms;
        self.collect();
        self.commit();
        std::mem::take(&mut self.out)
    }

    fn send(&mut self, to: NodeId, message: Message) {
        self.out.push(Output::Send { to, message });
    }

    fn log(&mut self, line: String) {
        self.out.push(Output::Log(line));
    }

    fn reply(&mut self, client: ClientId, result: Result<Done, Refusal>) {
        self.out.push(Output::Reply { client, result });
    }

    /// A number that others do not have to be unable to guess.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// What has become different goes to the server and to the replicas.
    fn commit(&mut self) {
        let delta = std::mem::take(&mut self.delta);
        let owed = std::mem::take(&mut self.owed);
        if delta.is_empty() && self.unplanned.is_empty() {
            for owed in owed {
                self.acknowledge(&owed);
            }
            return;
        }
        let mut names: BTreeSet<Name> = delta.entries.keys().chain(&delta.vanished).cloned().collect();
        names.append(&mut self.unplanned);
        self.registry.claims.settle();
        names.append(&mut self.registry.claims.take_changed());
        self.owed = owed;
        let cleared = std::mem::take(&mut self.cleared) || delta.floor > Stamp::ZERO || delta.restart;
        self.plan(names, cleared);
        if self.master && !delta.is_empty() {
            let bytes = self.mark(delta).to_bytes();
            self.out.push(Output::Replicate(bytes));
        }
    }

    fn plan(&mut self, names: BTreeSet<Name>, cleared: bool) {
        let ops = self.serving.plan(&names, &self.registry);
        let owed = std::mem::take(&mut self.owed);
        if ops.is_empty() {
            for owed in owed {
                self.acknowledge(&owed);
            }
            return;
        }
        let token = self.serving.order(owed);
        let loads = |op: &&crate::input::Op| matches!(op, crate::input::Op::Load(_) | crate::input::Op::Wake(_));
        let clear = cleared && ops.iter().filter(loads).count() == self.serving.served().len();
        self.out.push(Output::Apply { token, clear, ops });
    }

    fn acknowledge(&mut self, owed: &Owed) {
        let blocked = owed.names.iter().find_map(|name| Some((name, self.serving.blocked.get(name)?)));
        let asleep = owed.names.iter().any(|name| self.registry.claims.is_asleep(name));
        let (verdict, reason) = match blocked {
            Some((name, blocked)) => (Verdict::Blocked, format!("{name}: {}", blocked.reason)),
            None if asleep => (Verdict::Asleep, String::new()),
            None => (Verdict::Applied, String::new()),
        };
        self.send_ack(owed.to, owed.stamp, verdict, reason);
    }

    fn send_ack(&mut self, to: NodeId, stamp: Stamp, verdict: Verdict, mut reason: String) {
        while reason.len() > crate::message::MAX_REASON {
            reason.pop();
        }
        let clock = self.registry.clock();
        self.send(to, Message::Ack { stamp, verdict, clock, reason });
    }

    fn built(&mut self, token: u64, failures: Vec<Failure>, gone: &[Name]) {
        for failure in &failures {
            self.log(format!("Library {} of the cluster's registry is not built: {}", failure.name, failure.reason));
        }
        for owed in self.serving.built(token, failures, gone, self.now) {
            self.acknowledge(&owed);
        }
    }

    // Requests.

    fn request(&mut self, client: ClientId, request: Request, wait: bool) {
        if !self.master {
            return self.reply(client, Err(Refusal::ReadOnly));
        }
        if !self.is_ready() {
            if wait && self.held.len() < MAX_HELD {
                return self.held.push_back((client, request));
            }
            return self.reply(client, Err(Refusal::NotReady));
        }
        if let Err(refusal) = self.accept(client, request, wait) {
            self.reply(client, Err(refusal));
        }
    }

    fn accept(&mut self, client: ClientId, request: Request, wait: bool) -> Result<(), Refusal> {
        self.registry.claims.settle();
        if self.alone == Some(true) {
            self.check(&request)?;
            self.change_alone(request);
            self.reply(client, Ok(Done::default()));
            return Ok(());
        }
        let masters = self.members.iter().filter(|member| member.master);
        let failing = masters.clone().filter(|member| member.failing).count();
        if self.config.quorum && failing * 2 >= masters.count() {
            return Err(Refusal::NoQuorum);
        }
        if self.is_echo(&request) {
            self.counters.echoes += 1;
            self.reply(client, Ok(Done { echo: true, ..Done::default() }));
            return Ok(());
        }
        self.check(&request)?;
        if matches!(request, Request::Delete(_)) && self.registry.tombstones() >= self.config.tombstones {
            return Err(Refusal::TooManyTombstones);
        }
        let fresh = match &request {
            Request::Put { libraries, clear: false, .. } if libraries.len() == 1 => {
                let name = &libraries[0].name;
                let there = self.registry.get(name).is_some_and(|held| held.entry.is_live());
                (!there).then(|| Arc::clone(name))
            }
            _ => None,
        };
        let (clear, edits) = self.edits(request);
        let change = self.make(clear, edits);
        let client = if wait {
            Some(client)
        } else {
            self.reply(client, Ok(Done { stamp: Some(change.stamp), ..Done::default() }));
            None
        };
        self.ask(client, change, fresh, (self.now + self.config.wait_ms, 0));
        Ok(())
    }

    /// Whether a client that sends the same to every master comes to this one after another node's message.
    fn is_echo(&mut self, request: &Request) -> bool {
        let recent = |arrived: u64, now: u64, echo_ms: u64| now.saturating_sub(arrived) <= echo_ms;
        let (now, echo_ms) = (self.now, self.config.echo_ms);
        let names: Vec<Name> = match request {
            Request::Flush => {
                let echo = self.registry.libraries() == 0 && self.flushed.is_some_and(|at| recent(at, now, echo_ms));
                if echo {
                    self.flushed = None;
                }
                return echo;
            }
            Request::Delete(name) => vec![Arc::clone(name)],
            Request::Put { libraries, .. } => libraries.iter().map(|library| Arc::clone(&library.name)).collect(),
        };
        let body = |at: usize| match request {
            Request::Put { libraries, .. } => Some(&libraries[at].body),
            _ => None,
        };
        let all = names.iter().enumerate().all(|(at, name)| {
            self.registry.get(name).is_some_and(|held| {
                let same = held.entry.body.as_ref() == body(at) && held.entry.stamp.hlc > Hlc::ZERO;
                same && !held.echoed && recent(held.arrived, now, echo_ms)
            })
        });
        let clears = matches!(request, Request::Put { clear: true, .. });
        let echo = all && !names.is_empty() && !(clears && self.registry.libraries() != names.len());
        if echo {
            for name in &names {
                self.registry.mark_echoed(name);
            }
        }
        echo
    }

    /// What the registry says to a request.
    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let live = |name: &Name| self.registry.get(name).is_some_and(|held| held.entry.is_live());
        match request {
            Request::Flush => Ok(()),
            Request::Delete(name) if live(name) => Ok(()),
            Request::Delete(name) => Err(Refusal::Missing(Arc::clone(name))),
            Request::Put { libraries, replace, clear } => {
                let mut functions: BTreeMap<&Name, &Name> = BTreeMap::new();
                let mut names = BTreeSet::new();
                for Library { name, body } in libraries {
                    if !crate::entry::is_name(name) || !body.fits() {
                        return Err(Refusal::TooLong(Arc::clone(name)));
                    }
                    if !names.insert(name) || (!clear && !replace && live(name)) {
                        return Err(Refusal::Exists(Arc::clone(name)));
                    }
                    for function in body.functions() {
                        if let Some(owner) = functions.insert(function, name) {
                            return Err(taken(function, owner));
                        }
                    }
                }
                let others = functions.keys().filter(|_| !clear).find_map(|function| {
                    let owner = self.registry.claims.claimant(function, |name| names.iter().any(|own| ***own == *name));
                    Some(taken(function, owner?))
                });
                others.map_or(Ok(()), Err)
            }
        }
    }

    fn entry_alone(&self, library: &Library) -> Entry {
        Entry {
            stamp: stamp_alone(&library.name, &library.body),
            born: Stamp::BEFORE_THE_CLUSTER,
            origin: self.me,
            body: Some(Arc::clone(&library.body)),
        }
    }

    /// A change of a node that is alone: there is nothing to compare it with.
    fn change_alone(&mut self, request: Request) {
        let (clear, libraries) = match request {
            Request::Flush => (true, Vec::new()),
            Request::Delete(name) => return self.registry.remove(&name, &mut self.delta),
            Request::Put { libraries, clear, .. } => (clear, libraries),
        };
        if clear {
            let names: Vec<Name> = self.registry.iter().map(|(name, _)| Arc::clone(name)).collect();
            for name in names {
                self.registry.remove(&name, &mut self.delta);
            }
        }
        for library in libraries {
            let entry = self.entry_alone(&library);
            self.registry.overwrite(&library.name, entry, self.now, &mut self.delta);
        }
    }

    fn edits(&self, request: Request) -> (bool, Vec<Edit>) {
        match request {
            Request::Flush => (true, Vec::new()),
            Request::Delete(name) => (false, vec![Edit { name, born: None, body: None }]),
            Request::Put { libraries, clear, .. } => {
                let edit = |library: Library| {
                    let before = self.registry.get(&library.name).filter(|held| held.entry.is_live() && !clear);
                    Edit { born: before.map(|held| held.entry.born), name: library.name, body: Some(library.body) }
                };
                let mut edits: Vec<Edit> = libraries.into_iter().map(edit).collect();
                edits.sort_by(|a, b| a.name.cmp(&b.name));
                (clear, edits)
            }
        }
    }

    /// Makes a change: it is in effect here, and on its way to the others.
    fn make(&mut self, clear: bool, edits: Vec<Edit>) -> Change {
        let hlc = self.registry.tick(self.now);
        let stamp = Stamp { hlc, hash: Change::content(clear, &edits) };
        let change = Change { stamp, origin: self.me, clear, edits };
        self.put(&change);
        for edit in &change.edits {
            self.registry.mark_echoed(&edit.name);
        }
        if clear {
            self.flushed = None;
        }
        self.counters.made += 1;
        let message =
            if change.wire_size() <= MAX_CONTENT { Message::Change(change.clone()) } else { Message::Offer(stamp) };
        for peer in self.listeners() {
            self.send(peer, message.clone());
        }
        change
    }

    /// Whoever is sent changes: masters that have spoken.
    fn listeners(&self) -> Vec<NodeId> {
        self.peers.iter().filter(|(_, peer)| peer.summary.is_some()).map(|(id, _)| *id).collect()
    }

    /// Merges a change; returns whether all of it, or some of it, arrived dead.
    fn put(&mut self, change: &Change) -> bool {
        if change.clear {
            if change.stamp < self.registry.floor() {
                self.registry.see(change.stamp.hlc);
                return true;
            }
            if self.registry.raise_floor(change.stamp, &mut self.delta) && change.origin != self.me {
                self.flushed = change.edits.is_empty().then_some(self.now);
            }
        }
        let mut stale = false;
        for (name, entry) in change.entries() {
            match self.registry.merge(&name, entry, self.now, &mut self.delta) {
                Merged::Stale => stale = true,
                Merged::Overruled => self.counters.overruled += 1,
                Merged::Taken | Merged::Same => {}
            }
        }
        stale
    }

    fn ask(&mut self, client: Option<ClientId>, change: Change, fresh: Option<Name>, (deadline, attempts): (u64, u8)) {
        let open: BTreeSet<NodeId> = self.listeners().into_iter().filter(|id| !self.peers[id].failing).collect();
        let done = Done { stamp: Some(change.stamp), asked: open.len(), ..Done::default() };
        let wait = Wait { client, change, fresh, open, done, deadline, attempts };
        if wait.open.is_empty() || self.waits.len() >= MAX_WAITS {
            self.finish(wait);
        } else {
            self.waits.push(wait);
        }
    }

    /// The reply to a change that all have answered, or for which it is too late.
    fn finish(&mut self, mut wait: Wait) {
        let Some(client) = wait.client else { return };
        // Who sleeps is decided by all that has come until now.
        self.registry.claims.settle();
        let sleeps = wait.fresh.take().filter(|name| {
            let stands = self.registry.get(name).is_some_and(|held| held.entry.stamp == wait.change.stamp);
            stands && self.registry.claims.is_asleep(name)
        });
        if let Some(name) = sleeps {
            let functions = wait.change.edits[0].body.as_ref().map_or(&[][..], |body| body.functions());
            let owned =
                functions.iter().find_map(|function| Some(taken(function, self.registry.claims.owner(function)?)));
            if let Some(refusal) = owned {
                let change = self.make(false, vec![Edit { name, born: None, body: None }]);
                self.counters.withdrawn += 1;
                self.ask(None, change, None, (self.now + self.config.wait_ms, 0));
                return self.reply(client, Err(refusal));
            }
        }
        wait.done.late = wait.open.into_iter().collect();
        self.counters.late += u64::from(!wait.done.late.is_empty());
        self.reply(client, Ok(wait.done));
    }

    fn finish_those(&mut self, mut over: impl FnMut(&Wait) -> bool) {
        let mut at = 0;
        while at < self.waits.len() {
            if over(&self.waits[at]) {
                let wait = self.waits.remove(at);
                self.finish(wait);
            } else {
                at += 1;
            }
        }
    }

    // Messages.

    fn message(&mut self, from: NodeId, message: Message) {
        if !self.master || self.alone != Some(false) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard = self.now;
        match message {
            Message::Change(change) => self.change_from(from, &change),
            Message::Offer(stamp) => {
                peer.offer(stamp);
                self.registry.see(stamp.hlc);
                self.want(from);
            }
            Message::Ack { stamp, verdict, clock, reason } => {
                if verdict == Verdict::Blocked {
                    peer.failure = Some(reason);
                }
                self.registry.see(clock);
                self.acknowledged(from, stamp, verdict);
            }
            Message::Hello { summary, answer } => self.hello(from, summary, answer),
            Message::AskBuckets { id, upto } => {
                let upto = upto.max(self.registry.gc());
                let (summary, sums) = (self.summary(upto), self.registry.sums(upto));
                self.send(from, Message::Buckets { id, summary, sums });
            }
            Message::AskList { id, buckets, from: key } => {
                let mut bytes = 0;
                let page = self.registry.list(&buckets, &key, |name| {
                    bytes += name.len() + 48;
                    bytes > MAX_CONTENT
                });
                let item = |(name, held): &(Name, &crate::registry::Held)| Item {
                    name: Arc::clone(name),
                    stamp: held.entry.stamp,
                    digest: held.entry.digest(name),
                };
                let (items, next) = (page.items.iter().map(item).collect(), page.next);
                let floor = self.registry.floor();
                self.send(from, Message::List { id, floor, items, next });
            }
            Message::AskEntries { id, names } => self.answer_entries(from, id, names),
            Message::AskPiece { id, name, stamp, offset } => match self.registry.get(&name) {
                Some(held) if held.entry.stamp == stamp => {
                    let piece = piece(id, &name, &held.entry, offset);
                    self.send(from, piece);
                }
                _ => self.answer_entries(from, id, vec![name]),
            },
            answer @ (Message::Buckets { .. }
            | Message::List { .. }
            | Message::Entries { .. }
            | Message::Piece { .. }) => self.answered(from, answer),
            Message::Unknown => self.counters.unknown += 1,
        }
    }

    fn answer_entries(&mut self, to: NodeId, id: u32, names: Vec<Name>) {
        let mut bytes = 0;
        let mut entries = Vec::new();
        for name in names {
            let entry = self.registry.get(&name).map(|held| &held.entry);
            let size = name.len() + 8 + entry.map_or(0, |entry| entry.wire_size(&name));
            bytes += size;
            if bytes > MAX_CONTENT {
                if let (true, Some(entry)) = (entries.is_empty(), entry) {
                    let piece = piece(id, &name, entry, 0);
                    return self.send(to, piece);
                }
                break;
            }
            entries.push((name, entry.cloned()));
        }
        self.send(to, Message::Entries { id, entries });
    }

    fn change_from(&mut self, from: NodeId, change: &Change) {
        if change.origin != from {
            self.counters.malformed += 1;
            return;
        }
        if self.put(change) {
            self.counters.stale += 1;
            self.send_ack(from, change.stamp, Verdict::Stale, String::new());
        } else {
            self.counters.taken += 1;
            let names = change.edits.iter().map(|edit| Arc::clone(&edit.name)).collect();
            self.owed.push(Owed { to: from, stamp: change.stamp, names });
        }
    }

    fn acknowledged(&mut self, from: NodeId, stamp: Stamp, verdict: Verdict) {
        let Some(at) = self.waits.iter().position(|wait| wait.change.stamp == stamp) else { return };
        if verdict == Verdict::Stale && self.waits[at].open.contains(&from) && self.waits[at].attempts < MAX_ATTEMPTS {
            let wait = self.waits.remove(at);
            return self.make_anew(wait);
        }
        self.waits[at].answered(from, verdict);
        if self.waits[at].open.is_empty() {
            let wait = self.waits.remove(at);
            self.finish(wait);
        }
    }

    /// Makes what is left of a change anew, with a stamp above the clock of whoever found it dead.
    fn make_anew(&mut self, wait: Wait) {
        let stamp = wait.change.stamp;
        let stands = |name: &Name| self.registry.get(name).is_some_and(|held| held.entry.stamp == stamp);
        let clear = wait.change.clear && self.registry.floor() == stamp;
        let born = |edit: Edit| Edit { born: edit.born.filter(|_| !clear), ..edit };
        let edits: Vec<Edit> = wait.change.edits.iter().filter(|edit| stands(&edit.name)).cloned().map(born).collect();
        if edits.is_empty() && !clear {
            return self.finish(wait);
        }
        self.counters.made_anew += 1;
        let change = self.make(clear, edits);
        self.ask(wait.client, change, wait.fresh, (wait.deadline, wait.attempts + 1));
    }

    // Repair.

    fn summary(&self, upto: Hlc) -> Summary {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Summary {
            least_version: LEAST_VERSION,
            version: VERSION,
            floor: self.registry.floor(),
            gc: self.registry.gc(),
            upto,
            total: self.registry.total(upto),
            clock: self.registry.clock(),
            settled: self.settled,
            libraries: count(self.registry.libraries()),
            asleep: count(self.registry.claims.asleep().len()),
            blocked: count(self.serving.blocked.len()),
        }
    }

    /// Tells a node this one's state.
    fn greet(&mut self, to: NodeId, answer: bool) {
        let theirs = self.peers.get(&to).and_then(|peer| peer.summary.as_ref()).map_or(Hlc::ZERO, |said| said.gc);
        let summary = self.summary(self.registry.gc().max(theirs));
        self.send(to, Message::Hello { summary, answer });
    }

    fn hello(&mut self, from: NodeId, summary: Summary, answer: bool) {
        self.registry.see(summary.clock);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let news = peer.summary.is_none();
        if summary.least_version > VERSION || summary.version < LEAST_VERSION {
            peer.summary = None;
            return;
        }
        let (settled, gc, upto) = (summary.settled, summary.gc, summary.upto);
        peer.summary = Some(summary.clone());
        let mut greet = !answer && (news || !settled);
        if settled && self.settled {
            self.become_ready();
        }
        if upto < self.registry.gc() {
            // It does not know yet what this node has dropped: its answer will.
            greet |= !answer;
        } else {
            let equal = summary.floor == self.registry.floor() && summary.total == self.registry.total(upto);
            let arrivals = self.registry.arrivals();
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.compared(equal, arrivals, self.now);
            }
            if equal {
                self.registry.raise_gc(gc, &mut self.delta);
                self.settle(settled);
            } else if self.settled && !settled {
                greet |= !answer;
            } else {
                self.want(from);
            }
        }
        if greet {
            self.greet(from, true);
        }
    }

    /// Whether it has the state of the cluster now: with a node that has it, or, where nobody has, with everybody.
    fn settle(&mut self, other: bool) {
        if self.settled {
            return;
        }
        let speaking = || self.peers.values().filter(|peer| peer.summary.is_some() && !peer.failing);
        let all = self.ready && speaking().all(|peer| peer.exchanged) && speaking().next().is_some();
        if other || all {
            self.settled = true;
            self.delta.marked = true;
            self.become_ready();
        }
    }

    fn want(&mut self, from: NodeId) {
        if !self.wanted.contains(&from) {
            self.wanted.push_back(from);
        }
        self.pull_next();
    }

    fn pull_next(&mut self) {
        while self.pull.is_none() {
            let Some(peer) = self.wanted.pop_front() else { return };
            let Some(known) = self.peers.get_mut(&peer) else { continue };
            let offers = std::mem::take(&mut known.offers);
            self.last_id = self.last_id.wrapping_add(1 << 8);
            let pull = Pull::new(peer, offers, self.was_alone && !self.settled, self.last_id, self.now);
            let question = pull.question(&self.registry);
            self.counters.pulls += 1;
            self.pull = Some(pull);
            self.send(peer, question);
        }
    }

    fn answered(&mut self, from: NodeId, answer: Message) {
        let Some(mut pull) = self.pull.take_if(|pull| pull.peer == from) else { return };
        let progress = pull.answer(answer, &self.registry, self.config.staged, self.now);
        self.last_id = self.last_id.max(pull.id());
        match progress {
            Progress::Ignore => self.pull = Some(pull),
            Progress::Ask(question) => {
                self.pull = Some(pull);
                self.send(from, question);
            }
            Progress::Full(question) => {
                for (name, entry) in pull.unload() {
                    self.registry.merge(&name, entry, self.now, &mut self.delta);
                }
                self.pull = Some(pull);
                self.send(from, question);
            }
            Progress::End => self.pulled(pull),
        }
    }

    /// All that another node had is here: it takes effect as one.
    fn pulled(&mut self, mut pull: Pull) {
        let from = pull.peer;
        let joins = self.was_alone && !self.settled && pull.summary.settled;
        self.registry.see(pull.summary.clock);
        if self.registry.raise_floor(pull.summary.floor, &mut self.delta) {
            self.flushed = Some(self.now);
        }
        for (name, entry) in pull.unload() {
            let old = self.registry.get(&name).is_some_and(|held| held.entry.stamp.hlc == Hlc::ZERO);
            if joins && old && entry.stamp >= self.registry.floor() {
                self.registry.overwrite(&name, entry, self.now, &mut self.delta);
            } else {
                self.registry.merge(&name, entry, self.now, &mut self.delta);
            }
        }
        let mut dropped = 0;
        for (name, stamp) in &pull.lacking {
            if self.registry.get(name).is_some_and(|held| held.entry.stamp == *stamp) {
                dropped += u64::from(self.registry.get(name).is_some_and(|held| held.entry.is_live()));
                self.registry.remove(name, &mut self.delta);
            }
        }
        if dropped > 0 {
            self.counters.dropped += dropped;
            self.log(format!("{dropped} libraries are dropped that the cluster has not, as node {from} says"));
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.exchanged = true;
        }
        for stamp in pull.offers {
            self.owed.push(Owed { to: from, stamp, names: Vec::new() });
        }
        self.settle(pull.summary.settled);
        self.greet(from, false);
        self.pull_next();
    }

    // Time and the cluster.

    fn become_ready(&mut self) {
        if self.ready {
            return;
        }
        self.ready = true;
        for (client, request) in std::mem::take(&mut self.held) {
            self.request(client, request, true);
        }
    }

    fn tick(&mut self) {
        // A wall clock that was put back must not stop what waits for it.
        let horizon = self.now + self.config.wait_ms.max(self.config.hello_ms * 2);
        self.next_hello = self.next_hello.min(horizon);
        self.since = self.since.min(self.now);
        for wait in &mut self.waits {
            wait.deadline = wait.deadline.min(self.now + self.config.wait_ms);
        }
        if !self.master || self.alone != Some(false) {
            return;
        }
        if self.now - self.since >= self.config.hold_ms {
            self.become_ready();
            self.settle(false);
        }
        let now = self.now;
        self.finish_those(|wait| wait.deadline <= now);
        if let Some(mut pull) = self.pull.take() {
            let late = now.saturating_sub(pull.asked()) >= self.config.retry_ms || pull.asked() > now;
            let failing = self.peers.get(&pull.peer).is_none_or(|peer| peer.failing);
            let peer = pull.peer;
            if !late && !failing {
                self.pull = Some(pull);
            } else if let Some(question) = pull.again(&self.registry, now).filter(|_| !failing) {
                self.pull = Some(pull);
                self.send(peer, question);
            } else {
                self.counters.given_up += 1;
                self.pull_next();
            }
        }
        if now >= self.next_hello {
            let spread = self.random(self.config.hello_ms);
            self.next_hello = now + self.config.hello_ms / 2 + spread;
            self.collect();
            let peers: Vec<NodeId> = self.peers.iter().filter(|(_, peer)| !peer.failing).map(|(id, _)| *id).collect();
            if !peers.is_empty() {
                let at = self.random(peers.len() as u64) as usize;
                self.greet(peers[at], false);
            }
        }
    }

    /// Drops the tombstones that every listed master has confirmed.
    fn collect(&mut self) {
        let Some(confirmed) = self.peers.values().map(|peer| peer.confirmed).min() else { return };
        let before = Hlc::ZERO.next(self.now.saturating_sub(self.config.tombstone_ms));
        if let Some(gc) = self.registry.droppable(confirmed, before) {
            self.registry.raise_gc(gc, &mut self.delta);
        }
    }

    fn set_members(&mut self, me: NodeId, members: Vec<Member>) {
        self.me = me;
        let alone = !members.iter().any(|member| member.id != me);
        if alone && self.alone != Some(true) {
            self.end_exchanges();
            let clean = self.registry.floor() == Stamp::ZERO && self.registry.gc() == Hlc::ZERO;
            let stamped = self.registry.iter().any(|(_, held)| held.entry.stamp.hlc > Hlc::ZERO);
            if !clean || stamped || self.settled {
                self.registry.restart_alone(&mut self.delta);
            }
            self.settled = false;
            self.was_alone = true;
        }
        if !alone && self.alone != Some(false) {
            self.ready = false;
            self.since = self.now;
        }
        self.alone = Some(alone);
        let old = std::mem::take(&mut self.peers);
        self.members = members;
        let mut new = Vec::new();
        for member in self.members.iter().filter(|member| member.master && member.id != me) {
            let mut peer = old.get(&member.id).cloned().unwrap_or_default();
            if !old.contains_key(&member.id) || (peer.failing && !member.failing) {
                new.push(member.id);
            }
            peer.failing = member.failing;
            self.peers.insert(member.id, peer);
        }
        if self.pull.as_ref().is_some_and(|pull| !self.peers.contains_key(&pull.peer)) {
            self.pull = None;
        }
        self.wanted.retain(|id| self.peers.contains_key(id));
        if !self.master {
            return;
        }
        for id in new {
            self.greet(id, false);
        }
        let peers = &self.peers;
        for wait in &mut self.waits {
            wait.open.retain(|id| peers.get(id).is_some_and(|peer| !peer.failing));
        }
        self.finish_those(|wait| wait.open.is_empty());
        self.pull_next();
    }

    fn end_exchanges(&mut self) {
        self.pull = None;
        self.wanted.clear();
        self.finish_those(|_| true);
        for (client, _) in std::mem::take(&mut self.held) {
            self.reply(client, Err(Refusal::NotReady));
        }
        for peer in self.peers.values_mut() {
            *peer = Peer { failing: peer.failing, ..Peer::default() };
        }
    }

    fn set_role(&mut self, master: bool) {
        if master == self.master {
            return;
        }
        if master {
            self.master = true;
            self.ready = false;
            self.since = self.now;
            let peers: Vec<NodeId> = self.peers.keys().copied().collect();
            for peer in peers {
                self.greet(peer, false);
            }
        } else {
            // What it has made is sent; it makes no more, so nothing is taken back either.
            for wait in &mut self.waits {
                wait.fresh = None;
            }
            self.end_exchanges();
            self.commit();
            self.master = false;
        }
    }

    /// Takes what a master, a file or an append-only file says as it is.
    fn absorb(&mut self, delta: Delta) {
        self.settled = delta.settled;
        self.was_alone = delta.was_alone;
        if delta.restart {
            let names: Vec<Name> = self.registry.iter().map(|(name, _)| Arc::clone(name)).collect();
            for name in names {
                self.registry.remove(&name, &mut self.delta);
            }
            self.registry.restart_alone(&mut self.delta);
        }
        self.registry.see(delta.clock);
        self.registry.raise_floor(delta.floor, &mut self.delta);
        self.registry.raise_gc(delta.gc, &mut self.delta);
        for (name, entry) in delta.entries {
            match entry {
                Some(entry) => self.registry.overwrite(&name, entry, self.now, &mut self.delta),
                None => self.registry.remove(&name, &mut self.delta),
            }
        }
        self.keep_names();
    }

    /// What was said by the master or by a file goes to this node's server, and not to its replicas: they have it.
    fn keep_names(&mut self) {
        let delta = std::mem::take(&mut self.delta);
        self.unplanned.extend(delta.entries.into_keys().chain(delta.vanished));
        self.cleared |= delta.restart || delta.floor > Stamp::ZERO;
    }
}

fn taken(function: &Name, owner: &Name) -> Refusal {
    Refusal::FunctionTaken { function: Arc::clone(function), owner: Arc::clone(owner) }
}

fn piece(id: u32, name: &Name, entry: &Entry, offset: u32) -> Message {
    let (bytes, total) = entry.slice(offset as usize, MAX_CONTENT);
    let total = u32::try_from(total).unwrap_or(u32::MAX);
    Message::Piece { id, name: Arc::clone(name), stamp: entry.stamp, total, offset, bytes }
}
