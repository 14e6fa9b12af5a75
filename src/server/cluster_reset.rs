//! `CLUSTER RESET` of a replica, which empties the server's own registry with the data.
//!
//! The server announces that it has become a master and that it empties all databases. A failover and a FLUSHALL
//! announce the same, and leave the functions. A reset is told from them by three conditions: both are announced within
//! one command, in a cluster, and the node serves no slot. A replica that takes over serves its master's.

use std::cell::Cell;

use super::api::{Context, State};
use super::cluster;

/// Detects a reset.
#[derive(Default)]
pub struct ClusterReset {
    /// The number of commands run when the server became a master, as INFO has it.
    promoted_at: Cell<Option<Vec<u8>>>,
}

impl ClusterReset {
    /// Notes that the server has become a master.
    pub fn note_promotion(&self, context: &Context) {
        self.promoted_at.set(commands_run(context).filter(|_| context.state().contains(State::CLUSTER)));
    }

    /// Whether a reset is what empties all databases now.
    pub fn is_it(&self, context: &Context) -> bool {
        let promoted_at = self.promoted_at.take();
        promoted_at.is_some() && promoted_at == commands_run(context) && cluster::serves_no_slot(context)
    }
}

/// The number of commands run, as INFO has it. The server counts a command when it has ended.
fn commands_run(context: &Context) -> Option<Vec<u8>> {
    let [count] = context.info(c"stats", [c"total_commands_processed"]);
    count
}
