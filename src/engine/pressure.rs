//! When the garbage of a VM with a memory limit is collected: the VM reports what it allocates, and is made to ask at
//! its next safepoint once it is time.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::alarm;
use super::memory::LEAST_GARBAGE;
use super::stack::{Growth, Stack};
use super::state::with_current;

/// Bytes that VMs have allocated since the last check. Checked only every [`LEAST_GARBAGE`] bytes: checking at each
/// allocation is measurably slow. VMs that run at the same time share the sum, and may lose a part of it to each other.
static UNCHECKED: AtomicUsize = AtomicUsize::new(0);

/// Follows the growth of a VM that has a limit, and of no other.
pub fn follow(stack: &Stack, has_limit: bool) {
    if has_limit {
        stack.follow_growth::<Pressure>();
    } else {
        stack.ignore_growth();
    }
}

struct Pressure;

impl Growth for Pressure {
    fn grown(stack: &Stack, bytes: usize) {
        let unchecked = UNCHECKED.load(Ordering::Relaxed).saturating_add(bytes);
        if unchecked < LEAST_GARBAGE {
            return UNCHECKED.store(unchecked, Ordering::Relaxed);
        }
        UNCHECKED.store(0, Ordering::Relaxed);
        with_current(|state| {
            if state.memory.is_full(stack) {
                alarm::arm(stack);
            }
        });
    }
}
