//! The worker that frees retired generations and builds spare ones.
//!
//! A flush hands the old generation to the thread `shadow-reclaim` and takes a spare that the thread built beforehand,
//! so that the server's thread neither frees nor builds. The queue is bounded: what does not fit is the caller's.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::fault::Faults;
use crate::generation::Generation;
use crate::thread;

/// The worker's name among the server's threads.
pub const THREAD_NAME: &str = "shadow-reclaim";

/// What the worker is asked to do. It builds a spare before each job if there is none.
enum Job {
    Free(Box<Generation>),
    /// Only build a spare.
    Prepare,
    /// End by a panic. Tests ask for it.
    Panic,
}

/// Libraries, and the bytes of the generations that they are in.
#[derive(Default)]
struct Tally {
    libraries: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn get(&self) -> Amount {
        Amount { libraries: self.libraries.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn add(&self, amount: Amount) {
        self.libraries.fetch_add(amount.libraries, Ordering::Relaxed);
        self.bytes.fetch_add(amount.bytes, Ordering::Relaxed);
    }

    fn take(&self, amount: Amount) {
        self.libraries.fetch_sub(amount.libraries, Ordering::Relaxed);
        self.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
    }
}

/// How much a generation holds, or several do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub libraries: u64,
    /// Of the VM and the registry together.
    pub bytes: u64,
}

impl Amount {
    fn of(generation: &Generation) -> Self {
        Self { libraries: generation.registry().library_count() as u64, bytes: generation.bytes() as u64 }
    }
}

/// What both sides see.
#[derive(Default)]
struct Shared {
    /// Handed over and not yet freed.
    pending: Tally,
    /// Freed in all.
    freed: Tally,
    /// The process is about to end: what waits is left to it.
    abandon: AtomicBool,
    /// A generation for the next flush. Locked for a moment only, so the main thread need not wait: it does without.
    spare: Mutex<Option<Box<Generation>>>,
    /// What panicked.
    faults: Faults,
    /// Holds the worker before its next job.
    held: Mutex<bool>,
    release: Condvar,
}

impl Shared {
    /// Whether there is a spare. Not while it is being put there or taken: nobody waits for that.
    fn has_spare(&self) -> bool {
        self.spare.try_lock().is_ok_and(|spare| spare.is_some())
    }

    /// Frees what a job holds and counts it.
    fn free(&self, job: Job) {
        let Job::Free(generation) = job else { return };
        let amount = Amount::of(&generation);
        if self.abandon.load(Ordering::Relaxed) {
            std::mem::forget(generation);
        } else if self.faults.catch(|| drop(generation)).is_some() {
            self.freed.add(amount);
        }
        self.pending.take(amount);
    }
}

/// The worker, as its owner on the main thread sees it. Dropping it ends the thread after what is queued.
///
/// All of it is done through a shared reference: the process may end, and the worker with it, while a function runs.
pub struct Reclaim {
    jobs: RefCell<Option<Sender<Job>>>,
    /// The worker's end, to take back what it has left when it is gone.
    left: Receiver<Job>,
    shared: Arc<Shared>,
    thread: RefCell<Option<JoinHandle<()>>>,
    /// A job that is not sent yet. There is room for it in the queue.
    parked: RefCell<Option<Job>>,
}

impl Reclaim {
    /// Starts the worker. `capacity`: generations that may wait. `build` makes a spare; None when it cannot now.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(capacity: usize, build: impl Fn() -> Option<Generation> + Send + 'static) -> std::io::Result<Self> {
        let (jobs, incoming) = bounded(capacity);
        let shared = Arc::new(Shared::default());
        let worker = Worker { incoming: incoming.clone(), shared: Arc::clone(&shared), build };
        let thread = thread::spawn(THREAD_NAME, move || {
            worker.shared.faults.catch(|| worker.run());
        })?;
        let (jobs, thread) = (RefCell::new(Some(jobs)), RefCell::new(Some(thread)));
        Ok(Self { jobs, left: incoming, shared, thread, parked: RefCell::default() })
    }

    /// Takes the spare, if one is ready. The worker builds the next one before its next job.
    pub fn take_spare(&self) -> Option<Box<Generation>> {
        self.shared.spare.try_lock().ok()?.take()
    }

    /// Has a spare built if there is none, from the next `deliver` on.
    pub fn prepare(&self) {
        // Before any other job the worker does that anyway.
        if !self.has_parked() && !self.is_full() {
            self.parked.replace(Some(Job::Prepare));
        }
    }

    /// Hands over a generation to be freed, from the next `deliver` on.
    ///
    /// Sending it wakes a thread, which takes longer than all the rest of a flush: that is left to `deliver`, which
    /// the server's event loop calls once the reply is on its way.
    ///
    /// # Errors
    /// Gives it back when the queue is full or the worker is gone.
    pub fn retire(&self, generation: Box<Generation>) -> Result<(), Box<Generation>> {
        self.deliver();
        if self.is_full() {
            return Err(generation);
        }
        self.shared.pending.add(Amount::of(&generation));
        self.parked.replace(Some(Job::Free(generation)));
        Ok(())
    }

    /// Whether something waits for `deliver`.
    pub fn has_parked(&self) -> bool {
        self.parked.borrow().is_some()
    }

    /// Sends the worker what waits.
    pub fn deliver(&self) {
        if let (Some(jobs), Some(job)) = (&*self.jobs.borrow(), self.parked.take()) {
            // There is room: only this side sends, and it looked.
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = jobs.try_send(job) {
                self.shared.free(job);
            }
        }
    }

    /// Whether the worker takes no more: its queue is full, or it is gone.
    fn is_full(&self) -> bool {
        !self.is_alive() || self.jobs.borrow().as_ref().is_none_or(Sender::is_full)
    }

    /// Whether the worker is there. Without it, everything is freed in place.
    pub fn is_alive(&self) -> bool {
        self.thread.borrow().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Frees here what a worker that is gone has left.
    pub fn recover(&self) {
        if !self.is_alive() {
            self.left.try_iter().for_each(|job| self.shared.free(job));
        }
    }

    /// What panicked in the worker since this was asked last.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.take()
    }

    /// Jobs that wait for the worker.
    pub fn queued(&self) -> usize {
        self.jobs.borrow().as_ref().map_or(0, Sender::len) + usize::from(self.has_parked())
    }

    /// What was handed over and is not yet freed.
    pub fn pending(&self) -> Amount {
        self.shared.pending.get()
    }

    /// What the worker has freed in all, or since this was reset.
    pub fn freed(&self) -> Amount {
        self.shared.freed.get()
    }

    /// Counts what is freed from 0 again.
    pub fn reset_freed(&self) {
        self.shared.freed.take(self.freed());
    }

    /// Whether a spare is ready.
    pub fn has_spare(&self) -> bool {
        self.shared.has_spare()
    }

    /// Holds the worker before its next job, or lets it go on.
    pub fn hold(&self, held: bool) {
        *self.shared.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.shared.release.notify_all();
    }

    /// Has the worker end by a panic after what is queued.
    pub fn panic(&self) {
        self.deliver();
        self.parked.replace(Some(Job::Panic));
        self.deliver();
    }

    /// Ends the worker. What is queued is freed first, unless `abandon`: then it is left to the end of the process.
    pub fn stop(&self, abandon: bool) {
        self.shared.abandon.store(abandon, Ordering::Relaxed);
        self.deliver();
        self.jobs.take();
        self.hold(false);
        if let Some(thread) = self.thread.take() {
            // A worker that panicked outside of its jobs has ended all the same.
            let _ = thread.join();
        }
        self.recover();
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// The worker's side.
struct Worker<B> {
    incoming: Receiver<Job>,
    shared: Arc<Shared>,
    build: B,
}

impl<B: Fn() -> Option<Generation>> Worker<B> {
    fn run(&self) {
        self.prepare();
        while let Ok(job) = self.incoming.recv() {
            self.wait_while_held();
            // The spare comes first: the next flush may be waiting for it, and freeing takes its time.
            self.prepare();
            if let Job::Panic = job {
                panic!("a panic of the worker was asked for");
            }
            self.shared.free(job);
        }
    }

    fn prepare(&self) {
        if !self.shared.has_spare()
            && let Some(Some(spare)) = self.shared.faults.catch(&self.build)
        {
            let spare = Some(Box::new(spare));
            *self.shared.spare.lock().unwrap_or_else(PoisonError::into_inner) = spare;
        }
    }

    fn wait_while_held(&self) {
        let mut held = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held {
            held = self.shared.release.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::{Dialect, NoServer};

    fn generation() -> Option<Generation> {
        Generation::new(Dialect::default()).ok()
    }

    fn loaded(libraries: usize) -> Box<Generation> {
        let mut generation = generation().unwrap();
        for number in 0..libraries {
            let code =
                format!("#!lua name=l{number}\nredis.register_function('f{number}', function() return {number} end)");
            generation.load(code.as_bytes(), false, None, &mut NoServer).unwrap();
        }
        Box::new(generation)
    }

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_retired_generation_is_freed_and_counted() {
        let reclaim = Reclaim::start(4, generation).unwrap();
        assert!(reclaim.retire(loaded(100)).is_ok());
        reclaim.deliver();
        wait_until("it is freed", || reclaim.freed().libraries == 100);
        assert_eq!(reclaim.pending().libraries, 0);
    }

    #[test]
    fn a_spare_is_built_at_the_start_and_when_it_is_asked_for() {
        let reclaim = Reclaim::start(4, generation).unwrap();
        for _ in 0..3 {
            wait_until("a spare is ready", || reclaim.has_spare());
            assert!(reclaim.take_spare().is_some());
            reclaim.prepare();
            reclaim.deliver();
        }
    }

    #[test]
    fn a_full_queue_gives_the_generation_back() {
        let reclaim = Reclaim::start(1, generation).unwrap();
        wait_until("the first spare is ready", || reclaim.has_spare());
        reclaim.hold(true);
        // The first may be with the worker already, which holds it; the second waits; the third finds no room.
        let accepted = (0..3).filter(|_| reclaim.retire(loaded(1)).is_ok()).count();
        assert!(accepted < 3);
        reclaim.stop(false);
        assert_eq!(reclaim.freed().libraries, accepted as u64);
    }

    #[test]
    fn a_generation_that_was_not_delivered_is_freed_at_the_end() {
        let reclaim = Reclaim::start(4, generation).unwrap();
        assert!(reclaim.retire(loaded(10)).is_ok());
        assert_eq!((reclaim.queued(), reclaim.pending().libraries), (1, 10));
        reclaim.stop(false);
        assert_eq!((reclaim.freed().libraries, reclaim.pending().libraries), (10, 0));
    }

    #[test]
    fn a_worker_that_is_gone_is_noticed_and_what_it_left_is_freed() {
        let reclaim = Reclaim::start(4, generation).unwrap();
        wait_until("the first spare is ready", || reclaim.has_spare());
        reclaim.hold(true);
        reclaim.panic();
        assert!(reclaim.retire(loaded(10)).is_ok());
        reclaim.deliver();
        reclaim.hold(false);
        wait_until("it is gone", || !reclaim.is_alive());
        assert_eq!(reclaim.faults(), ["a panic of the worker was asked for"]);
        assert!(reclaim.retire(loaded(1)).is_err());
        assert_eq!(reclaim.pending().libraries, 10);
        reclaim.recover();
        assert_eq!((reclaim.freed().libraries, reclaim.pending().libraries), (10, 0));
    }

    #[test]
    fn a_spare_whose_building_panics_ends_nothing() {
        let reclaim = Reclaim::start(4, || panic!("no spare today")).unwrap();
        assert!(reclaim.retire(loaded(10)).is_ok());
        reclaim.deliver();
        wait_until("it is freed", || reclaim.freed().libraries == 10);
        assert!(reclaim.is_alive());
        assert_eq!(reclaim.faults(), ["no spare today"; 2]);
    }

    #[test]
    fn a_stopped_worker_takes_nothing_more() {
        let reclaim = Reclaim::start(4, generation).unwrap();
        reclaim.stop(false);
        assert!(reclaim.retire(loaded(1)).is_err());
    }
}
