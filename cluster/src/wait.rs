//! Changes that other nodes have not answered yet.

use std::collections::BTreeSet;

use crate::change::Change;
use crate::entry::{Name, NodeId};
use crate::input::{ClientId, Done};
use crate::message::Verdict;

/// How often a change is made anew because it arrived dead.
pub const MAX_ATTEMPTS: u8 = 3;

/// A change that other nodes have not answered yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wait {
    /// Who gets the reply; None if the reply did not wait.
    pub client: Option<ClientId>,
    /// The change.
    pub change: Change,
    /// The library that it loaded where there was none: if it turns out to sleep, it is taken back.
    pub fresh: Option<Name>,
    /// Who has not answered.
    pub open: BTreeSet<NodeId>,
    /// What is known until now.
    pub done: Done,
    /// When it is enough.
    pub deadline: u64,
    /// How often it was made anew.
    pub attempts: u8,
}

impl Wait {
    /// A node answers.
    pub fn answered(&mut self, from: NodeId, verdict: Verdict) {
        if !self.open.remove(&from) {
            return;
        }
        self.done.answered += 1;
        match verdict {
            Verdict::Asleep => self.done.asleep.push(from),
            Verdict::Blocked => self.done.blocked.push(from),
            Verdict::Applied | Verdict::Stale => {}
        }
    }
}
