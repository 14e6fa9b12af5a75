//! Refuses a VM one request for memory, for tests: any of them may be the one that goes over the limit.
//!
//! The VM's allocator refuses whole pages and large blocks. Which request of the VM needs a new page depends on all
//! that came before; here each of them can be the one. As with the allocator, a VM without a limit is refused nothing,
//! nor is what mlua does on its own account.

use std::cell::Cell;
use std::ffi::c_void;

/// What mlua's allocator knows of a VM, up to what is read of it.
#[repr(C)]
struct Allocator {
    _used: isize,
    limit: isize,
    is_ignored: bool,
}

thread_local! {
    /// How many requests are still granted; None for all.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    /// Whether one was refused.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the request that comes now is to be refused.
///
/// # Safety
/// `allocator` is what mlua gives its allocator of a VM that is alive.
pub unsafe fn is_due(allocator: *const c_void) -> bool {
    let Some(left) = LEFT.get() else { return false };
    // SAFETY: the caller's promise; `the_limit_is_read_where_it_is` looks at the layout.
    let Allocator { limit, is_ignored, .. } = unsafe { &*allocator.cast::<Allocator>() };
    if *limit == 0 || *is_ignored {
        return false;
    }
    LEFT.set(left.checked_sub(1));
    REFUSED.set(left == 0);
    left == 0
}

/// Runs `body`, in which request number `number` (from 0) is refused, of those that a limit could refuse. Whether it
/// came at all.
pub fn refusing<T>(number: u64, body: impl FnOnce() -> T) -> (T, bool) {
    LEFT.set(Some(number));
    REFUSED.set(false);
    let result = body();
    LEFT.set(None);
    (result, REFUSED.get())
}

#[cfg(test)]
mod tests {
    use mlua::ffi;

    use super::super::super::Engine;
    use super::super::super::tests::engine;
    use super::*;

    #[test]
    fn the_limit_is_read_where_it_is() {
        let engine = engine();
        let state = engine.vm().stack.state;
        let mut allocator = std::ptr::null_mut();
        for limit in [0, 1 << 30, (1 << 30) + 1] {
            engine.vm().set_memory_limit(limit);
            // SAFETY: the state is alive, and so is what its allocator was given.
            let known = unsafe {
                ffi::lua_getallocf(state, &raw mut allocator);
                &*allocator.cast::<Allocator>()
            };
            assert_eq!((known.limit as usize, known._used as usize), (limit, engine.vm().memory()));
            assert!(!known.is_ignored);
        }
    }
}
