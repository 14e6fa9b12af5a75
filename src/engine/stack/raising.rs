//! How the VM raises, in the place of its own two functions for that.
//!
//! The VM knows two ways: an exception of C++, or `longjmp`. An exception takes some 30,000 instructions, most of them
//! to find out what each frame on the way has to drop; and frames of Rust may have something to drop, over which no jump
//! goes. Here it is a jump where nothing on the way has anything to drop, and a panic everywhere else: one that is
//! caught where the VM catches, and that no hook hears of.
//!
//! Between the place that catches and the one that raises there are frames of the VM, none of which has a destructor
//! (`tests/integration/raising.rs`), and those of natives that run. Each native that runs has an entry in the VM's own
//! list of calls. So there is a jump if all entries since then are functions of Lua, but for a native that raises as
//! the last thing that it does: what it owned is dropped by then.
//!
//! The linker takes these two functions because the VM's are weak (`vm/raising.h`). Where that header is not included
//! the VM's own stay, and raise an exception each time; so nothing else here may depend on which it is.

use std::any::Any;
use std::arch::global_asm;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mlua::ffi::{self, lua_State};

/// What runs in protected mode.
type Body = unsafe extern "C-unwind" fn(*mut lua_State, *mut c_void);

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b"
    };
}

// The names are those that the compiler of C++ makes of `luaD_rawrunprotected(lua_State*, void (*)(lua_State*, void*),
// void*)` and `luaD_throw(lua_State*, int)`. They are weak here as well: of two such the linker takes the first, and
// this file comes before the VM's library; a VM that was built without the header keeps its own.
global_asm!(
    ".pushsection .text",
    ".weak _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, _Z10luaD_throwP9lua_Statei",
    ".hidden _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, _Z10luaD_throwP9lua_Statei",
    ".type _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, @function",
    ".type _Z10luaD_throwP9lua_Statei, @function",
    "_Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_:",
    concat!(jump!(), " {run_protected}"),
    "_Z10luaD_throwP9lua_Statei:",
    concat!(jump!(), " {throw}"),
    ".popsection",
    run_protected = sym run_protected,
    throw = sym throw,
);

// What a function keeps for its caller: saved by the first, put back from there by the second, which so returns from the
// first a second time, or rather in the place of all that it has called.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text",
    ".globl shadow_vm_run, shadow_vm_land",
    ".hidden shadow_vm_run, shadow_vm_land",
    ".type shadow_vm_run, @function",
    ".type shadow_vm_land, @function",
    "shadow_vm_run:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    ".cfi_offset rbx, -24",
    ".cfi_offset r12, -32",
    ".cfi_offset r13, -40",
    ".cfi_offset r14, -48",
    ".cfi_offset r15, -56",
    "sub rsp, 8",
    "mov [rdi], rsp",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "call rax",
    "xor eax, eax",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size shadow_vm_run, . - shadow_vm_run",
    "shadow_vm_land:",
    "lea rsp, [rdi + 8]",
    "mov eax, esi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".size shadow_vm_land, . - shadow_vm_land",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text",
    ".globl shadow_vm_run, shadow_vm_land",
    ".hidden shadow_vm_run, shadow_vm_land",
    ".type shadow_vm_run, @function",
    ".type shadow_vm_land, @function",
    ".p2align 2",
    "shadow_vm_run:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-160]!",
    ".cfi_def_cfa_offset 160",
    ".cfi_offset x29, -160",
    ".cfi_offset x30, -152",
    "mov x29, sp",
    ".cfi_def_cfa x29, 160",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    ".cfi_offset x19, -144",
    ".cfi_offset x20, -136",
    ".cfi_offset x21, -128",
    ".cfi_offset x22, -120",
    ".cfi_offset x23, -112",
    ".cfi_offset x24, -104",
    ".cfi_offset x25, -96",
    ".cfi_offset x26, -88",
    ".cfi_offset x27, -80",
    ".cfi_offset x28, -72",
    ".cfi_offset b8, -64",
    ".cfi_offset b9, -56",
    ".cfi_offset b10, -48",
    ".cfi_offset b11, -40",
    ".cfi_offset b12, -32",
    ".cfi_offset b13, -24",
    ".cfi_offset b14, -16",
    ".cfi_offset b15, -8",
    "str x29, [x0]",
    "mov x9, x1",
    "mov x0, x2",
    "mov x1, x3",
    "blr x9",
    "mov w0, wzr",
    "ldp d14, d15, [sp, #144]",
    "ldp d12, d13, [sp, #128]",
    "ldp d10, d11, [sp, #112]",
    "ldp d8, d9, [sp, #96]",
    "ldp x27, x28, [sp, #80]",
    "ldp x25, x26, [sp, #64]",
    "ldp x23, x24, [sp, #48]",
    "ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #160",
    ".cfi_def_cfa sp, 0",
    "ret",
    ".cfi_endproc",
    ".size shadow_vm_run, . - shadow_vm_run",
    "shadow_vm_land:",
    "mov sp, x0",
    "mov w0, w1",
    "ldp d14, d15, [sp, #144]",
    "ldp d12, d13, [sp, #128]",
    "ldp d10, d11, [sp, #112]",
    "ldp d8, d9, [sp, #96]",
    "ldp x27, x28, [sp, #80]",
    "ldp x25, x26, [sp, #64]",
    "ldp x23, x24, [sp, #48]",
    "ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #160",
    "ret",
    ".size shadow_vm_land, . - shadow_vm_land",
    ".popsection",
);

unsafe extern "C-unwind" {
    /// Runs `body(state, data)` and gives 0; or what [`land`] is called with meanwhile. Notes in `landing` where that
    /// is.
    #[link_name = "shadow_vm_run"]
    fn run(landing: *mut Landing, body: Body, state: *mut lua_State, data: *mut c_void) -> c_int;
    /// Returns `status` from the call of [`run`] that has noted `stack`. It is running.
    #[link_name = "shadow_vm_land"]
    fn land(stack: *mut c_void, status: c_int) -> !;
}

/// A place where the VM catches.
#[repr(C)]
struct Landing {
    /// Noted by [`run`].
    stack: *mut c_void,
    /// What raises in another state of the VM is caught elsewhere.
    state: *mut lua_State,
    /// How many entries the state's list of calls had. None of them runs before this place is left.
    depth: c_int,
    /// The one around this one.
    outer: *const Landing,
    #[cfg(debug_assertions)]
    natives: u32,
}

thread_local! {
    /// The innermost place where the VM catches, of this thread; null where that is the VM's own affair.
    static INNERMOST: Cell<*const Landing> = const { Cell::new(ptr::null()) };
    /// How many natives run on this thread.
    #[cfg(debug_assertions)]
    static NATIVES: Cell<u32> = const { Cell::new(0) };
}

/// What unwinds as a panic: the VM's number for the kind of its error, whose value is on the VM's stack.
struct Raised(c_int);

/// Runs `body` and gives 0, or the number of the error that it raised. The VM calls this.
unsafe extern "C-unwind" fn run_protected(state: *mut lua_State, body: Body, data: *mut c_void) -> c_int {
    // A coroutine that goes on where it left off (it has another status until it does) returns from what is in its list
    // already, and calls anew in its place.
    // SAFETY: the VM passes a state of its own.
    let depth = unsafe { if ffi::lua_status(state) == 0 { ffi::lua_stackdepth(state) } else { 0 } };
    let mut landing = Landing {
        stack: ptr::null_mut(),
        state,
        depth,
        outer: INNERMOST.get(),
        #[cfg(debug_assertions)]
        natives: NATIVES.get(),
    };
    let landing = &raw mut landing;
    INNERMOST.set(landing);
    // SAFETY: the VM's function with what the VM gives it. The address of `landing` is forgotten below, before it ends.
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { run(landing, body, state, data) }));
    // SAFETY: a local of this function, which nobody has a reference to.
    unsafe {
        INNERMOST.set((*landing).outer);
        #[cfg(debug_assertions)]
        NATIVES.set((*landing).natives);
    }
    result.unwrap_or_else(caught)
}

/// The number of the VM's error; any other panic goes on.
#[cold]
fn caught(panic: Box<dyn Any + Send>) -> c_int {
    match panic.downcast::<Raised>() {
        Ok(raised) => raised.0,
        Err(panic) => resume_unwind(panic),
    }
}

/// Raises. The VM calls this.
unsafe extern "C-unwind" fn throw(state: *mut lua_State, status: c_int) -> ! {
    // Anything else, such as a refusal of memory, can be raised in the middle of what a callback of the VM does.
    if status == ffi::LUA_ERRRUN {
        // SAFETY: the VM passes the state that runs.
        unsafe { jump(state, 0) }
    }
    resume_unwind(Box::new(Raised(status)))
}

/// Raises the value on top, as the last thing that the running native does.
///
/// # Safety
/// `state` is that of the native. Nothing is left to be dropped in the frames of Rust that it has entered.
pub(super) unsafe fn leave(state: *mut lua_State) -> ! {
    // SAFETY: the caller's promise, and the function's on top of the list of calls is that native.
    unsafe {
        jump(state, 1);
        ffi::lua_error(state)
    }
}

/// Goes to where the VM catches, if there are only functions of Lua on the way; but for the innermost `finished` entries
/// of the list of calls.
///
/// # Safety
/// `state` is running. No frame of Rust that was entered since the innermost function began has anything to drop.
unsafe fn jump(state: *mut lua_State, finished: c_int) {
    let landing = INNERMOST.get();
    // SAFETY: a landing is in its function, which runs, for as long as its address is known; the state is alive.
    unsafe {
        if landing.is_null() || (*landing).state != state {
            return;
        }
        let levels = ffi::lua_stackdepth(state) - (*landing).depth;
        if levels < finished || !(finished..levels).all(|level| is_lua(state, level)) {
            return;
        }
        #[cfg(debug_assertions)]
        assert_eq!(NATIVES.get(), (*landing).natives + finished.unsigned_abs(), "a jump over a native");
        unpoison();
        land((*landing).stack, ffi::LUA_ERRRUN)
    }
}

/// Whether the function at `level` is written in Lua.
///
/// # Safety
/// `state` is running, and has this level.
unsafe fn is_lua(state: *mut lua_State, level: c_int) -> bool {
    let mut activation = MaybeUninit::<ffi::lua_Debug>::uninit();
    // SAFETY: the VM writes the one field that it is asked for; -1 for functions that are not written in Lua.
    unsafe {
        ffi::lua_getinfo(state, level, c"l".as_ptr(), activation.as_mut_ptr()) != 0
            && (*activation.as_ptr()).currentline >= 0
    }
}

/// Runs `body`, from which nothing is raised by a jump: a callback of the VM, which has no entry in its list of calls.
pub(super) fn without_jumps<T>(body: impl FnOnce() -> T) -> T {
    /// Sets the place again however `body` ends.
    struct Back(*const Landing);
    impl Drop for Back {
        fn drop(&mut self) {
            INNERMOST.set(self.0);
        }
    }
    let _back = Back(INNERMOST.replace(ptr::null()));
    body()
}

/// A native begins.
#[inline(always)]
pub(super) fn begun() {
    #[cfg(debug_assertions)]
    NATIVES.set(NATIVES.get() + 1);
}

/// A native returns.
#[inline(always)]
pub(super) fn returned() {
    #[cfg(debug_assertions)]
    NATIVES.set(NATIVES.get() - 1);
}

/// Tells the sanitizer that the frames up to a landing are gone.
#[inline(always)]
fn unpoison() {
    #[cfg(sanitized = "address")]
    {
        unsafe extern "C" {
            safe fn __asan_handle_no_return();
        }
        __asan_handle_no_return();
    }
}
