//! The VM's callbacks: it asks whether its code may go on, and reports what it allocates.
//!
//! One more thread writes the first of them: the watch rings it while the VM runs.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use mlua::ffi;

use super::{Raise, Stack, raising};

impl Stack {
    /// A safepoint inside a native that takes long: asks what the VM asks at its own. Without anything to ask it is one
    /// load. May raise.
    #[inline]
    pub fn safepoint(&self) {
        let callback = self.callback();
        if !callback.is_null() {
            self.ask(callback);
        }
    }

    /// Whether there is something to ask. One load.
    #[inline]
    pub fn is_armed(&self) -> bool {
        !self.callback().is_null()
    }

    /// What the VM asks; null for nothing.
    #[inline]
    fn callback(&self) -> *mut c_void {
        // SAFETY: Alive. An optional function has the size and alignment of a pointer, null for none; another thread
        // may write it.
        unsafe { AtomicPtr::from_ptr(self.interrupt_slot().0.cast::<*mut c_void>()) }.load(Ordering::Acquire)
    }

    #[cold]
    fn ask(&self, callback: *mut c_void) {
        // SAFETY: what is in the slot is null or a callback of this type (`InterruptSlot::store`). Alive, Raising.
        unsafe {
            let callback: unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int) = std::mem::transmute(callback);
            callback(self.state, -1);
        }
    }

    /// Stops the VM from asking at its safepoints.
    pub fn silence(&self) {
        // SAFETY: Alive.
        unsafe { self.interrupt_slot().store(ptr::null_mut()) }
    }

    /// The address of the VM's callback.
    pub fn interrupt_slot(&self) -> InterruptSlot {
        // SAFETY: Alive; the callbacks live as long as the VM.
        InterruptSlot(unsafe { &raw mut (*ffi::lua_callbacks(self.state)).interrupt })
    }

    /// Makes the VM call `callback` at loop edges, calls and collector steps.
    pub fn arm(&self, callback: Callback) {
        // SAFETY: Alive.
        unsafe { self.interrupt_slot().arm(callback) }
    }

    /// Makes the VM report each allocation to `G`.
    pub fn follow_growth<G: Growth>(&self) {
        // SAFETY: Alive; the callbacks live as long as the VM, which reads this one on its own thread only.
        unsafe { (*ffi::lua_callbacks(self.state)).onallocate = Some(grown::<G>) }
    }

    /// Makes the VM report its allocations to nobody.
    pub fn ignore_growth(&self) {
        // SAFETY: as in `follow_growth`.
        unsafe { (*ffi::lua_callbacks(self.state)).onallocate = None }
    }
}

/// Decides at the VM's safepoints whether the running code may go on.
pub trait Interrupt {
    /// What is raised into the running code; None lets it go on.
    fn check(stack: &Stack) -> Option<Raise>;
}

/// What a VM can be made to ask.
#[derive(Clone, Copy)]
pub struct Callback(unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int));

impl Callback {
    /// Asks `I`.
    pub const fn of<I: Interrupt>() -> Self {
        Self(interrupt::<I>)
    }
}

/// The address of a VM's interrupt callback. The VM reads it anew at each safepoint and allows that another thread
/// writes it.
#[derive(Clone, Copy, Debug)]
pub struct InterruptSlot(*mut Option<unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int)>);

// SAFETY: only an address; its methods say when it may be used.
unsafe impl Send for InterruptSlot {}

impl InterruptSlot {
    /// Makes the VM ask.
    ///
    /// # Safety
    /// The VM is alive.
    pub unsafe fn arm(self, callback: Callback) {
        // SAFETY: the caller's promise.
        unsafe { self.store(callback.0 as *mut c_void) }
    }

    /// # Safety
    /// The VM is alive, and `callback` is null or a callback of its type.
    unsafe fn store(self, callback: *mut c_void) {
        // SAFETY: the caller's promise. An optional function has the size and alignment of a pointer, null for none.
        unsafe { AtomicPtr::from_ptr(self.0.cast::<*mut c_void>()) }.store(callback, Ordering::Release);
    }
}

extern "C-unwind" fn interrupt<I: Interrupt>(state: *mut ffi::lua_State, collecting: c_int) {
    // From inside a collector step nothing may be raised.
    if collecting >= 0 {
        return;
    }
    let stack = Stack::frame(state);
    // The function that runs may be one of Lua, so nothing but this says that there are frames of ours.
    let raised = raising::without_jumps(|| I::check(&stack).map(|raise| stack.push_raised(raise)));
    if raised.is_some() {
        stack.raise_top()
    }
}

/// Follows what a VM allocates.
pub trait Growth {
    /// The VM has allocated `bytes` bytes. It is in the middle of making a value: only its size may be read, and only
    /// its interrupt set.
    fn grown(stack: &Stack, bytes: usize);
}

extern "C-unwind" fn grown<G: Growth>(
    state: *mut ffi::lua_State,
    _block: *mut c_void,
    old: usize,
    new: usize,
    _category: u8,
    _type: c_int,
    _tag: c_int,
) {
    G::grown(&Stack::frame(state), new.saturating_sub(old));
}
