//! The module's threads, as the main thread has them.

use std::sync::Arc;

use super::super::api::Context;
use super::read;
use crate::engine::{Dialect, NoServer};
use crate::generation::Functions;
use crate::reclaim::{self, Reclaim, Supply, Task};
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

/// Loads a library into a generation that nobody sees. The first load of a process takes many times as long as the
/// next: the system has yet to bring the compiler's code into its memory. So it is the worker's.
pub(super) struct Rehearsal(pub Dialect);

impl Task for Rehearsal {
    fn run(self: Box<Self>) {
        const SOURCE: &[u8] = b"#!lua name=l\nredis.register_function('f', function(keys, args) return 1 end)";
        if let Ok(mut generation) = Functions::new(self.0) {
            let loaded = generation.load(SOURCE, false, None, &mut NoServer);
            debug_assert!(loaded.is_ok());
        }
    }
}

/// Sends the worker its next job.
fn deliver(_: &Context) {
    if let Ok(module) = read() {
        module.threads.reclaim.deliver();
    }
}
