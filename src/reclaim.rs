//! The worker that frees retired generations and builds spare ones.
//!
//! A flush hands the old generation over to the thread `shadow-reclaim` and takes a spare that the thread has built
//! beforehand, so that the main thread neither frees nor builds. The queue is bounded: what does not fit stays with the
//! caller. Generations of different kinds go to the same worker; each kind has its [`Depot`].
//!
//! The worker also builds generations out of sources: see [`Task`].

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

use crate::engine::{COMPILER_STACK, note_compiler_stack};
use crate::fault::Faults;
use crate::thread;

/// The worker's name among the server's threads.
pub const THREAD_NAME: &str = "shadow-reclaim";

/// A request to the worker. Before each one it builds the spares that are missing.
enum Job {
    /// Free generations.
    Free(Box<dyn Leave>),
    /// Do what takes long.
    Do(Box<dyn Task>),
    /// Nothing more than the spares.
    Prepare,
    /// Panic, for tests.
    Panic,
}

/// Work for the worker. It calls nothing of the server but its allocator. Whoever waits for it learns by its drop that
/// it will not be done, or has panicked.
pub trait Task: Send + 'static {
    /// Does it.
    fn run(self: Box<Self>);
}

/// What can retire.
pub trait Retire: Send + 'static {
    /// What it holds.
    fn amount(&self) -> Amount;
}

/// An [`Amount`] that both threads change.
#[derive(Default)]
struct Tally {
    programs: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn get(&self) -> Amount {
        Amount { programs: self.programs.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn add(&self, amount: Amount) {
        self.programs.fetch_add(amount.programs, Ordering::Relaxed);
        self.bytes.fetch_add(amount.bytes, Ordering::Relaxed);
    }

    fn take(&self, amount: Amount) {
        self.programs.fetch_sub(amount.programs, Ordering::Relaxed);
        self.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
    }
}

/// What one or more generations hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Libraries, or scripts.
    pub programs: u64,
    /// Bytes of the VM and the registry together.
    pub bytes: u64,
}

/// What the worker keeps for one kind of generations: a spare for the next flush, and the count of those that left.
pub struct Depot<G> {
    build: Box<dyn Fn() -> Option<G> + Send + Sync>,
    /// Whether there has been anything to flush. Until then no spare is kept.
    wanted: AtomicBool,
    /// A generation for the next flush. The main thread never waits for this lock: it goes without a spare.
    spare: Mutex<Option<Box<G>>>,
    /// Handed over and not yet freed.
    pending: Tally,
    /// Freed since the start or the last reset.
    freed: Tally,
}

impl<G: Retire> Depot<G> {
    /// Without a spare yet. `build` makes one, or None if it cannot now.
    pub fn new(build: impl Fn() -> Option<G> + Send + Sync + 'static) -> Arc<Self> {
        let build = Box::new(build);
        let (wanted, spare) = (AtomicBool::new(false), Mutex::new(None));
        Arc::new(Self { build, wanted, spare, pending: Tally::default(), freed: Tally::default() })
    }

    /// Says that there is something to flush: from now on the worker keeps a spare, the first once it is told to
    /// prepare. True when this was not known.
    pub fn want(&self) -> bool {
        !self.is_wanted() && !self.wanted.swap(true, Ordering::Relaxed)
    }

    /// Whether there has been anything to flush.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Takes the spare, if one is ready. The worker builds the next one before its next job.
    pub fn take_spare(&self) -> Option<Box<G>> {
        self.spare.try_lock()?.take()
    }

    /// Whether there is a spare. False as well while the other thread puts or takes one: nobody waits for that.
    pub fn has_spare(&self) -> bool {
        self.spare.try_lock().is_some_and(|spare| spare.is_some())
    }

    /// The generations that were handed over and are not freed yet.
    pub fn pending(&self) -> Amount {
        self.pending.get()
    }

    /// What was freed since the start or the last reset.
    pub fn freed(&self) -> Amount {
        self.freed.get()
    }

    /// Starts counting what is freed from 0.
    pub fn reset_freed(&self) {
        self.freed.take(self.freed());
    }
}

/// A depot as the worker sees it.
pub trait Supply: Send + Sync {
    /// Builds the spare if there is none and one is wanted.
    fn prepare(&self, faults: &Faults);
}

impl<G: Retire> Supply for Depot<G> {
    fn prepare(&self, faults: &Faults) {
        if self.is_wanted()
            && !self.has_spare()
            && let Some(Some(spare)) = faults.catch(&self.build)
        {
            *self.spare.lock() = Some(Box::new(spare));
        }
    }
}

/// Generations on their way, as the worker sees them.
trait Leave: Send {
    /// Frees and counts them.
    fn leave(self: Box<Self>, shared: &Shared);
}

/// Generations with the depot that counts them.
struct Leaving<G> {
    generations: Vec<Box<G>>,
    depot: Arc<Depot<G>>,
}

impl<G: Retire> Leave for Leaving<G> {
    fn leave(self: Box<Self>, shared: &Shared) {
        let Self { generations, depot } = *self;
        for generation in generations {
            let amount = generation.amount();
            if shared.abandon.load(Ordering::Relaxed) {
                std::mem::forget(generation);
            } else if shared.faults.catch(|| drop(generation)).is_some() {
                depot.freed.add(amount);
            }
            depot.pending.take(amount);
        }
    }
}

/// State of the worker that both threads reach.
#[derive(Default)]
struct Shared {
    /// The process is about to end: queued generations are not freed any more.
    abandon: AtomicBool,
    /// Panics of the worker.
    faults: Faults,
    /// Whether the worker is to wait before its next job, for tests.
    held: Mutex<bool>,
    release: Condvar,
}

impl Shared {
    /// Frees what is in a job that the worker did not do.
    fn undo(&self, job: Job) {
        match job {
            Job::Free(generations) => generations.leave(self),
            Job::Do(task) => drop(task),
            Job::Prepare | Job::Panic => {}
        }
    }
}

/// The main thread's side of the worker. Dropping it ends the thread once its queue is empty.
///
/// Every method takes a shared reference, because the server can end, and the worker with it, while a function runs.
pub struct Reclaim {
    jobs: RefCell<Option<Sender<Job>>>,
    /// The worker's end of the queue, to empty it when the worker is gone.
    left: Receiver<Job>,
    shared: Arc<Shared>,
    thread: RefCell<Option<JoinHandle<()>>>,
    /// The job that `deliver` will send. The queue has room for it.
    parked: RefCell<Option<Job>>,
}

impl Reclaim {
    /// Starts the worker, which keeps a spare in each of the `depots`. At most `capacity` jobs wait in its queue.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(capacity: usize, depots: Vec<Arc<dyn Supply>>) -> std::io::Result<Self> {
        let (jobs, incoming) = bounded(capacity);
        let shared = Arc::new(Shared::default());
        let worker = Worker { incoming: incoming.clone(), shared: Arc::clone(&shared), depots };
        let thread = thread::spawn(THREAD_NAME, COMPILER_STACK, move || {
            // It compiles what the main thread would, with as much room: the limit of nesting is the process's.
            note_compiler_stack();
            worker.shared.faults.catch(|| worker.run());
        })?;
        let (jobs, thread) = (RefCell::new(Some(jobs)), RefCell::new(Some(thread)));
        Ok(Self { jobs, left: incoming, shared, thread, parked: RefCell::default() })
    }

    /// Parks the request for spares. The worker gets it with the next `deliver`.
    pub fn prepare(&self) {
        // The worker builds them before any other job as well.
        if !self.has_parked() && !self.is_full() {
            self.parked.replace(Some(Job::Prepare));
        }
    }

    /// Parks generations to be freed. The worker gets them with the next `deliver`: sending wakes a thread, which takes
    /// longer than all the rest of a flush, so it is done once the reply is on its way.
    ///
    /// # Errors
    /// Returns the generations when the queue is full or the worker is gone.
    pub fn hand_over<G: Retire>(&self, generations: Vec<Box<G>>, depot: &Arc<Depot<G>>) -> Result<(), Vec<Box<G>>> {
        self.deliver();
        if self.is_full() {
            return Err(generations);
        }
        generations.iter().for_each(|generation| depot.pending.add(generation.amount()));
        let leaving = Leaving { generations, depot: Arc::clone(depot) };
        self.parked.replace(Some(Job::Free(Box::new(leaving))));
        Ok(())
    }

    /// Parks work to be done. The worker gets it with the next `deliver`.
    ///
    /// # Errors
    /// Returns the task when the queue is full or the worker is gone.
    pub fn request(&self, task: Box<dyn Task>) -> Result<(), Box<dyn Task>> {
        self.deliver();
        if self.is_full() {
            return Err(task);
        }
        self.parked.replace(Some(Job::Do(task)));
        Ok(())
    }

    /// Whether a job is parked.
    pub fn has_parked(&self) -> bool {
        self.parked.borrow().is_some()
    }

    /// Sends the worker the parked job, if there is one.
    pub fn deliver(&self) {
        if let (Some(jobs), Some(job)) = (&*self.jobs.borrow(), self.parked.take()) {
            // The queue has room: only this thread sends, and it has checked.
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = jobs.try_send(job) {
                self.shared.undo(job);
            }
        }
    }

    /// Whether no job can be sent: the queue is full or the worker is gone.
    pub fn is_full(&self) -> bool {
        !self.is_alive() || self.jobs.borrow().as_ref().is_none_or(Sender::is_full)
    }

    /// Whether the worker is running. Without it, everything is freed in place.
    pub fn is_alive(&self) -> bool {
        self.thread.borrow().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Frees on this thread what is still queued, if the worker is gone.
    pub fn recover(&self) {
        if !self.is_alive() {
            self.left.try_iter().for_each(|job| self.shared.undo(job));
        }
    }

    /// The messages of the worker's panics since the last call.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.take()
    }

    /// The number of jobs that wait, a parked one included.
    pub fn queued(&self) -> usize {
        self.jobs.borrow().as_ref().map_or(0, Sender::len) + usize::from(self.has_parked())
    }

    /// Makes the worker wait before its next job, or go on, for tests.
    pub fn hold(&self, held: bool) {
        *self.shared.held.lock() = held;
        self.shared.release.notify_all();
    }

    /// Makes the worker panic once its queue is empty, for tests.
    pub fn panic(&self) {
        self.deliver();
        self.parked.replace(Some(Job::Panic));
        self.deliver();
    }

    /// Ends the worker. Queued generations are freed first, or left to the end of the process if `abandon`.
    pub fn stop(&self, abandon: bool) {
        self.shared.abandon.store(abandon, Ordering::Relaxed);
        self.deliver();
        self.jobs.take();
        self.hold(false);
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has ended as well.
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

/// The worker's side. It calls nothing of the server but its allocator.
struct Worker {
    incoming: Receiver<Job>,
    shared: Arc<Shared>,
    depots: Vec<Arc<dyn Supply>>,
}

impl Worker {
    fn run(&self) {
        self.prepare();
        while let Ok(job) = self.incoming.recv() {
            self.wait_while_held();
            // The spares come first: the next flush may need one before a large generation is freed.
            self.prepare();
            match job {
                Job::Free(generations) => generations.leave(&self.shared),
                Job::Do(task) => {
                    self.shared.faults.catch(|| task.run());
                }
                Job::Prepare => {}
                Job::Panic => panic!("a panic of the worker was asked for"),
            }
        }
    }

    fn prepare(&self) {
        for depot in &self.depots {
            depot.prepare(&self.shared.faults);
        }
    }

    fn wait_while_held(&self) {
        let mut held = self.shared.held.lock();
        while *held {
            self.shared.release.wait(&mut held);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::{Dialect, NoServer};
    use crate::generation::Functions;

    fn depot() -> Arc<Depot<Functions>> {
        let depot = Depot::new(|| Functions::new(Dialect::default()).ok());
        depot.want();
        depot
    }

    fn start(capacity: usize, depot: &Arc<Depot<Functions>>) -> Reclaim {
        Reclaim::start(capacity, vec![Arc::clone(depot) as Arc<dyn Supply>]).unwrap()
    }

    fn loaded(libraries: usize) -> Box<Functions> {
        let mut generation = Functions::new(Dialect::default()).unwrap();
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
            // Not at once: the sanitizer of threads does not see how a thread gets a lock that it had to wait for.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_retired_generation_is_freed_and_counted() {
        let depot = depot();
        let reclaim = start(4, &depot);
        assert!(reclaim.hand_over(vec![loaded(100)], &depot).is_ok());
        reclaim.deliver();
        wait_until("it is freed", || depot.freed().programs == 100);
        assert_eq!(depot.pending().programs, 0);
    }

    #[test]
    fn a_spare_is_built_at_the_start_and_when_it_is_asked_for() {
        let depot = depot();
        let reclaim = start(4, &depot);
        for _ in 0..3 {
            wait_until("a spare is ready", || depot.has_spare());
            assert!(depot.take_spare().is_some());
            reclaim.prepare();
            reclaim.deliver();
        }
    }

    #[test]
    fn no_spare_is_built_before_there_is_anything_to_flush() {
        let depot = Depot::new(|| Functions::new(Dialect::default()).ok());
        let reclaim = start(4, &depot);
        assert!(reclaim.hand_over(vec![loaded(1)], &depot).is_ok());
        reclaim.deliver();
        wait_until("the worker has been at work", || depot.freed().programs == 1);
        assert!(!depot.has_spare());
        assert_eq!([depot.want(), depot.want()], [true, false]);
        reclaim.prepare();
        reclaim.deliver();
        wait_until("a spare is ready", || depot.has_spare());
    }

    #[test]
    fn a_full_queue_gives_the_generation_back() {
        let depot = depot();
        let reclaim = start(1, &depot);
        wait_until("the first spare is ready", || depot.has_spare());
        reclaim.hold(true);
        // The first may be with the worker already, which holds it; the second waits; the third finds no room.
        let accepted = (0..3).filter(|_| reclaim.hand_over(vec![loaded(1)], &depot).is_ok()).count();
        assert!(accepted < 3);
        reclaim.stop(false);
        assert_eq!(depot.freed().programs, accepted as u64);
    }

    #[test]
    fn a_generation_that_was_not_delivered_is_freed_at_the_end() {
        let depot = depot();
        let reclaim = start(4, &depot);
        assert!(reclaim.hand_over(vec![loaded(10)], &depot).is_ok());
        assert_eq!((reclaim.queued(), depot.pending().programs), (1, 10));
        reclaim.stop(false);
        assert_eq!((depot.freed().programs, depot.pending().programs), (10, 0));
    }

    #[test]
    fn a_worker_that_is_gone_is_noticed_and_what_it_left_is_freed() {
        let depot = depot();
        let reclaim = start(4, &depot);
        wait_until("the first spare is ready", || depot.has_spare());
        reclaim.hold(true);
        reclaim.panic();
        assert!(reclaim.hand_over(vec![loaded(10)], &depot).is_ok());
        reclaim.deliver();
        reclaim.hold(false);
        wait_until("it is gone", || !reclaim.is_alive());
        assert_eq!(reclaim.faults(), ["a panic of the worker was asked for"]);
        assert!(reclaim.hand_over(vec![loaded(1)], &depot).is_err());
        assert_eq!(depot.pending().programs, 10);
        reclaim.recover();
        assert_eq!((depot.freed().programs, depot.pending().programs), (10, 0));
    }

    #[test]
    fn a_spare_whose_building_panics_ends_nothing() {
        let depot = Depot::new(|| panic!("no spare today"));
        depot.want();
        let reclaim = start(4, &depot);
        assert!(reclaim.hand_over(vec![loaded(10)], &depot).is_ok());
        reclaim.deliver();
        wait_until("it is freed", || depot.freed().programs == 10);
        assert!(reclaim.is_alive());
        assert_eq!(reclaim.faults(), ["no spare today"; 2]);
    }

    #[test]
    fn a_stopped_worker_takes_nothing_more() {
        let depot = depot();
        let reclaim = start(4, &depot);
        reclaim.stop(false);
        assert!(reclaim.hand_over(vec![loaded(1)], &depot).is_err());
    }
}
