//! Packets that are not what a node with the key has just sent: cut off, changed, recorded, made with another key, made
//! up. A hundred thousand of them change nothing: not the registry, not what the server runs, not what is known of the
//! others. `COUNT` and `SEED` choose how many, and which.

use std::collections::VecDeque;

use shadow_cluster::core::Config;
use shadow_cluster::entry::{Body, NodeId};
use shadow_cluster::input::{Input, Library, Member, Output, Request};
use shadow_cluster::message::Message;
use shadow_cluster::node::{Node, Start};
use shadow_cluster::proof::Keys;

const NOW: u64 = 1_000_000;

fn id(number: usize) -> NodeId {
    NodeId([b'a' + number as u8; 40])
}

fn node(number: usize, key: &str, session: u64) -> Node {
    let keys = Keys::parse(key).expect("the key is long enough");
    let config = Config { hold_ms: 0, ..Config::default() };
    let mut node = Node::new(Start { me: id(number), config, keys, now_ms: NOW, session });
    let members = (0..2).map(|number| Member { id: id(number), master: true, failing: false }).collect();
    node.step(NOW, Input::Members { me: id(number), members });
    node
}

/// Two nodes, and every packet that went from one to the other.
struct Pair {
    nodes: [Node; 2],
    now: u64,
    /// Packets to the second node.
    recorded: Vec<Vec<u8>>,
}

impl Pair {
    fn new() -> Pair {
        let nodes = [node(0, "the-key-of-this-cluster", 1), node(1, "the-key-of-this-cluster", 2)];
        let mut pair = Pair { nodes, now: NOW, recorded: Vec::new() };
        for _ in 0..60 {
            pair.now += 100;
            for at in 0..2 {
                pair.step(at, Input::Tick);
            }
        }
        pair
    }

    fn step(&mut self, at: usize, input: Input<Vec<u8>>) {
        let mut open = VecDeque::from([(at, input)]);
        while let Some((at, input)) = open.pop_front() {
            for output in self.nodes[at].step(self.now, input) {
                match output {
                    Output::Send { message, .. } => {
                        if at == 0 {
                            self.recorded.push(message.clone());
                        }
                        open.push_back((1 - at, Input::Message { from: id(at), message }));
                    }
                    Output::Apply { token, .. } => {
                        open.push_back((at, Input::Built { token, failures: Vec::new(), gone: Vec::new() }));
                    }
                    _ => {}
                }
            }
        }
    }

    fn load(&mut self, name: &str) {
        let body = Body::new(name.repeat(10).into_bytes(), [format!("f_{name}").into()]);
        let libraries = vec![Library { name: name.into(), body }];
        let request = Request::Put { libraries, replace: true, clear: false };
        self.step(0, Input::Request { client: 1, request, wait: true });
    }
}

/// All of a node but what it counts, and the clock that each message brings on.
fn state(node: &Node) -> String {
    let mut status = node.status();
    status.counters = Default::default();
    format!("{:?} {status:?} {:?}", node.snapshot().collect::<Vec<_>>(), node.core().serving().served())
}

#[test]
fn packets_that_prove_nothing_change_nothing() {
    let variable = |name, otherwise| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (count, seed): (u64, u64) = (variable("COUNT", 100_000), variable("SEED", 1));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pair = Pair::new();
    for name in ["a", "b", "c"] {
        pair.load(name);
    }
    pair.step(0, Input::Request { client: 2, request: Request::Delete("b".into()), wait: true });
    assert_eq!(pair.nodes[1].status().libraries, 2, "what proves its origin does arrive");
    let recorded = std::mem::take(&mut pair.recorded);
    assert!(recorded.len() > 10);
    let before = state(&pair.nodes[1]);
    // Another cluster's node of the same name, and this one's before it was started again.
    let mut others = [node(0, "the-key-of-another-cluster", 1), node(0, "none", 1)];
    let mut kinds = [0_u64; 5];
    for n in 0..count {
        let mut packet = recorded[random.usize(0..recorded.len())].clone();
        let kind = random.usize(0..kinds.len());
        kinds[kind] += 1;
        match kind {
            0 => packet.truncate(random.usize(0..packet.len())),
            1 => {
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(0..packet.len());
                    packet[at] ^= 1 << random.u8(0..8);
                }
            }
            2 => {}
            3 => {
                let other = random.usize(0..others.len());
                let request = Request::Flush;
                let outputs = others[other].step(NOW + n, Input::Request { client: n, request, wait: false });
                let ticks = others[other].step(NOW + n * 1000, Input::Tick);
                let sent = outputs.into_iter().chain(ticks).find_map(|output| match output {
                    Output::Send { message, .. } => Some(message),
                    _ => None,
                });
                packet = sent.unwrap_or_else(|| vec![random.u8(..); random.usize(0..300)]);
            }
            _ => {
                let length = random.usize(0..400);
                packet = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            }
        }
        let outputs = pair.nodes[1].step(pair.now, Input::Message { from: id(0), message: packet });
        assert!(
            outputs.iter().all(|output| matches!(output, Output::Send { .. })),
            "packet {n} of seed {seed} does something: {outputs:?}"
        );
        if n % 1000 == 0 || n + 1 == count {
            assert_eq!(state(&pair.nodes[1]), before, "up to packet {n} of seed {seed}");
        }
    }
    let counters = pair.nodes[1].status().counters;
    assert!(kinds.iter().all(|&kind| kind > 0));
    assert!(counters.malformed > 0 && counters.unproven > 0 && counters.replayed > 0, "{counters:?}");
    println!("{count} packets of seed {seed}: {counters:?}");
    pair.load("d");
    assert_eq!(pair.nodes[1].status().libraries, 3, "what proves its origin still arrives");
}

#[test]
fn bytes_with_a_proof_that_are_no_message_are_counted() {
    // A node of a later version may say what this one does not know: its proof holds, and nothing comes of it.
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = Message::AskEntries { id: 1, names: vec!["a".into(), "b".into()] }.to_bytes();
        let at = random.usize(0..bytes.len());
        bytes[at] = random.u8(..);
        // Whatever it is, reading it neither fails loudly nor takes more than what is there.
        if let Ok(message) = Message::from_bytes(&bytes) {
            assert!(message == Message::Unknown || message.to_bytes() == bytes);
        }
    }
    assert_eq!(Message::from_bytes(&[200, 1, 2, 3]), Ok(Message::Unknown));
}

#[test]
fn a_count_or_a_length_that_lies_is_refused() {
    let honest = Message::AskEntries { id: 1, names: vec!["a".into()] }.to_bytes();
    for lie in [2_u32, 1000, u32::MAX] {
        let mut bytes = honest.clone();
        bytes[5..9].copy_from_slice(&lie.to_le_bytes());
        assert!(Message::from_bytes(&bytes).is_err(), "{lie} names");
        let mut bytes = honest.clone();
        bytes[9..13].copy_from_slice(&lie.to_le_bytes());
        assert!(Message::from_bytes(&bytes).is_err(), "a name of {lie} bytes");
    }
}
