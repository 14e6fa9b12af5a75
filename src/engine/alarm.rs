//! What ends a call or a load that takes too long: the one owner of the VM's interrupt.
//!
//! While a function runs in time, the VM has no callback to ask, and running costs nothing more. There are four
//! reasons to put one there: garbage is to be collected under the memory limit, a load has a deadline, another
//! thread finds a call overdue, or a profile wants a sample. It is the same callback for all, so none can take the
//! place of another, and it is taken away only when no reason is left. At the VM's safepoints it collects, samples,
//! checks the deadline and asks the host, which may let other clients in or end the call.

#![allow(unsafe_code, reason = "rings in a VM from another thread")]

use std::time::Duration;

use super::deadline::Deadline;
use super::host::Tick;
use super::sampling::sample;
use super::stack::{Callback, Interrupt, InterruptSlot, Raise, Stack};
use super::state::{VmState, with_current};

/// The one callback.
const ASKING: Callback = Callback::of::<Overdue>();

/// Makes a VM ask its host, from any thread.
#[derive(Clone, Copy, Debug)]
pub struct Alarm(InterruptSlot);

impl Alarm {
    pub(super) fn new(stack: &Stack) -> Self {
        Self(stack.interrupt_slot())
    }

    /// Makes the VM ask from its next safepoint on.
    ///
    /// # Safety
    /// The VM is alive: the caller holds the lock under which its engine is given up.
    pub unsafe fn ring(self) {
        // SAFETY: the caller's promise.
        unsafe { self.0.arm(ASKING) }
    }
}

/// Makes the VM of `stack` ask from its next safepoint on.
pub fn arm(stack: &Stack) {
    stack.arm(ASKING);
}

/// Runs `body`, a load in the VM of `stack`, and ends its code after `limit`; without one it may run for ever.
pub fn limited<T>(state: &VmState, stack: &Stack, limit: Option<Duration>, body: impl FnOnce() -> T) -> T {
    /// Forgets the deadline however `body` ends.
    struct Leave<'a>(&'a VmState, &'a Stack);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.patience.set_deadline(None);
            self.1.silence();
        }
    }
    let Some(limit) = limit else {
        return body();
    };
    state.patience.set_deadline(Some(Deadline::new(limit)));
    arm(stack);
    let _leave = Leave(state, stack);
    body()
}

/// What the VM asks at its safepoints: whether the call or load may go on. Collects garbage if it is time.
struct Overdue;

impl Interrupt for Overdue {
    fn check(stack: &Stack) -> Option<Raise> {
        let verdict = with_current(|state| {
            state.memory.relieve(stack);
            sample(state, stack, None);
            let patience = &state.patience;
            let sampled = patience.take_sampled();
            let is_due = || if sampled { patience.is_due_beside_sample() } else { patience.is_due() };
            if patience.verdict().is_none() && is_due() {
                patience.check_deadline();
                if patience.verdict().is_none() {
                    ask_host(state, stack);
                }
            } else if sampled && !patience.needs_callback() {
                // An alarm that was rung for another reason as well is rung again.
                stack.silence();
            }
            patience.verdict()
        });
        match verdict {
            Some(verdict) => verdict.map(Raise::api),
            None => {
                // Armed for a call that has ended since.
                stack.silence();
                None
            }
        }
    }
}

/// Asks the host, and makes the VM stop asking when neither the host nor a deadline wants to be asked again.
fn ask_host(state: &VmState, stack: &Stack) {
    match state.with_host(|host| host.tick()) {
        Ok(Tick::Kill(text)) => state.patience.end(text),
        Ok(Tick::GoOn) => state.patience.set_insists(true),
        // Without a host the VM is inside a command of its own, and asks again afterwards.
        Ok(Tick::Silence) | Err(_) => {
            state.patience.set_insists(false);
            if !state.patience.has_deadline() {
                stack.silence();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::time::{Duration, Instant};

    use super::super::sampling::DEPTH_LIMIT;
    use super::super::tests::{Echo, Last, engine, load};
    use super::super::{Alarm, CallMode, Caller, Engine, Frame, FunctionEngine, Host, LogLevel, Tick, load_timeouts};

    const LIMIT: Duration = Duration::from_millis(50);

    /// Rings alarms whenever something is logged, loads a library into another engine at each command, and ends the
    /// call when it is asked.
    struct Ringing<'a> {
        alarm: Alarm,
        other: Option<&'a mut FunctionEngine>,
        tick: Tick,
        asked: u32,
    }

    impl Ringing<'_> {
        fn ring(&self) {
            // SAFETY: the engine is borrowed by the call or load that has this host.
            unsafe { self.alarm.ring() }
        }
    }

    impl Host for Ringing<'_> {
        fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
            if let Some(other) = &mut self.other {
                load(other, "return 1", &mut Echo::default());
            }
            self.ring();
            b"+OK\r\n"
        }
        fn tick(&mut self) -> Tick {
            self.asked += 1;
            self.tick
        }
        fn log(&mut self, _: LogLevel, _: &[u8]) {
            self.ring();
        }
    }

    /// Wants a sample at the safepoints at which its alarm rings, and may do so at each command.
    struct Sampled {
        alarm: Alarm,
        due: u32,
        asked: u32,
        seen: Vec<Vec<String>>,
    }

    impl Host for Sampled {
        fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
            self.due = 1;
            // SAFETY: the engine is borrowed by the call that has this host.
            unsafe { self.alarm.ring() }
            b"+OK\r\n"
        }
        fn samples_due(&mut self) -> u32 {
            self.asked += 1;
            std::mem::take(&mut self.due)
        }
        fn sample(&mut self, frames: &[Frame], samples: u32) {
            assert_eq!(samples, 1);
            self.seen.push(frames.iter().map(|frame| shown(*frame)).collect());
        }
        fn log(&mut self, _: LogLevel, _: &[u8]) {
            // SAFETY: as in `call`.
            unsafe { self.alarm.ring() }
            self.due = 1;
        }
    }

    fn shown(frame: Frame) -> String {
        let text = |text| String::from_utf8_lossy(text).into_owned();
        match frame {
            Frame::Lua { name, chunk, line } => {
                format!("{}:{}{line}", name.map_or("?".to_owned(), text), chunk.map_or(String::new(), text))
            }
            Frame::Native(name) => text(name),
            Frame::Command { by, name } => format!("{} {}", text(by), text(name)),
            Frame::Coroutine => "coroutine".to_owned(),
            Frame::Cut => "cut".to_owned(),
        }
    }

    /// The samples of a library's function `f`, and how often its host was asked for some.
    fn samples(body: &str, limit: usize, native: bool) -> (Vec<Vec<String>>, u32) {
        let mut engine = engine();
        engine.vm().set_memory_limit(limit);
        let slot = engine.load(body.as_bytes(), None, &mut Echo::default()).unwrap().functions[0].slot;
        while native && !engine.vm().compile_native(slot) {}
        let mut host = Sampled { alarm: engine.vm().alarm(), due: 0, asked: 0, seen: Vec::new() };
        let mut last = Last::default();
        assert_eq!(engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut host, &mut last), Ok(()));
        (host.seen, host.asked)
    }

    #[test]
    fn a_sample_shows_what_is_running_and_where() {
        let body = "\n\
            local function inner()\n\
                redis.log(redis.LOG_NOTICE, 'x')\n\
                for i = 1, 1000 do\n\
                end\n\
                redis.call('hGet',\n\
                    'key')\n\
            end\n\
            redis.register_function('f', function()\n\
                inner()\n\
                coroutine.wrap(function() inner() end)()\n\
                return 1\n\
            end)";
        for limit in [0, 64 << 20] {
            for native in [false, true] {
                let (seen, asked) = samples(body, limit, native);
                let command = "call hGet, inner:6, ?:";
                let expected = [
                    "inner:4, ?:10".to_owned(),
                    format!("{command}10"),
                    "inner:4, ?:11, coroutine, ?:11".to_owned(),
                    format!("{command}11, coroutine, ?:11"),
                ];
                let seen: Vec<String> = seen.iter().map(|frames| frames.join(", ")).collect();
                assert_eq!(seen, expected, "limit {limit}, native {native}");
                // Each ring is answered once; then the VM asks nobody until the next.
                assert!(asked <= 8, "asked {asked} times");
            }
        }
    }

    #[test]
    fn the_innermost_frames_of_a_deep_stack_are_shown() {
        let body = "\nlocal function deep(n) if n == 0 then redis.call('x') return 0 end return deep(n - 1) + 1 end\n\
                    redis.register_function('f', function() return deep(1000) end)";
        let (seen, _) = samples(body, 0, false);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].len(), &*seen[0][0], &*seen[0][1]), (DEPTH_LIMIT + 1, "call x", "deep:2"));
        assert_eq!(seen[0].last().map(String::as_str), Some("cut"));
    }

    fn ringing(engine: &FunctionEngine, tick: Tick) -> Ringing<'static> {
        Ringing { alarm: engine.vm().alarm(), other: None, tick, asked: 0 }
    }

    /// Comes to its own end if nobody else ends it.
    const LONG: &str = "local t = {} for i = 1, 1e8 do t[i % 8] = i end";

    #[test]
    fn a_ring_that_comes_late_takes_no_deadline_away() {
        for body in ["redis.log(redis.LOG_WARNING, 'x')", "for i = 1, 1e5 do redis.log(redis.LOG_WARNING, 'x') end"] {
            for tick in [Tick::Silence, Tick::GoOn] {
                let mut engine = engine();
                let mut host = ringing(&engine, tick);
                let (began, timeouts) = (Instant::now(), load_timeouts());
                let source = format!("\n{body} {LONG} redis.register_function('f', function() end)");
                let refused = engine.load(source.as_bytes(), Some(LIMIT), &mut host).unwrap_err();
                assert_eq!(refused.0, b"ERR Error registering functions: ERR FUNCTION LOAD timeout", "{body}");
                assert!(began.elapsed() >= LIMIT && load_timeouts() > timeouts, "{body}");
            }
        }
    }

    #[test]
    fn a_deadline_and_a_limit_of_memory_are_kept_at_the_same_time() {
        let (mut engine, mut host) = (engine(), Echo::default());
        engine.vm().set_memory_limit(2 << 20);
        let body = "\nfor i = 1, 2e7 do local t = {i} end";
        let refused = engine.load(body.as_bytes(), Some(LIMIT), &mut host).unwrap_err();
        assert_eq!(refused.0, b"ERR Error registering functions: ERR FUNCTION LOAD timeout");
        assert!(engine.vm().memory() <= 2 << 20);
    }

    #[test]
    fn nobody_is_asked_after_a_load_with_a_deadline() {
        let mut engine = engine();
        let mut host = ringing(&engine, Tick::Kill("ended"));
        let body = "\nredis.register_function('f', function() for i = 1, 1e6 do end return 'done' end)";
        let slot = engine.load(body.as_bytes(), Some(LIMIT), &mut Echo::default()).unwrap().functions[0].slot;
        let mut last = Last::default();
        assert_eq!(engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut host, &mut last), Ok(()));
        assert_eq!(host.asked, 0);
    }

    #[test]
    fn a_load_in_another_vm_leaves_the_running_call_its_alarm() {
        let (mut engine, mut other) = (engine(), engine());
        let body = format!("redis.call('x') {LONG}");
        let slot = load(&mut engine, &body, &mut Echo::default());
        let mut host = ringing(&engine, Tick::Kill("ended"));
        host.other = Some(&mut other);
        let mut last = Last::default();
        let ended = engine.call(slot, "f", [].into_iter(), [].into_iter(), &mut host, &mut last);
        assert!(ended.unwrap_err().0.starts_with(b"ERR ended"));
    }
}
