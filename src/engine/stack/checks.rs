//! The invariant Bounds, checked: in debug builds, in `make checked` and by the fuzz targets. Elsewhere the checks are
//! nothing. One that fails panics in the method that asked for it.

use mlua::ffi;

use super::Stack;

impl Stack {
    /// The frame that `state` is in. The VM gives a native and a new state room for `LUA_MINSTACK` values above what is
    /// there.
    #[inline(always)]
    pub(super) fn frame(state: *mut ffi::lua_State) -> Self {
        Self {
            state,
            #[cfg(debug_assertions)]
            // SAFETY: Alive.
            room: std::cell::Cell::new(unsafe { ffi::lua_gettop(state) } + ffi::LUA_MINSTACK),
        }
    }

    /// Notes that the VM has made room for `count` values above those that are there.
    #[inline(always)]
    pub(super) fn note_room(&self, count: i32) {
        #[cfg(debug_assertions)]
        self.room.set(self.room.get().max(self.top() + count));
        let _ = count;
    }

    /// Notes that the VM has emptied the frame.
    #[inline(always)]
    pub(super) fn note_reset(&self) {
        #[cfg(debug_assertions)]
        self.room.set(ffi::LUA_MINSTACK);
    }

    /// There is room for `count` more values.
    #[inline(always)]
    pub(super) fn check_room(&self, count: i32) {
        #[cfg(debug_assertions)]
        assert!(self.top() + count <= self.room.get(), "no room for {count} values above {}", self.top());
        let _ = count;
    }

    /// The frame has `count` values.
    #[inline(always)]
    pub(super) fn check_values(&self, count: i32) {
        debug_assert!((0..=self.top()).contains(&count), "{count} values of {}", self.top());
    }

    /// `index` names a value of the frame, or a place of the VM that is no slot (a pseudo-index).
    #[inline(always)]
    pub(super) fn check_slot(&self, index: i32) {
        debug_assert!(
            index <= ffi::LUA_REGISTRYINDEX || (index != 0 && index.unsigned_abs() <= self.top().unsigned_abs()),
            "no slot {index} among {}",
            self.top()
        );
    }

    /// `index` may be read: it names a slot, or one above the top, which reads as none.
    #[inline(always)]
    pub(super) fn check_readable(&self, index: i32) {
        if index <= 0 {
            self.check_slot(index);
        }
    }

    /// There is a table at `index`.
    #[inline(always)]
    pub(super) fn check_table(&self, index: i32) {
        self.check_slot(index);
        debug_assert_eq!(self.type_name(index), "table", "in slot {index}");
    }

    /// The frame can be cut or filled to `top` values.
    #[inline(always)]
    pub(super) fn check_top(&self, top: i32) {
        if cfg!(debug_assertions) && top > self.top() {
            self.check_room(top - self.top());
        }
        debug_assert!(top >= 0 || -top - 1 <= self.top(), "{} values of {}", -top - 1, self.top());
    }

    /// A function lies below `arguments` values. Gives how many values lie below it.
    #[inline(always)]
    pub(super) fn check_call(&self, arguments: i32) -> i32 {
        self.check_values(arguments + 1);
        if cfg!(debug_assertions) { self.top() - arguments - 1 } else { 0 }
    }

    /// A call has left `results` values above the first `base`.
    #[inline(always)]
    pub(super) fn check_results(&self, base: i32, results: i32) {
        if results == Self::ALL {
            // The VM makes room for them.
            self.note_room(0);
        } else {
            debug_assert_eq!(self.top(), base + results, "after a call");
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::engine::Engine;
    use crate::engine::tests::engine;

    #[test]
    fn what_breaks_the_rules_panics_before_the_vm_sees_it() {
        type Misuse = fn(&Stack);
        let misuses: [(Misuse, &str); 6] = [
            (|stack| stack.pop(4), "4 values of 3"),
            (|stack| stack.insert(5), "no slot 5 among 3"),
            (|stack| drop(stack.kind(-4)), "no slot -4 among 3"),
            (|stack| drop(stack.raw_get_at(1, 1)), "in slot 1"),
            (|stack| (0..18).for_each(|_| stack.push_nil()), "no room for 1 values above 20"),
            (|stack| stack.call(3, 0), "4 values of 3"),
        ];
        for (misuse, text) in misuses {
            let engine = engine();
            let stack = &engine.vm().stack;
            let panic = catch_unwind(AssertUnwindSafe(|| misuse(stack))).expect_err(text);
            let found = panic.downcast_ref::<String>().expect("a text");
            assert!(found.contains(text), "{found} instead of {text}");
        }
    }
}
