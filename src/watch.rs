//! The watch over calls that take long.
//!
//! The main thread stores the number of the call that is running. The thread `shadow-watch` reads it now and then, and
//! rings the VMs' alarms when it has seen the same number for too long. A call that ends in time pays three stores.

#![allow(unsafe_code, reason = "rings the alarm")]

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::{Alarm, Callable};
use crate::fault::Faults;
use crate::thread;

/// The watch's name among the server's threads.
pub const THREAD_NAME: &str = "shadow-watch";

/// How long a call may run before the alarm is first rung, in milliseconds. The host, which knows the server's own
/// limit, then postpones the next time to that.
const FIRST_RING: u64 = 10;

/// How often the thread reads the number while calls come in, and while none do.
const BUSY_PERIOD: Duration = Duration::from_millis(5);
const IDLE_PERIOD: Duration = Duration::from_millis(50);

/// State of the watch that both threads reach.
struct Shared {
    /// The number of the call that is running; 0 for none.
    call: AtomicU64,
    /// How long it may run before the alarm is rung, in milliseconds.
    limit: AtomicU64,
    /// The alarms of the VMs that calls run in, one for each kind. Before a VM can be freed, its alarm is taken away
    /// under this lock.
    alarms: Mutex<[Option<Alarm>; Callable::ALL.len()]>,
    order: Mutex<Order>,
    ordered: Condvar,
    /// Panics of the thread.
    faults: Faults,
}

/// What the thread is told to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Watch,
    /// Panic once, for tests.
    Panic,
    Stop,
}

/// The main thread's side of the watch. Dropping it ends the thread.
pub struct Watch {
    shared: Arc<Shared>,
    /// The number of the last call.
    calls: Cell<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            call: AtomicU64::new(0),
            limit: AtomicU64::new(FIRST_RING),
            alarms: Mutex::default(),
            order: Mutex::new(Order::Watch),
            ordered: Condvar::new(),
            faults: Faults::default(),
        });
        let seen = Arc::clone(&shared);
        // Without the watch an endless call could not be ended, so it goes on after a panic.
        let thread = thread::spawn(THREAD_NAME, move || while seen.faults.catch(|| seen.watch()).is_none() {})?;
        Ok(Self { shared, calls: Cell::new(0), thread: Some(thread) })
    }

    /// From now on calls of this kind run in the VM of this alarm. When this returns, nobody rings the one before any
    /// more.
    pub fn set_alarm(&self, callable: Callable, alarm: Option<Alarm>) {
        self.shared.alarms.lock().unwrap_or_else(PoisonError::into_inner)[callable as usize] = alarm;
    }

    /// A call begins.
    pub fn begin(&self) {
        self.calls.set(self.calls.get() + 1);
        self.shared.limit.store(FIRST_RING, Ordering::Relaxed);
        self.shared.call.store(self.calls.get(), Ordering::Relaxed);
    }

    /// The call has ended.
    pub fn end(&self) {
        self.shared.call.store(0, Ordering::Relaxed);
    }

    /// Puts off the alarm until the running call has run for `limit` milliseconds; u64::MAX for never.
    pub fn postpone(&self, limit: u64) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// Makes the thread panic and go on, for tests.
    pub fn panic(&self) {
        self.order(Order::Panic);
    }

    /// The messages of the thread's panics since the last call.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.take()
    }

    fn order(&self, order: Order) {
        *self.shared.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.shared.ordered.notify_all();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self) {
        let mut seen = Seen { call: 0, since: Instant::now() };
        let mut period = IDLE_PERIOD;
        while !self.wait(period) {
            let call = self.call.load(Ordering::Relaxed);
            period = if call == 0 && seen.call == 0 { IDLE_PERIOD } else { BUSY_PERIOD };
            self.check(call, &mut seen);
        }
    }

    /// Waits for `period`. Returns whether the thread is to end.
    fn wait(&self, period: Duration) -> bool {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ordered.wait_timeout_while(order, period, |order| *order == Order::Watch);
        let (mut order, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *order == Order::Panic {
            *order = Order::Watch;
            drop(order);
            panic!("a panic of the watch was asked for");
        }
        *order == Order::Stop
    }

    /// Rings the alarm if the running call, which has the number `call`, has run for too long.
    fn check(&self, call: u64, seen: &mut Seen) {
        if call != seen.call {
            *seen = Seen { call, since: Instant::now() };
        }
        let limit = self.limit.load(Ordering::Relaxed);
        if call == 0 || seen.since.elapsed().as_millis() < u128::from(limit) {
            return;
        }
        let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        // One call runs at a time. In a VM that runs none the callback removes itself. If the call ends at this moment,
        // the next one finds a callback that removes itself, and a load keeps its deadline: the alarm adds a reason to
        // ask and takes none away. It is rung each time, because one ring can be lost: the clocks of the threads
        // differ a little, so the host may find that it is too early and remove the callback, and it may do so just
        // after this.
        for alarm in alarms.iter().flatten() {
            // SAFETY: the lock is held, and the alarm is taken away under it before its VM goes.
            unsafe { alarm.ring() };
        }
    }
}

/// The number that the thread has read last, and since when it has been the same.
struct Seen {
    call: u64,
    since: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Dialect, Engine, FunctionEngine, Host, Tick};

    /// Finds a few times that it is too early, and then ends the call.
    struct Hesitant<'a> {
        watch: &'a Watch,
        asked: u32,
    }

    impl Host for Hesitant<'_> {
        fn tick(&mut self) -> Tick {
            self.asked += 1;
            if self.asked > 3 {
                return Tick::Kill("ERR ended");
            }
            self.watch.postpone(FIRST_RING);
            Tick::Silence
        }
    }

    #[test]
    fn a_host_that_finds_it_too_early_is_asked_again() {
        let mut engine = FunctionEngine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Callable::Function, Some(engine.vm().alarm()));
        let mut host = Hesitant { watch: &watch, asked: 0 };
        watch.begin();
        // Comes to its own end if nobody else ends it.
        let result = engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host);
        watch.end();
        watch.set_alarm(Callable::Function, None);
        assert_eq!((result.is_err(), host.asked), (true, 4));
    }
}
