//! The time limit of LOAD.
//!
//! A library's body is asked at the VM's safepoints whether its time is up. Raising again at every safepoint is what
//! beats code that would catch the error. Only bodies of libraries pay for it; calls of functions run without.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::stack::{Interrupt, Raise, Stack};

/// As long as the stock server lets the body of a library run.
pub const LOAD_LIMIT: Duration = Duration::from_millis(500);

thread_local! {
    /// When the load that runs on this thread has to end.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

struct LoadDeadline;

impl Interrupt for LoadDeadline {
    fn check(_: &Stack) -> Option<Raise> {
        let late = DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline);
        late.then(|| Raise::api("FUNCTION LOAD timeout"))
    }
}

/// Runs `body`, in which the code of `stack`'s VM is ended after `limit`; None lets it run.
pub fn limited<T>(stack: &Stack, limit: Option<Duration>, body: impl FnOnce() -> T) -> T {
    /// Disarms however `body` ends.
    struct Disarm<'a>(&'a Stack);
    impl Drop for Disarm<'_> {
        fn drop(&mut self) {
            self.0.set_interrupt::<LoadDeadline>(false);
            DEADLINE.set(None);
        }
    }
    let Some(limit) = limit else {
        return body();
    };
    DEADLINE.set(Some(Instant::now() + limit));
    stack.set_interrupt::<LoadDeadline>(true);
    let _disarm = Disarm(stack);
    body()
}
