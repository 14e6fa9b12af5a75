//! A node: the protocol behind its gate. What comes over the bus is bytes, what goes is bytes.

use std::collections::VecDeque;

use crate::core::{Config, Core};
use crate::entry::NodeId;
use crate::input::{Input, Library, Member, Output};
use crate::message::Message;
use crate::proof::{Dropped, Gate, Keys, Opened};
use crate::status::Status;
use crate::wire::Malformed;

/// How many bytes wait while nothing may be changed.
const MAX_INBOX: usize = 4 << 20;

/// What a new node is told.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its ID.
    pub me: NodeId,
    /// The settings.
    pub config: Config,
    /// The keys.
    pub keys: Keys,
    /// The wall clock.
    pub now_ms: u64,
    /// 64 random bits, others at each start.
    pub session: u64,
}

/// A node of the cluster.
pub struct Node {
    core: Core,
    gate: Gate,
    paused: bool,
    inbox: VecDeque<(NodeId, Vec<u8>)>,
    inbox_bytes: usize,
    /// The nodes as they came while nothing could be changed.
    members: Option<(NodeId, Vec<Member>)>,
    dropped: Drops,
}

/// Packets that were dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Drops {
    malformed: u64,
    unproven: u64,
    replayed: u64,
    strangers: u64,
    overflowed: u64,
}

impl Node {
    /// A node that has nothing yet: `restore` and `adopt` fill it before the first step.
    #[must_use]
    pub fn new(start: Start) -> Node {
        Node {
            core: Core::new(start.me, start.config, start.now_ms, start.session),
            gate: Gate::new(start.me, start.keys, start.session),
            paused: false,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            members: None,
            dropped: Drops::default(),
        }
    }

    /// See `Core::restore`.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.core.restore(bytes)
    }

    /// See `Core::adopt`.
    pub fn adopt(&mut self, library: Library) {
        self.core.adopt(library);
    }

    /// See `Core::snapshot`.
    pub fn snapshot(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.core.snapshot()
    }

    /// The protocol's part.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Other keys.
    pub fn set_keys(&mut self, keys: Keys) {
        self.gate.set_keys(keys);
    }

    /// Other settings.
    pub fn configure(&mut self, config: Config) {
        self.core.configure(config);
    }

    /// What STATUS and INFO tell.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.core.status();
        let counters = &mut status.counters;
        counters.malformed += self.dropped.malformed;
        counters.unproven += self.dropped.unproven;
        counters.replayed += self.dropped.replayed;
        counters.strangers += self.dropped.strangers;
        counters.overflowed += self.dropped.overflowed;
        status
    }

    /// While it is paused, it changes nothing: a call is running, a file is loaded, or replicas must get nothing. What
    /// comes meanwhile waits, as far as there is room.
    pub fn set_paused(&mut self, now_ms: u64, paused: bool) -> Vec<Output<Vec<u8>>> {
        self.paused = paused;
        let mut out = Vec::new();
        if paused {
            return out;
        }
        if let Some((me, members)) = self.members.take() {
            out.extend(self.step(now_ms, Input::Members { me, members }));
        }
        self.inbox_bytes = 0;
        for (from, bytes) in std::mem::take(&mut self.inbox) {
            out.extend(self.receive(now_ms, from, &bytes));
        }
        out
    }

    /// A step. `now_ms` is the wall clock, which may jump.
    pub fn step(&mut self, now_ms: u64, input: Input<Vec<u8>>) -> Vec<Output<Vec<u8>>> {
        let input = match input {
            Input::Message { from, message } if self.paused => {
                if self.inbox_bytes + message.len() > MAX_INBOX {
                    self.dropped.overflowed += 1;
                } else {
                    self.inbox_bytes += message.len();
                    self.inbox.push_back((from, message));
                }
                return Vec::new();
            }
            Input::Message { from, message } => return self.receive(now_ms, from, &message),
            Input::Tick if self.paused => return Vec::new(),
            Input::Members { me, members } if self.paused => {
                self.members = Some((me, members));
                return Vec::new();
            }
            Input::Members { me, members } => {
                self.gate.set_nodes(me, |id| members.iter().any(|member| member.id == *id));
                Input::Members { me, members }
            }
            Input::Tick => Input::Tick,
            Input::Request { client, request, wait } => Input::Request { client, request, wait },
            Input::Role { master } => Input::Role { master },
            Input::Built { token, failures, gone } => Input::Built { token, failures, gone },
            Input::Merge(bytes) => Input::Merge(bytes),
            Input::Retry => Input::Retry,
        };
        let out = self.core.step(now_ms, input);
        self.seal(out)
    }

    fn receive(&mut self, now_ms: u64, from: NodeId, bytes: &[u8]) -> Vec<Output<Vec<u8>>> {
        if !self.core.knows(&from) {
            self.dropped.strangers += 1;
            return Vec::new();
        }
        let out = match self.gate.open(from, bytes, now_ms) {
            Ok(Opened::Content(content)) => match Message::from_bytes(&content) {
                Ok(message) => self.core.step(now_ms, Input::Message { from, message }),
                Err(Malformed) => {
                    self.dropped.malformed += 1;
                    return Vec::new();
                }
            },
            // What was said before it had its token may not have been read.
            Ok(Opened::Token) => self.core.greet_again(from),
            Ok(Opened::Answer(message)) => return vec![Output::Send { to: from, message }],
            Ok(Opened::Nothing) => return Vec::new(),
            Err(dropped) => {
                match dropped {
                    Dropped::Malformed => self.dropped.malformed += 1,
                    Dropped::Unproven => self.dropped.unproven += 1,
                    Dropped::Replayed => self.dropped.replayed += 1,
                    Dropped::Misdirected => self.dropped.strangers += 1,
                }
                return Vec::new();
            }
        };
        self.seal(out)
    }

    fn seal(&mut self, out: Vec<Output<Message>>) -> Vec<Output<Vec<u8>>> {
        out.into_iter()
            .map(|output| match output {
                Output::Send { to, message } => {
                    let message = self.gate.seal(to, &message.to_bytes());
                    Output::Send { to, message }
                }
                Output::Apply { token, clear, ops } => Output::Apply { token, clear, ops },
                Output::Replicate(bytes) => Output::Replicate(bytes),
                Output::Reply { client, result } => Output::Reply { client, result },
                Output::Log(line) => Output::Log(line),
            })
            .collect()
    }
}
