//! What STATUS and INFO tell.

use std::hash::{Hash, Hasher};

use crate::entry::{Name, NodeId};
use crate::serving::Blocked;
use crate::stamp::{Hlc, Stamp};

/// What was counted since the start. It decides nothing, so two nodes that differ in it alone are in the same state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Changes made here.
    pub made: u64,
    /// Changes of others that came.
    pub taken: u64,
    /// Libraries of a change that were overruled by a later one when they came.
    pub overruled: u64,
    /// Changes that came below a floor, or below the mark of dropped tombstones.
    pub stale: u64,
    /// Changes made here that another node found so, and that were made anew.
    pub made_anew: u64,
    /// Loads that were taken back since another library has the function.
    pub withdrawn: u64,
    /// Requests that another node had brought already.
    pub echoes: u64,
    /// Replies that did not have all answers.
    pub late: u64,
    /// Exchanges begun.
    pub pulls: u64,
    /// Exchanges given up for want of answers.
    pub given_up: u64,
    /// Libraries dropped because the cluster has not got them.
    pub dropped: u64,
    /// Messages of a kind that this version does not know.
    pub unknown: u64,
    /// Messages that are none.
    pub malformed: u64,
    /// Messages without a proof that holds.
    pub unproven: u64,
    /// Messages that came before.
    pub replayed: u64,
    /// Messages of nodes that this one does not know.
    pub strangers: u64,
    /// Messages that came while none could be taken, and were more than are kept.
    pub overflowed: u64,
}

impl Hash for Counters {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What is known of another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Its ID.
    pub id: NodeId,
    /// Whether it is a master. A replica has what its master has.
    pub master: bool,
    /// Whether it is flagged PFAIL or FAIL.
    pub failing: bool,
    /// The version of the protocol that it speaks. None if it has not spoken: no module, another key, not switched on.
    pub version: Option<u8>,
    /// Whether it has the state of the cluster.
    pub settled: bool,
    /// Since when both have the same, as far as is known.
    pub agrees_since: Option<u64>,
    /// Since when they have not.
    pub differs_since: Option<u64>,
    /// When it was last heard.
    pub heard: Option<u64>,
    /// By how many milliseconds its clock was behind this node's.
    pub behind_ms: u64,
    /// How many libraries it has.
    pub libraries: u32,
    /// How many of them sleep.
    pub asleep: u32,
    /// How many of them it could not build.
    pub blocked: u32,
    /// The last library that it could not build, and why.
    pub failure: Option<String>,
    /// Whether what it has is being taken over now.
    pub pulling: bool,
}

/// A node, and what it knows of the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its ID.
    pub me: NodeId,
    /// Whether it has the state of the cluster.
    pub settled: bool,
    /// Whether it may make changes.
    pub ready: bool,
    /// Whether it is alone.
    pub alone: bool,
    /// How many libraries there are.
    pub libraries: usize,
    /// How many deleted ones are remembered.
    pub tombstones: usize,
    /// The bytes of both.
    pub bytes: usize,
    /// The newest change that cleared all.
    pub floor: Stamp,
    /// Deleted ones up to here are not remembered any more.
    pub gc: Hlc,
    /// The clock.
    pub clock: Hlc,
    /// The sum of all entries: nodes with the same floor, mark and sum have the same.
    pub total: u128,
    /// The libraries that sleep.
    pub asleep: Vec<Name>,
    /// The libraries that could not be built.
    pub blocked: Vec<(Name, Blocked)>,
    /// How many clients wait.
    pub waiting: usize,
    /// The bytes of an exchange that are staged.
    pub staged: usize,
    /// What was counted.
    pub counters: Counters,
    /// The other nodes.
    pub peers: Vec<PeerStatus>,
}
