//! What comes over a cluster's bus. The first byte says how the rest is taken, in pieces that begin with their length:
//! as messages of two other nodes, as what a master tells its replicas, or as packets, some of them with a proof.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadow_cluster::core::{Config, Core};
use shadow_cluster::delta::Delta;
use shadow_cluster::entry::{Entry, Name, NodeId};
use shadow_cluster::input::{Input, Member, Output};
use shadow_cluster::message::Message;
use shadow_cluster::node::{Node, Start};
use shadow_cluster::proof::{Gate, Keys};

/// The wall clock at the beginning, in milliseconds.
const START: u64 = 1_700_000_000_000;
/// Between two pieces.
const STEP: u64 = 40;
const NODES: u8 = 3;

fn id(number: u8) -> NodeId {
    NodeId([b'a' + number; 40])
}

fn members() -> Vec<Member> {
    (0..NODES).map(|number| Member { id: id(number), master: true, failing: false }).collect()
}

fn config() -> Config {
    Config { hold_ms: 0, tombstone_ms: 500, staged: 1 << 20, ..Config::default() }
}

/// The pieces of the data.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk()?;
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
        data = rest;
        Some(piece)
    })
}

/// A master and its replica, which gets what the master says that it is to get.
struct Pair {
    master: Core,
    replica: Core,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        let [master, replica] = [0, NODES].map(|number| Core::new(id(number), config(), START, 1));
        let mut pair = Self { master, replica, now: START };
        pair.replica.step(START, Input::Role { master: false });
        pair.step(Input::Members { me: id(0), members: members() });
        pair
    }

    fn step(&mut self, input: Input<Message>) {
        let mut open = vec![input];
        while let Some(input) = open.pop() {
            for output in self.master.step(self.now, input) {
                match output {
                    Output::Apply { token, .. } => {
                        open.push(Input::Built { token, failures: Vec::new(), gone: Vec::new() });
                    }
                    Output::Replicate(bytes) => {
                        self.replica.step(self.now, Input::Merge(bytes));
                    }
                    Output::Send { message, .. } => check_written(&message),
                    Output::Reply { .. } | Output::Log(_) => {}
                }
            }
        }
    }

    /// The replica has what its master has, and so has who starts from the master's files.
    fn check(&self) {
        let mut restored = Core::new(id(0), config(), self.now, 1);
        for part in self.master.snapshot() {
            restored.restore(&part).expect("our own");
        }
        for other in [&self.replica, &restored] {
            assert_eq!(entries(other), entries(&self.master));
            let (registry, other) = (self.master.registry(), other.registry());
            assert_eq!((other.floor(), other.gc()), (registry.floor(), registry.gc()));
        }
    }
}

fn entries(core: &Core) -> Vec<(Name, Entry)> {
    core.registry().iter().map(|(name, held)| (name.clone(), held.entry.clone())).collect()
}

fn check_written(message: &Message) {
    assert!(Message::from_bytes(&message.to_bytes()).is_ok_and(|read| read == *message), "{message:?}");
}

fn check_messages(data: &[u8]) {
    let mut pair = Pair::new();
    for (piece, from) in pieces(data).zip((1..NODES).cycle()) {
        pair.now += STEP;
        if let Ok(message) = Message::from_bytes(piece) {
            check_written(&message);
            pair.step(Input::Message { from: id(from), message });
        }
        pair.step(Input::Tick);
    }
    pair.check();
}

fn check_deltas(data: &[u8]) {
    let mut pair = Pair::new();
    pair.step(Input::Role { master: false });
    for piece in pieces(data) {
        pair.now += STEP;
        if let Ok(delta) = Delta::from_bytes(piece) {
            assert!(Delta::from_bytes(&delta.to_bytes()).is_ok(), "{delta:?}");
        }
        pair.step(Input::Merge(piece.to_vec()));
    }
    pair.step(Input::Role { master: true });
    pair.step(Input::Tick);
    pair.check();
}

/// Every second piece is sealed by a peer that has the key.
fn check_packets(data: &[u8]) {
    let keys = Keys::parse("the-key-of-this-cluster").expect("it is long enough");
    let mut now = START;
    let start = Start { me: id(0), config: config(), keys: keys.clone(), now_ms: now, session: 1 };
    let (mut node, mut peer) = (Node::new(start), Gate::new(id(1), keys, 2));
    let mut open = vec![Input::Members { me: id(0), members: members() }];
    for (number, piece) in pieces(data).enumerate() {
        now += STEP;
        let message = if number % 2 == 0 { piece.to_vec() } else { peer.seal(id(0), piece) };
        open.extend([Input::Tick, Input::Message { from: id(1), message }]);
        while let Some(input) = open.pop() {
            for output in node.step(now, input) {
                match output {
                    Output::Apply { token, .. } => {
                        open.push(Input::Built { token, failures: Vec::new(), gone: Vec::new() });
                    }
                    Output::Send { to, message } if to == id(1) => {
                        peer.open(id(0), &message, now).expect("it has the key");
                    }
                    _ => {}
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    match first % 3 {
        0 => check_messages(data),
        1 => check_deltas(data),
        _ => check_packets(data),
    }
});
