//! Clients that send the same command to every master, at once or one after the other: each gets from each master the
//! reply that it would get from servers that know nothing of each other. Deploys, long sources and whole registries
//! that are taken over in pieces are here as well: all that needs two or three whole nodes and no trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shadow_cluster::core::{Config, Core};
use shadow_cluster::entry::{Body, Name, NodeId};
use shadow_cluster::input::{Done, Input, Library, Member, Op, Output, Refusal, Request};
use shadow_cluster::message::{Message, Summary, VERSION};
use shadow_cluster::node::{Node, Start};
use shadow_cluster::proof::Keys;

fn id(number: usize) -> NodeId {
    NodeId([b'a' + number as u8; 40])
}

fn members(nodes: impl IntoIterator<Item = usize>) -> Vec<Member> {
    nodes.into_iter().map(|at| Member { id: id(at), master: true, failing: false }).collect()
}

struct Cluster {
    nodes: Vec<Node>,
    now: u64,
    random: fastrand::Rng,
    /// In flight, by link, each in its order.
    bus: BTreeMap<(usize, usize), Vec<Vec<u8>>>,
    replies: BTreeMap<u64, Result<Done, Refusal>>,
    served: Vec<BTreeSet<Name>>,
    applied: Vec<usize>,
    longest: usize,
}

impl Cluster {
    fn new(count: usize, seed: u64) -> Cluster {
        let config = Config::default();
        let keys = Keys::parse("the-key-of-this-cluster").expect("it is long enough");
        let start = |at| Start {
            me: id(at),
            config: config.clone(),
            keys: keys.clone(),
            now_ms: 1_000_000,
            session: at as u64 + 1,
        };
        let mut cluster = Cluster {
            nodes: (0..count).map(|at| Node::new(start(at))).collect(),
            now: 1_000_000,
            random: fastrand::Rng::with_seed(seed),
            bus: BTreeMap::new(),
            replies: BTreeMap::new(),
            served: vec![BTreeSet::new(); count],
            applied: vec![0; count],
            longest: 0,
        };
        cluster.meet(count);
        cluster.pass(8000);
        assert!(cluster.nodes.iter().all(|node| node.status().settled));
        cluster
    }

    fn meet(&mut self, count: usize) {
        for at in 0..count {
            self.step(at, Input::Members { me: id(at), members: members(0..count) });
        }
    }

    fn step(&mut self, at: usize, input: Input<Vec<u8>>) {
        let outputs = self.nodes[at].step(self.now, input);
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    self.longest = self.longest.max(message.len());
                    let to = usize::from(to.0[0] - b'a');
                    self.bus.entry((at, to)).or_default().push(message);
                }
                Output::Apply { token, clear, ops } => {
                    self.applied[at] += 1;
                    if clear {
                        self.served[at].clear();
                    }
                    for op in ops {
                        match op {
                            Op::Load(library) | Op::Wake(library) => self.served[at].insert(library.name),
                            Op::Delete(name) | Op::Sleep(name) => self.served[at].remove(&name),
                        };
                    }
                    self.step(at, Input::Built { token, failures: Vec::new(), gone: Vec::new() });
                }
                Output::Reply { client, result } => {
                    assert!(self.replies.insert(client, result).is_none(), "two replies to one client");
                }
                Output::Replicate(_) | Output::Log(_) => {}
            }
        }
    }

    /// Delivers a message of some link.
    fn deliver(&mut self) -> bool {
        let links: Vec<_> = self.bus.keys().copied().collect();
        let Some(&(from, to)) = self.random.choice(&links) else { return false };
        let link = self.bus.entry((from, to)).or_default();
        let message = link.remove(0);
        if link.is_empty() {
            self.bus.remove(&(from, to));
        }
        self.step(to, Input::Message { from: id(from), message });
        true
    }

    fn pass(&mut self, time: u64) {
        for _ in 0..time / 100 {
            self.now += 100;
            for at in 0..self.nodes.len() {
                self.step(at, Input::Tick);
            }
            while self.deliver() {}
        }
    }

    fn send(&mut self, at: usize, client: u64, request: Request) {
        self.step(at, Input::Request { client, request, wait: true });
    }
}

fn library(name: &str, source: &str) -> Library {
    Library { name: name.into(), body: Body::new(source.as_bytes(), [format!("f_{name}").into()]) }
}

fn put(libraries: Vec<Library>, replace: bool, clear: bool) -> Request {
    Request::Put { libraries, replace, clear }
}

#[test]
fn the_same_command_to_every_master_succeeds_on_every_master() {
    // I7.
    for seed in 0..300 {
        let mut cluster = Cluster::new(3, seed);
        let mut there: BTreeSet<String> = BTreeSet::new();
        let mut client = 0;
        for round in 0..20 {
            let name = format!("lib{}", cluster.random.u8(0..3));
            let source = format!("{round}");
            let request = match cluster.random.u8(0..6) {
                0 => {
                    there.clear();
                    Request::Flush
                }
                1 | 2 if there.remove(&name) => Request::Delete(name.as_str().into()),
                3 => {
                    there = BTreeSet::from(["lib0".to_string(), "lib1".to_string()]);
                    put(vec![library("lib0", &source), library("lib1", &source)], true, true)
                }
                _ => {
                    let replace = !there.insert(name.clone());
                    put(vec![library(&name, &source)], replace, false)
                }
            };
            let at_once = cluster.random.bool();
            let mut order: Vec<usize> = (0..3).collect();
            cluster.random.shuffle(&mut order);
            let first = client;
            for at in order {
                client += 1;
                cluster.send(at, client, request.clone());
                // At once: some messages of others may come between; one after the other: each reply is awaited.
                for _ in 0..cluster.random.u8(0..4) {
                    cluster.deliver();
                }
                while !at_once && !cluster.replies.contains_key(&client) {
                    assert!(cluster.deliver(), "no reply to {request:?}, seed {seed}");
                }
            }
            while cluster.deliver() {}
            for client in first + 1..=client {
                let reply = cluster.replies.get(&client);
                assert!(matches!(reply, Some(Ok(_))), "seed {seed}, round {round}: {request:?}: {reply:?}");
            }
            let expected: BTreeSet<Name> = there.iter().map(|name| name.as_str().into()).collect();
            for at in 0..3 {
                assert_eq!(cluster.served[at], expected, "seed {seed}, round {round}, node {at}, {request:?}");
            }
        }
    }
}

#[test]
fn what_one_client_repeats_on_one_master_gets_the_usual_error() {
    let mut cluster = Cluster::new(3, 1);
    let request = put(vec![library("a", "1")], false, false);
    for (at, client) in [(0, 1), (1, 2), (2, 3), (1, 4), (0, 5)] {
        cluster.send(at, client, request.clone());
        while cluster.deliver() {}
    }
    for client in 1..=3 {
        assert!(cluster.replies[&client].is_ok(), "a broadcast");
    }
    for client in 4..=5 {
        assert_eq!(cluster.replies[&client], Err(Refusal::Exists("a".into())), "no broadcast");
    }
}

#[test]
fn a_deploy_too_large_for_a_message_takes_effect_at_once_everywhere() {
    let mut cluster = Cluster::new(3, 1);
    let old = (0..50).map(|n| library(&format!("old{n}"), &"x".repeat(5000))).collect();
    cluster.send(0, 1, put(old, true, true));
    while cluster.deliver() {}
    let applied = cluster.applied.clone();
    let long = "y".repeat(300_000);
    let new: Vec<_> = (0..100).map(|n| library(&format!("new{n}"), if n == 7 { &long } else { "y" })).collect();
    let names: BTreeSet<Name> = new.iter().map(|library| Arc::clone(&library.name)).collect();
    cluster.send(0, 2, put(new, true, true));
    let old = cluster.served[1].clone();
    while cluster.deliver() {
        for at in 1..3 {
            let served = &cluster.served[at];
            assert!(*served == old || *served == names, "neither the old nor the new: {served:?}");
        }
    }
    assert!(cluster.served.iter().all(|served| *served == names));
    let swaps: Vec<usize> = cluster.applied.iter().zip(&applied).map(|(after, before)| after - before).collect();
    assert_eq!(swaps, [1, 1, 1], "one swap on each node");
    let done = cluster.replies[&2].clone().expect("it is done");
    assert_eq!((done.asked, done.answered), (2, 2), "who has it, says so");
    assert!(cluster.longest <= shadow_cluster::proof::MAX_PACKET, "{}", cluster.longest);
}

#[test]
fn a_function_that_two_masters_give_away_at_once_goes_to_one_of_them() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(3, seed);
        let library = |name: &str| Library { name: name.into(), body: Body::new(name.as_bytes(), ["f".into()]) };
        cluster.send(0, 1, put(vec![library("a")], false, false));
        cluster.send(1, 2, put(vec![library("b")], false, false));
        while cluster.deliver() {}
        let refused = [1, 2].map(|client| cluster.replies[&client].is_err());
        assert!(refused[0] != refused[1], "one gets the usual error: {:?}", cluster.replies);
        assert!(cluster.served.iter().all(|served| served.len() == 1 && *served == cluster.served[0]));
        assert!(cluster.nodes.iter().all(|node| node.status().asleep.is_empty()), "what was refused is taken back");
    }
}

#[test]
fn what_cannot_be_kept_waits_while_nothing_may_be_changed_and_is_bounded() {
    let mut cluster = Cluster::new(2, 1);
    cluster.nodes[1].set_paused(cluster.now, true);
    for n in 0..300_u64 {
        cluster.send(0, n, put(vec![library(&format!("l{n}"), &"z".repeat(30_000))], false, false));
        while cluster.deliver() {}
    }
    assert!(cluster.served[1].is_empty());
    assert!(cluster.nodes[1].status().counters.overflowed > 0, "nine megabytes do not wait");
    let outputs = cluster.nodes[1].set_paused(cluster.now, false);
    assert!(outputs.iter().any(|output| matches!(output, Output::Apply { .. })));
    for output in outputs {
        match output {
            Output::Send { message, .. } => cluster.bus.entry((1, 0)).or_default().push(message),
            Output::Apply { token, .. } => {
                cluster.step(1, Input::Built { token, failures: Vec::new(), gone: Vec::new() });
            }
            _ => {}
        }
    }
    cluster.pass(20_000);
    assert_eq!(cluster.nodes[1].status().libraries, 300, "repair brings what was dropped");
}

#[test]
fn tombstones_are_bounded_and_flush_goes_on() {
    let mut cluster = Cluster::new(2, 1);
    for node in &mut cluster.nodes {
        node.configure(Config { tombstones: 3, ..Config::default() });
    }
    let mut client = 0;
    let mut last = Ok(Done::default());
    for n in 0..5 {
        for request in
            [put(vec![library(&format!("l{n}"), "x")], false, false), Request::Delete(format!("l{n}").into())]
        {
            client += 1;
            cluster.send(0, client, request);
            while cluster.deliver() {}
            last = cluster.replies[&client].clone();
        }
    }
    assert_eq!(last, Err(Refusal::TooManyTombstones));
    assert_eq!(cluster.nodes[0].status().tombstones, 3);
    client += 1;
    cluster.send(0, client, Request::Flush);
    while cluster.deliver() {}
    assert!(cluster.replies[&client].is_ok());
    assert_eq!(cluster.nodes[1].status().tombstones, 0);
}

#[test]
fn a_node_that_is_cut_off_loses_no_client() {
    let mut cluster = Cluster::new(3, 1);
    cluster.send(0, 1, put(vec![library("a", "1")], false, false));
    cluster.bus.clear();
    assert!(!cluster.replies.contains_key(&1));
    for _ in 0..11 {
        cluster.now += 100;
        cluster.step(0, Input::Tick);
    }
    let done = cluster.replies[&1].clone().expect("it is done here");
    assert_eq!((done.asked, done.answered, done.late.len()), (2, 0, 2));
    cluster.bus.clear();
    cluster.pass(10_000);
    assert!(cluster.served.iter().all(|served| served.len() == 1), "repair brings it");
}

#[test]
fn a_node_that_starts_makes_no_change_before_it_has_heard_the_cluster() {
    let mut cluster = Cluster::new(3, 1);
    let (old, early): (Vec<_>, u64) = (cluster.nodes[2].snapshot().collect(), cluster.now);
    cluster.now += 3_600_000;
    cluster.send(0, 1, put(vec![library("a", "1")], false, false));
    while cluster.deliver() {}
    let first = cluster.replies[&1].clone().expect("it is done").stamp.expect("it is a change");
    // It comes back from an old file, and its wall clock is an hour behind.
    let keys = Keys::parse("the-key-of-this-cluster").expect("it is long enough");
    let mut node = Node::new(Start { me: id(2), config: Config::default(), keys, now_ms: early, session: 77 });
    for part in &old {
        node.restore(part).expect("what was saved can be read");
    }
    node.step(early, Input::Members { me: id(2), members: members(0..3) });
    let request = put(vec![library("a", "2")], true, false);
    let outputs = node.step(early, Input::Request { client: 2, request: request.clone(), wait: true });
    assert!(outputs.is_empty(), "{outputs:?}");
    let outputs = node.step(early, Input::Request { client: 3, request, wait: false });
    assert_eq!(outputs, [Output::Reply { client: 3, result: Err(Refusal::NotReady) }]);
    cluster.nodes[2] = node;
    cluster.served[2].clear();
    cluster.pass(5000);
    let second = cluster.replies[&2].clone().expect("it is done").stamp.expect("it is a change");
    assert!(second > first);
}

const HOUR: u64 = 3_600_000;

#[test]
fn a_change_below_a_floor_that_its_maker_had_not_heard_of_is_made_anew() {
    let mut cluster = Cluster::new(2, 1);
    cluster.send(0, 1, put(vec![library("old", "1")], false, false));
    while cluster.deliver() {}
    // By the clock of an hour ahead, and nobody hears of it.
    cluster.now += HOUR;
    cluster.send(1, 2, Request::Flush);
    cluster.bus.clear();
    cluster.now -= HOUR;
    cluster.send(0, 3, put(vec![library("new", "1")], false, false));
    while cluster.deliver() {}
    let done = cluster.replies[&3].clone().expect("it is done");
    assert_eq!((done.asked, done.answered), (1, 1));
    assert!(cluster.nodes[0].status().counters.made_anew > 0);
    cluster.pass(5000);
    for served in &cluster.served {
        assert_eq!(served.iter().map(|name| &**name).collect::<Vec<_>>(), ["new"]);
    }
}

#[test]
fn what_was_deleted_while_a_node_was_forgotten_does_not_come_back_with_it() {
    let mut cluster = Cluster::new(3, 1);
    cluster.send(0, 1, put(vec![library("gone", "1"), library("kept", "1")], false, false));
    while cluster.deliver() {}
    for at in 0..2 {
        cluster.step(at, Input::Members { me: id(at), members: members(0..2) });
    }
    cluster.send(0, 2, Request::Delete("gone".into()));
    // The tombstone is dropped: who is listed has confirmed it, and it is an hour old.
    cluster.pass(HOUR + 60_000);
    assert!(cluster.nodes[..2].iter().all(|node| node.status().tombstones == 0));
    assert!(cluster.served[2].contains("gone"));
    cluster.meet(3);
    cluster.pass(10_000);
    assert!(cluster.nodes[2].status().counters.dropped > 0);
    for served in &cluster.served {
        assert_eq!(served.iter().map(|name| &**name).collect::<Vec<_>>(), ["kept"]);
    }
}

#[test]
fn what_a_node_had_alone_does_not_come_into_a_cluster_with_it() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(2, seed);
        cluster.send(0, 1, put(vec![library("ours", "1")], false, false));
        while cluster.deliver() {}
        let keys = Keys::parse("the-key-of-this-cluster").expect("it is long enough");
        let start = Start { me: id(2), config: Config::default(), keys, now_ms: cluster.now, session: 3 };
        cluster.nodes.push(Node::new(start));
        cluster.served.push(BTreeSet::new());
        cluster.applied.push(0);
        cluster.step(2, Input::Members { me: id(2), members: members([2]) });
        cluster.send(2, 2, put(vec![library("own", "1")], false, false));
        assert!(cluster.served[2].contains("own"));
        cluster.meet(3);
        for _ in 0..100 {
            cluster.pass(100);
            assert!(cluster.served[..2].iter().all(|served| !served.contains("own")), "seed {seed}");
        }
        assert_eq!(cluster.served[2].iter().map(|name| &**name).collect::<Vec<_>>(), ["ours"], "seed {seed}");
    }
}

#[test]
fn an_answer_of_another_node_does_not_end_an_exchange() {
    let mut core = Core::new(id(0), Config::default(), 1000, 1);
    core.step(1000, Input::Members { me: id(0), members: members(0..3) });
    let summary = Summary { least_version: VERSION, version: VERSION, settled: true, total: 1, ..Summary::default() };
    core.step(1000, Input::Message { from: id(1), message: Message::Hello { summary, answer: true } });
    let pulls = |core: &Core| core.status().peers.iter().find(|peer| peer.pulling).map(|peer| peer.id);
    assert_eq!(pulls(&core), Some(id(1)));
    let message = Message::Entries { id: 0, entries: Vec::new() };
    core.step(1000, Input::Message { from: id(2), message });
    assert_eq!(pulls(&core), Some(id(1)));
}
