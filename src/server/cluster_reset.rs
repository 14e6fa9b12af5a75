//! `CLUSTER RESET` of a replica, which empties the server's own registry with the data.
//!
//! The server tells modules that it is a master now and that it empties all databases, as for a failover and a
//! FLUSHALL, which leave the functions. So three things must come together: both happen within one command, in a
//! cluster, and the node serves no slot. A replica that takes over serves its master's.

use std::cell::Cell;

use super::api::{Context, State};
use super::cluster;

/// What is known of a reset that may have begun.
#[derive(Default)]
pub struct ClusterReset {
    /// How many commands had been run when the server became a master.
    promoted_at: Cell<Option<Vec<u8>>>,
}

impl ClusterReset {
    /// The server has become a master.
    pub fn note_promotion(&self, context: &Context) {
        self.promoted_at.set(commands_run(context).filter(|_| context.state().contains(State::CLUSTER)));
    }

    /// Whether it is what empties all databases now.
    pub fn is_it(&self, context: &Context) -> bool {
        let promoted_at = self.promoted_at.take();
        promoted_at.is_some() && promoted_at == commands_run(context) && cluster::serves_no_slot(context)
    }
}

/// A command is counted when it has ended.
fn commands_run(context: &Context) -> Option<Vec<u8>> {
    let [count] = context.info(c"stats", [c"total_commands_processed"]);
    count
}
