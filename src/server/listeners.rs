//! Who gets what this server sends: the append-only file and the replicas.

use std::cell::Cell;

use super::api::{Context, State};

/// What is known of them.
///
/// The server tells of its replicas in `INFO` alone, which takes as long as a flush. But it has no first replica, and
/// nothing that a replica could ask it for later, before it has forked a child that sends it the data, or has been a
/// replica itself: that there is nobody holds until then.
#[derive(Default)]
pub struct Listeners {
    nobody: Cell<bool>,
}

impl Listeners {
    /// Whether anybody gets what this server sends. What it loads from a file it sends to nobody.
    pub fn any(&self, context: &Context) -> bool {
        let state = context.state();
        !state.contains(State::LOADING) && (state.contains(State::AOF) || self.any_replicas(context))
    }

    /// Whether there are replicas, or what they missed is kept for them.
    fn any_replicas(&self, context: &Context) -> bool {
        if !self.nobody.get() {
            let [replicas, backlog] = context.info(c"replication", [c"connected_slaves", c"repl_backlog_active"]);
            self.nobody.set([replicas, backlog].iter().all(|count| count.as_deref() == Some(b"0")));
        }
        !self.nobody.get()
    }

    /// Notes that there may be a first one: a child was forked, or the role has changed.
    pub fn doubt(&self) {
        self.nobody.set(false);
    }
}
