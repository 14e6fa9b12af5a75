//! The module's threads, as the main thread has them.

use std::sync::Arc;

use super::super::api::Context;
use super::read;
use crate::reclaim::{self, Reclaim, Supply};
use crate::watch::{self, Watch};

/// The watch and the worker.
pub struct Threads {
    pub watch: Watch,
    pub reclaim: Reclaim,
    /// Whether the log says that the worker is gone.
    worker_missed: bool,
}

impl Threads {
    /// Starts them. `queue`: the retired generations that may wait for the worker.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn start(queue: usize, depots: Vec<Arc<dyn Supply>>) -> Result<Self, String> {
        let reclaim =
            Reclaim::start(queue, depots).map_err(|error| format!("the worker thread cannot be started: {error}"))?;
        let watch = Watch::start().map_err(|error| format!("the watch thread cannot be started: {error}"))?;
        Ok(Self { watch, reclaim, worker_missed: false })
    }

    /// Makes the event loop send the worker its next job once the reply is on its way.
    pub fn deliver_soon(&self, context: &Context) {
        if self.reclaim.has_parked() {
            context.soon(deliver);
        }
    }

    /// Logs what went wrong in the threads, and frees what a worker that is gone has left.
    pub(super) fn attend(&mut self, context: &Context) {
        let faults = [(reclaim::THREAD_NAME, self.reclaim.faults()), (watch::THREAD_NAME, self.watch.faults())];
        for (thread, words) in faults {
            for words in words {
                context.log(c"warning", format!("internal error in the thread {thread}: {words}").as_bytes());
            }
        }
        if !self.reclaim.is_alive() {
            if !std::mem::replace(&mut self.worker_missed, true) {
                let thread = reclaim::THREAD_NAME;
                let line =
                    format!("the thread {thread} has ended: flushes free in place until the server is restarted");
                context.log(c"warning", line.as_bytes());
            }
            self.reclaim.recover();
        }
    }
}

/// Sends the worker its next job.
fn deliver(_: &Context) {
    if let Ok(module) = read() {
        module.threads.reclaim.deliver();
    }
}
