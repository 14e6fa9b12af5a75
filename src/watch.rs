//! The watch over calls that take long.
//!
//! The server's thread only writes down which call it is at. The thread `shadow-watch` looks at that now and then, and
//! when it has seen the same call for too long, rings the alarm of the VM. A call that ends in time pays three stores.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Alarm;
use crate::fault::Faults;
use crate::thread;

/// The watch's name among the server's threads.
pub const THREAD_NAME: &str = "shadow-watch";

/// A call is let run for so long before it is asked about, in milliseconds. The host then knows the server's own limit
/// and postpones the next question to that.
const FIRST_LOOK: u64 = 10;

/// How often the thread looks while calls come in, and while none do.
const BUSY_PERIOD: Duration = Duration::from_millis(5);
const IDLE_PERIOD: Duration = Duration::from_millis(50);

/// What both sides see.
struct Shared {
    /// The number of the call that is running; 0 for none.
    call: AtomicU64,
    /// For how long it may run before the alarm is rung, in milliseconds.
    limit: AtomicU64,
    /// The alarm of the VM that calls run in. Whoever gives up that VM takes the alarm away first, under this lock.
    alarm: Mutex<Option<Alarm>>,
    order: Mutex<Order>,
    ordered: Condvar,
    /// What panicked.
    faults: Faults,
}

/// What the thread is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Watch,
    /// Panic once. Tests ask for it.
    Panic,
    Stop,
}

/// The watch, as the server's thread sees it. Dropping it ends the thread.
pub struct Watch {
    shared: Arc<Shared>,
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
            limit: AtomicU64::new(FIRST_LOOK),
            alarm: Mutex::new(None),
            order: Mutex::new(Order::Watch),
            ordered: Condvar::new(),
            faults: Faults::default(),
        });
        let seen = Arc::clone(&shared);
        // A call without end could not be ended without the watch, so it survives whatever happens to it.
        let thread = thread::spawn(THREAD_NAME, move || while seen.faults.catch(|| seen.watch()).is_none() {})?;
        Ok(Self { shared, calls: Cell::new(0), thread: Some(thread) })
    }

    /// Calls run in the VM of this alarm from now on. Nobody rings the one that was there before any more.
    pub fn set_alarm(&self, alarm: Option<Alarm>) {
        *self.shared.alarm.lock().unwrap_or_else(PoisonError::into_inner) = alarm;
    }

    /// A call begins.
    pub fn begin(&self) {
        self.calls.set(self.calls.get() + 1);
        self.shared.limit.store(FIRST_LOOK, Ordering::Relaxed);
        self.shared.call.store(self.calls.get(), Ordering::Relaxed);
    }

    /// The alarm is to be rung only when the call has run for so many milliseconds; u64::MAX for never.
    pub fn postpone(&self, limit: u64) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// Has the thread panic, and go on after it.
    pub fn panic(&self) {
        self.order(Order::Panic);
    }

    /// What panicked in the thread since this was asked last.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.take()
    }

    fn order(&self, order: Order) {
        *self.shared.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.shared.ordered.notify_all();
    }

    /// The call has ended.
    pub fn end(&self) {
        self.shared.call.store(0, Ordering::Relaxed);
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
            self.look(call, &mut seen);
        }
    }

    /// Waits for `period`; true when the watch is over.
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

    fn look(&self, call: u64, seen: &mut Seen) {
        if call != seen.call {
            *seen = Seen { call, since: Instant::now() };
        }
        let limit = self.limit.load(Ordering::Relaxed);
        if call == 0 || seen.since.elapsed().as_millis() < u128::from(limit) {
            return;
        }
        let alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        // Should the call end in this moment, the next one finds a callback that sends itself away, and a load keeps its
        // deadline: the alarm adds a reason to ask and takes none away. Rung again each time, because once may be lost: the clocks of both sides differ a little, so that the host may find that it is too
        // early and send the callback away, and it may do so just after this.
        if let Some(alarm) = *alarm {
            // SAFETY: the lock is held, and the alarm is taken away under it before its VM goes.
            unsafe { alarm.ring() };
        }
    }
}

/// What the thread has seen of the running call.
struct Seen {
    call: u64,
    since: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Dialect, Engine, Host, Tick};

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
            self.watch.postpone(FIRST_LOOK);
            Tick::Silence
        }
    }

    #[test]
    fn a_host_that_finds_it_too_early_is_asked_again() {
        let mut engine = Engine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Some(engine.vm().alarm()));
        let mut host = Hesitant { watch: &watch, asked: 0 };
        watch.begin();
        // Comes to its own end if nobody else ends it.
        let result = engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host);
        watch.end();
        watch.set_alarm(None);
        assert_eq!((result.is_err(), host.asked), (true, 4));
    }
}
