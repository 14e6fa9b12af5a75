//! Panics of the module's threads. They end neither the thread nor the server. Their messages are kept until the main
//! thread logs them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// At most this many messages are kept; later ones are dropped.
const LIMIT: usize = 16;

/// The message of a panic.
pub fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

/// The messages of a thread's panics.
#[derive(Default)]
pub struct Faults {
    any: AtomicBool,
    words: Mutex<Vec<String>>,
}

impl Faults {
    /// Runs `body`. Returns None after a panic, whose message is kept.
    pub fn catch<T>(&self, body: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(body)).map_err(|panic| self.keep(words(&*panic))).ok()
    }

    fn keep(&self, what: &str) {
        let mut words = self.words.lock();
        if words.len() < LIMIT {
            words.push(what.to_owned());
        }
        self.any.store(true, Ordering::Release);
    }

    /// Takes the messages that were kept since the last call.
    pub fn take(&self) -> Vec<String> {
        if !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.words.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_once_in_its_own_words() {
        let faults = Faults::default();
        assert_eq!(faults.catch(|| 1), Some(1));
        assert_eq!(faults.take(), [""; 0]);
        assert_eq!(faults.catch::<()>(|| panic!("in a test")), None);
        assert_eq!(faults.catch::<()>(|| panic!("number {}", 2)), None);
        assert_eq!(faults.catch::<()>(|| std::panic::panic_any(7)), None);
        assert_eq!(faults.take(), ["in a test", "number 2", "a panic without words"]);
        assert_eq!(faults.take(), [""; 0]);
    }

    #[test]
    fn no_more_are_kept_than_a_log_wants() {
        let faults = Faults::default();
        for _ in 0..100 {
            faults.catch::<()>(|| panic!("again"));
        }
        assert_eq!(faults.take().len(), LIMIT);
    }
}
