//! The watch over calls that take long.
//!
//! The main thread stores the number of the call that is running. The thread `shadow-watch` reads it now and then, and
//! rings the VMs' alarms when it has seen the same number for too long. A call that ends in time pays three stores.
//!
//! When no call has come for long, the main thread lets the thread rest: it sleeps until the next call, which wakes it.
//! Waking takes some microseconds, so it is not done for each call: what a call pays for it is one load.
//!
//! While a profile is on, the thread looks at the rate of its samples, says which call owes one, and rings the alarm of
//! that call's VM.

#![allow(unsafe_code, reason = "rings the alarm")]

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::{Alarm, Callable};
use crate::fault::Faults;
use crate::thread;

/// The watch's name among the server's threads.
pub const THREAD_NAME: &str = "shadow-watch";

/// The size of its stack, in bytes.
const STACK: usize = 2 << 20;

/// How long a call may run before the alarm is first rung, in milliseconds. The host, which knows the server's own
/// limit, then postpones the next time to that.
const FIRST_RING: u64 = 10;

/// How often the thread reads the number while calls come in, and while none do.
const BUSY_PERIOD: Duration = Duration::from_millis(5);
const IDLE_PERIOD: Duration = Duration::from_millis(50);

/// How many samples one look at the running call stands for at most.
const LOOK_LIMIT: u32 = 4;

/// How many numbers there are for each call: one for each kind.
const KINDS: u64 = Callable::ALL.len() as u64;

/// State of the watch that both threads reach.
struct Shared {
    /// The number of the call that is running, from which its kind can be told; 0 for none.
    call: AtomicU64,
    /// How long it may run before the alarm is rung, in milliseconds.
    limit: AtomicU64,
    /// The alarms of the VMs that calls run in, one for each kind. Before a VM can be freed, its alarm is taken away
    /// under this lock.
    alarms: Mutex<[Option<Alarm>; Callable::ALL.len()]>,
    /// What a profile wants; None while there is none.
    sampling: Mutex<Option<Sampling>>,
    /// Samples that are due.
    due: AtomicU64,
    /// Samples that could not be taken: their calls have ended without a safepoint, or this thread came too late.
    missed: AtomicU64,
    order: Mutex<Order>,
    ordered: Condvar,
    /// Panics of the thread.
    faults: Faults,
}

/// What the thread is told to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Watch,
    /// Sleep until the next order.
    Rest,
    /// The thread does so.
    Asleep,
    /// Look at once, and go on.
    Look,
    /// Panic once, for tests.
    Panic,
    Stop,
}

/// The main thread's side of the watch. Dropping it ends the thread.
pub struct Watch {
    shared: Arc<Shared>,
    /// The number of the last call.
    calls: Cell<u64>,
    /// Whether the thread was told to rest, and nothing else since.
    rests: Cell<bool>,
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
            sampling: Mutex::default(),
            due: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            order: Mutex::new(Order::Watch),
            ordered: Condvar::new(),
            faults: Faults::default(),
        });
        let seen = Arc::clone(&shared);
        // Without the watch an endless call could not be ended, so it goes on after a panic.
        let body = move || while seen.faults.catch(|| seen.watch()).is_none() {};
        let thread = thread::spawn(THREAD_NAME, STACK, body)?;
        Ok(Self { shared, calls: Cell::new(0), rests: Cell::new(false), thread: Some(thread) })
    }

    /// From now on calls of this kind run in the VM of this alarm. When this returns, nobody rings the one before any
    /// more.
    pub fn set_alarm(&self, callable: Callable, alarm: Option<Alarm>) {
        self.shared.alarms.lock()[callable as usize] = alarm;
    }

    /// A call begins.
    pub fn begin(&self, callable: Callable) {
        self.calls.set(self.calls.get() + 1);
        self.shared.limit.store(FIRST_RING, Ordering::Relaxed);
        self.shared.call.store(self.calls.get() * KINDS + callable as u64, Ordering::Relaxed);
        if self.rests.get() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        self.order(Order::Look);
    }

    /// The call has ended.
    pub fn end(&self) {
        self.shared.call.store(0, Ordering::Relaxed);
    }

    /// How many calls have begun.
    pub const fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Lets the thread sleep until the next call begins, or a profile. Does nothing while there is a call or a profile,
    /// which is to be watched, or the thread has not yet followed another order.
    pub fn rest(&self) {
        if self.rests.get() || self.shared.call.load(Ordering::Relaxed) != 0 || self.shared.is_sampling() {
            return;
        }
        let mut order = self.shared.order.lock();
        // It finds that when it has waited for its period; no other order is lost.
        if *order == Order::Watch {
            *order = Order::Rest;
            self.rests.set(true);
        }
    }

    /// Whether the thread was told to rest, and nothing else since.
    pub const fn rests(&self) -> bool {
        self.rests.get()
    }

    /// Puts off the alarm until the running call has run for `limit` milliseconds; u64::MAX for never.
    pub fn postpone(&self, limit: u64) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// From now on samples of calls of this kind are due, that many in a second, for that long.
    pub fn begin_sampling(&self, callable: Callable, hertz: u32, length: Duration) {
        self.set_sampling(Some(Sampling::new(callable, hertz, length)));
        self.shared.missed.store(0, Ordering::Relaxed);
    }

    /// No samples are due from now on.
    pub fn end_sampling(&self) {
        self.set_sampling(None);
    }

    fn set_sampling(&self, sampling: Option<Sampling>) {
        let mut current = self.shared.sampling.lock();
        *current = sampling;
        self.shared.due.store(0, Ordering::Relaxed);
        drop(current);
        self.order(Order::Look);
    }

    /// How many samples are due of the running call. They are not due any more then.
    pub fn take_due(&self) -> u32 {
        if self.shared.due.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let due = Due(self.shared.due.swap(0, Ordering::Relaxed));
        if due.is_of(self.shared.call.load(Ordering::Relaxed)) {
            return due.samples();
        }
        self.shared.missed.fetch_add(due.samples().into(), Ordering::Relaxed);
        0
    }

    /// How many samples the last profile has missed because their calls ended before they could be taken, or the
    /// thread came too late.
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
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
        self.rests.set(false);
        *self.shared.order.lock() = order;
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
            if let Some(next) = self.sample(call) {
                period = period.min(next);
            }
            self.check(call, &mut seen);
        }
    }

    /// Waits for `period`, and for as long as the thread is to rest. Returns whether it is to end.
    fn wait(&self, period: Duration) -> bool {
        let mut order = self.order.lock();
        self.ordered.wait_while_for(&mut order, |order| *order == Order::Watch, period);
        if *order == Order::Rest {
            *order = Order::Asleep;
            self.ordered.wait_while(&mut order, |order| *order == Order::Asleep);
        }
        match *order {
            Order::Watch | Order::Rest | Order::Asleep => {}
            Order::Look => *order = Order::Watch,
            Order::Panic => {
                *order = Order::Watch;
                drop(order);
                panic!("a panic of the watch was asked for");
            }
            Order::Stop => return true,
        }
        false
    }

    /// Whether a profile wants samples.
    fn is_sampling(&self) -> bool {
        self.sampling.lock().is_some()
    }

    /// Says how many samples are due of the running call, which has the number `call`, and rings its alarm for them.
    /// Gives how long it is until the next; None while there is no profile.
    ///
    /// Those that have passed since the last look are this call's, even if it has begun only now: long calls and many
    /// short ones count alike then, also where the thread wakes a little too seldom. Where it got no processor for
    /// long, one look must not stand for all that was done meanwhile: the rest is missed.
    fn sample(&self, call: u64) -> Option<Duration> {
        let mut sampling = self.sampling.lock();
        let wanted = sampling.as_mut()?;
        let elapsed = wanted.began.elapsed();
        if elapsed >= wanted.length {
            *sampling = None;
            return None;
        }
        let passed = wanted.pass(elapsed);
        if passed > 0 && call != 0 && call % KINDS == wanted.callable as u64 {
            let taken = passed.min(LOOK_LIMIT);
            self.missed.fetch_add((passed - taken).into(), Ordering::Relaxed);
            self.owe(call, taken);
            let alarms = self.alarms.lock();
            if let Some(alarm) = alarms[wanted.callable as usize] {
                // SAFETY: as in `check`.
                unsafe { alarm.ring() }
            }
        }
        Some(wanted.until_next(elapsed))
    }

    /// Notes that so many samples more are due of `call`. Those of another call were missed.
    fn owe(&self, call: u64, samples: u32) {
        let add = |due| Some(Due(due).add(call, samples).0);
        // It always changes, and gives what was there.
        if let Ok(before) = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            && !Due(before).is_of(call)
        {
            self.missed.fetch_add(Due(before).samples().into(), Ordering::Relaxed);
        }
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
        let alarms = self.alarms.lock();
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

/// The samples that a profile wants.
#[derive(Debug)]
struct Sampling {
    callable: Callable,
    period: Duration,
    began: Instant,
    length: Duration,
    /// How many samples have passed.
    passed: u64,
}

impl Sampling {
    fn new(callable: Callable, hertz: u32, length: Duration) -> Self {
        Self { callable, period: Duration::from_secs(1) / hertz.max(1), began: Instant::now(), length, passed: 0 }
    }

    /// When the sample of this number is due, from the beginning on: at any moment of its period, by chance, so that no
    /// work that has a period as well is always, or never, met at the same place. A sequence that spreads more evenly
    /// would be in step with some works.
    fn at(&self, number: u64) -> Duration {
        let period = self.period.as_nanos() as u64;
        let chance = BuildHasherDefault::<DefaultHasher>::default().hash_one(number);
        let offset = (u128::from(period) * u128::from(chance)) >> 64;
        Duration::from_nanos(period * number + offset as u64)
    }

    /// How many samples have become due since the last look, when it is so long since the beginning.
    fn pass(&mut self, elapsed: Duration) -> u32 {
        let period = (elapsed.as_nanos() / self.period.as_nanos()) as u64;
        let passed = period + u64::from(self.at(period) <= elapsed);
        let before = std::mem::replace(&mut self.passed, passed);
        u32::try_from(passed - before).unwrap_or(u32::MAX)
    }

    /// How long it is from then to the next.
    fn until_next(&self, elapsed: Duration) -> Duration {
        self.at(self.passed).saturating_sub(elapsed)
    }
}

/// Samples that are due: in the upper half the lower one of the number of a call, in the lower half how many.
#[derive(Clone, Copy)]
struct Due(u64);

impl Due {
    const fn is_of(self, call: u64) -> bool {
        self.0 >> 32 == call & 0xFFFF_FFFF
    }

    const fn samples(self) -> u32 {
        self.0 as u32
    }

    /// These and as many more, if they are of the same call.
    const fn add(self, call: u64, samples: u32) -> Self {
        let before = if self.is_of(call) { self.samples() } else { 0 };
        Self(call << 32 | before.saturating_add(samples) as u64)
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
    use crate::engine::{Dialect, Engine, Frame, FunctionEngine, Host, Tick};

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

    /// Counts the samples that it is given, and ends the call after so many.
    struct Sampled<'a> {
        watch: &'a Watch,
        wanted: u32,
        taken: u32,
        ticks: u32,
        lines: Vec<u32>,
    }

    impl Host for Sampled<'_> {
        fn samples_due(&mut self) -> u32 {
            self.watch.take_due()
        }
        fn sample(&mut self, frames: &[Frame], samples: u32) {
            self.taken += samples;
            if let Some(Frame::Lua { line, .. }) = frames.first() {
                self.lines.push(*line);
            }
        }
        fn tick(&mut self) -> Tick {
            self.ticks += 1;
            if self.taken >= self.wanted { Tick::Kill("ERR ended") } else { Tick::Silence }
        }
    }

    /// Lets the thread rest, and waits until it sleeps.
    fn put_to_sleep(watch: &Watch) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while *watch.shared.order.lock() != Order::Asleep {
            assert!(Instant::now() < deadline, "the thread does not sleep");
            // In vain until it has followed the last order.
            watch.rest();
            std::thread::yield_now();
        }
        assert!(watch.rests());
    }

    #[test]
    fn a_call_wakes_the_thread_that_watches_it() {
        let mut engine = FunctionEngine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Callable::Function, Some(engine.vm().alarm()));
        for _ in 0..3 {
            put_to_sleep(&watch);
            let mut host = Hesitant { watch: &watch, asked: 0 };
            watch.begin(Callable::Function);
            assert!(!watch.rests());
            let result = engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host);
            watch.end();
            assert_eq!((result.is_err(), host.asked), (true, 4));
        }
        assert_eq!(watch.calls(), 3);
        watch.set_alarm(Callable::Function, None);
    }

    #[test]
    fn a_profile_wakes_the_thread_that_asks_for_its_samples() {
        let mut engine = FunctionEngine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Callable::Function, Some(engine.vm().alarm()));
        put_to_sleep(&watch);
        let mut host = Sampled { watch: &watch, wanted: 5, taken: 0, ticks: 0, lines: Vec::new() };
        watch.begin_sampling(Callable::Function, 1_000, Duration::from_secs(3_600));
        watch.begin(Callable::Function);
        assert!(engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host).is_err());
        watch.end();
        assert!(host.taken >= 5, "{}", host.taken);
        watch.set_alarm(Callable::Function, None);
    }

    #[test]
    fn the_thread_does_not_rest_while_there_is_something_to_watch() {
        let watch = Watch::start().unwrap();
        watch.begin(Callable::Script);
        watch.rest();
        assert!(!watch.rests());
        watch.end();
        watch.begin_sampling(Callable::Script, 1_000, Duration::from_secs(3_600));
        watch.rest();
        assert!(!watch.rests());
        watch.end_sampling();
        put_to_sleep(&watch);
    }

    #[test]
    fn no_order_is_lost_where_the_thread_is_to_rest() {
        let watch = Watch::start().unwrap();
        for asleep in [false, true] {
            if asleep {
                put_to_sleep(&watch);
            }
            watch.panic();
            watch.rest();
            let (deadline, mut faults) = (Instant::now() + Duration::from_secs(20), Vec::new());
            while faults.is_empty() && Instant::now() < deadline {
                faults = watch.faults();
                std::thread::yield_now();
            }
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
        // It ends, too.
        put_to_sleep(&watch);
    }

    #[test]
    fn samples_are_taken_at_their_rate_until_the_time_is_over() {
        let mut engine = FunctionEngine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Callable::Function, Some(engine.vm().alarm()));
        let mut host = Sampled { watch: &watch, wanted: 50, taken: 0, ticks: 0, lines: Vec::new() };
        let began = Instant::now();
        watch.begin_sampling(Callable::Function, 1_000, Duration::from_secs(3_600));
        watch.begin(Callable::Function);
        let result = engine.load(b"\n\nfor i = 1, 2e9 do end", None, &mut host);
        watch.end();
        assert!(result.is_err() && host.taken >= 50, "{}", host.taken);
        let passed = u128::from(host.taken) + u128::from(watch.missed());
        assert!(began.elapsed().as_millis() + 1 >= passed, "{passed} in {:?}", began.elapsed());
        assert!(host.lines.iter().all(|&line| line == 3), "{:?}", host.lines);
        watch.end_sampling();
        assert_eq!(watch.take_due(), 0);
        // One that is over by itself before the call begins.
        watch.begin_sampling(Callable::Function, 10_000, Duration::from_nanos(1));
        let before = host.taken;
        host.wanted = 0;
        watch.begin(Callable::Function);
        assert!(engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host).is_err());
        watch.end();
        assert_eq!((host.taken, watch.missed()), (before, 0));
        watch.set_alarm(Callable::Function, None);
    }

    #[test]
    fn a_sample_is_owed_by_the_call_that_was_running() {
        let due = Due(0).add(0x1_0000_0007, 2).add(0x1_0000_0007, 3);
        assert!(due.is_of(0x1_0000_0007) && !due.is_of(0x1_0000_0009));
        assert_eq!(due.samples(), 5);
        assert_eq!(due.add(9, 1).samples(), 1);
        assert_eq!(due.add(7, u32::MAX).samples(), u32::MAX);
    }

    #[test]
    fn samples_fall_everywhere_in_their_periods_and_one_into_each() {
        let mut sampling = Sampling::new(Callable::Function, 1_000, Duration::from_secs(1));
        let period = sampling.period;
        let mut tenths = [0; 10];
        for number in 0..1_000 {
            let into = sampling.at(number) - period * number as u32;
            assert!(into < period);
            tenths[(into.as_nanos() * 10 / period.as_nanos()) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (70..=130).contains(count)), "{tenths:?}");
        // Of works with all kinds of periods, the first three fifths get that share.
        for length in [0.1, 0.3, 0.5, 0.999, 1.0, 1.3, 1.618, 2.0, 2.5, 2.618, 3.0, 4.236, 10.0] {
            let length = length * period.as_secs_f64();
            let is_early = |number: &u64| (sampling.at(*number).as_secs_f64() / length).fract() < 0.6;
            let share = (0..20_000).filter(is_early).count();
            assert!((11_700..=12_300).contains(&share), "{share} of 20000 with a period of {length}");
        }
        // However the looks fall, each sample is due once.
        let (mut elapsed, mut due) = (Duration::ZERO, 0);
        for step in [0, 1, 100, 999, 1_000, 1_001, 50_000, 3, 700_000] {
            elapsed += Duration::from_micros(step);
            due += u64::from(sampling.pass(elapsed));
            assert_eq!(due, (0..2_000).filter(|&number| sampling.at(number) <= elapsed).count() as u64);
            assert!(sampling.until_next(elapsed) <= period * 2);
        }
    }

    #[test]
    fn a_host_that_finds_it_too_early_is_asked_again() {
        let mut engine = FunctionEngine::new(Dialect::default()).unwrap();
        let watch = Watch::start().unwrap();
        watch.set_alarm(Callable::Function, Some(engine.vm().alarm()));
        let mut host = Hesitant { watch: &watch, asked: 0 };
        watch.begin(Callable::Function);
        // Comes to its own end if nobody else ends it.
        let result = engine.load(b"\nfor i = 1, 2e9 do end", None, &mut host);
        watch.end();
        watch.set_alarm(Callable::Function, None);
        assert_eq!((result.is_err(), host.asked), (true, 4));
    }
}
