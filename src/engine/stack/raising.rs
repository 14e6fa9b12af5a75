//! How the VM raises and catches, in the place of its own two functions for that.
//!
//! The VM knows two ways: an exception of C++, or `longjmp`. An exception takes some 30,000 instructions, most of them
//! to find out what each frame on the way has to drop. A jump takes none of that, and must not go over a frame that has
//! something to drop, which a frame of Rust may have. Here it is a jump where nothing on the way can have anything to
//! drop, and an exception everywhere else.
//!
//! Between the place that catches and the one that raises there are frames of the VM, none of which has a destructor
//! (`tests/integration/raising.rs`), and those of natives that run. Each native that runs has an entry in the VM's own
//! list of calls. So it is a jump if all entries since then are those of functions of Lua and of the VM's libraries, or
//! of a native that raises as the last thing that it does: what it owned is dropped by then. What else of Rust the VM
//! calls has no entry: it raises nothing, or has nothing to drop when it does.
//!
//! The linker takes these two functions because the VM's are weak (`vm/raising.h`). Where that header is not included
//! the VM's own stay, which raise an exception each time; so nothing else here may depend on which it is.

use std::arch::global_asm;
use std::cell::Cell;
use std::ffi::c_int;
use std::mem::{MaybeUninit, offset_of};

use mlua::ffi::{self, lua_State};

use super::layout::State;

/// The size of an entry of the list of calls (`CallInfo`), in bytes.
const CALL: isize = 48;

/// A place where the VM catches: a frame of the function below that runs `body(state, data)`. The innermost one of a
/// state is its data; null for none.
#[repr(C)]
struct Landing {
    /// How long the state's list of calls was, in bytes. None of what was in it runs before this place is left.
    calls: isize,
    state: *mut lua_State,
    /// The one around this one, of the same state.
    outer: *const Self,
}

// The names are those that the compiler of C++ makes of `luaD_rawrunprotected(lua_State*, void (*)(lua_State*, void*),
// void*)` and `luaD_throw(lua_State*, int)`. They are weak here as well: of two such the linker takes the first, and
// this file comes before the VM's library; a VM that was built without the header keeps its own. Both are here, so that
// it cannot take one alone.
global_asm!(
    ".pushsection .text",
    ".weak _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, _Z10luaD_throwP9lua_Statei",
    ".hidden _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, _Z10luaD_throwP9lua_Statei",
    ".type _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, @function",
    ".type _Z10luaD_throwP9lua_Statei, @function",
    ".globl shadow_vm_land, shadow_vm_jump",
    ".hidden shadow_vm_land, shadow_vm_jump, shadow_vm_throw, shadow_vm_catch",
    ".type shadow_vm_land, @function",
    ".type shadow_vm_jump, @function",
    "_Z10luaD_throwP9lua_Statei:",
    concat!(jump!(), " shadow_vm_throw"),
    "shadow_vm_jump:",
    concat!(jump!(), " {before_throw}"),
    ".popsection",
    before_throw = sym before_throw,
);

// `luaD_rawrunprotected` saves what a function keeps for its caller, makes a `Landing` of the end of its frame, and
// runs the rest in C++ (`vm/raising.cpp`). `shadow_vm_land` cuts the stack to that frame, and goes on in the function
// as if what it has called had returned. A coroutine that goes on where it left off (it has another status until it
// does) returns from what is in its list already, and calls anew in its place: so nothing counts as in the list.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text",
    "_Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "push rbx",
    ".cfi_def_cfa_offset 24",
    ".cfi_offset rbx, -24",
    "push r12",
    ".cfi_def_cfa_offset 32",
    ".cfi_offset r12, -32",
    "push r13",
    ".cfi_def_cfa_offset 40",
    ".cfi_offset r13, -40",
    "push r14",
    ".cfi_def_cfa_offset 48",
    ".cfi_offset r14, -48",
    "push r15",
    ".cfi_def_cfa_offset 56",
    ".cfi_offset r15, -56",
    "push qword ptr [rdi + {landing}]",
    ".cfi_def_cfa_offset 64",
    "push rdi",
    ".cfi_def_cfa_offset 72",
    "mov rax, [rdi + {call}]",
    "sub rax, [rdi + {first_call}]",
    "cmp byte ptr [rdi + {status}], 0",
    "jne 4f",
    "2:",
    "push rax",
    ".cfi_def_cfa_offset 80",
    "mov [rdi + {landing}], rsp",
    "call shadow_vm_catch",
    "3:",
    "add rsp, 8",
    ".cfi_def_cfa_offset 72",
    "pop rdi",
    ".cfi_def_cfa_offset 64",
    "pop qword ptr [rdi + {landing}]",
    ".cfi_def_cfa_offset 56",
    "pop r15",
    ".cfi_def_cfa_offset 48",
    "pop r14",
    ".cfi_def_cfa_offset 40",
    "pop r13",
    ".cfi_def_cfa_offset 32",
    "pop r12",
    ".cfi_def_cfa_offset 24",
    "pop rbx",
    ".cfi_def_cfa_offset 16",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    "4:",
    ".cfi_def_cfa_offset 72",
    "xor eax, eax",
    "jmp 2b",
    ".cfi_endproc",
    ".size _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, . - _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_",
    "shadow_vm_land:",
    "mov rsp, rdi",
    "mov eax, esi",
    "jmp 3b",
    ".size shadow_vm_land, . - shadow_vm_land",
    ".popsection",
    landing = const offset_of!(State, data),
    call = const offset_of!(State, call),
    first_call = const offset_of!(State, first_call),
    status = const offset_of!(State, status),
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text",
    ".p2align 2",
    "_Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_:",
    ".cfi_startproc",
    "sub sp, sp, #192",
    ".cfi_def_cfa_offset 192",
    "stp x29, x30, [sp, #32]",
    ".cfi_offset x29, -160",
    ".cfi_offset x30, -152",
    "add x29, sp, #32",
    "stp x19, x20, [sp, #48]",
    "stp x21, x22, [sp, #64]",
    "stp x23, x24, [sp, #80]",
    "stp x25, x26, [sp, #96]",
    "stp x27, x28, [sp, #112]",
    "stp d8, d9, [sp, #128]",
    "stp d10, d11, [sp, #144]",
    "stp d12, d13, [sp, #160]",
    "stp d14, d15, [sp, #176]",
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
    "ldr x9, [x0, #{landing}]",
    "stp x0, x9, [sp, #8]",
    "ldr x9, [x0, #{call}]",
    "ldr x10, [x0, #{first_call}]",
    "sub x9, x9, x10",
    "ldrb w10, [x0, #{status}]",
    "cmp w10, #0",
    "csel x9, x9, xzr, eq",
    "str x9, [sp]",
    "mov x9, sp",
    "str x9, [x0, #{landing}]",
    "bl shadow_vm_catch",
    "3:",
    "ldp x9, x10, [sp, #8]",
    "str x10, [x9, #{landing}]",
    "ldp d14, d15, [sp, #176]",
    "ldp d12, d13, [sp, #160]",
    "ldp d10, d11, [sp, #144]",
    "ldp d8, d9, [sp, #128]",
    "ldp x27, x28, [sp, #112]",
    "ldp x25, x26, [sp, #96]",
    "ldp x23, x24, [sp, #80]",
    "ldp x21, x22, [sp, #64]",
    "ldp x19, x20, [sp, #48]",
    "ldp x29, x30, [sp, #32]",
    "add sp, sp, #192",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    ".size _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_, . - _Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_",
    "shadow_vm_land:",
    "mov sp, x0",
    "mov w0, w1",
    "b 3b",
    ".size shadow_vm_land, . - shadow_vm_land",
    ".popsection",
    landing = const offset_of!(State, data),
    call = const offset_of!(State, call),
    first_call = const offset_of!(State, first_call),
    status = const offset_of!(State, status),
);

unsafe extern "C-unwind" {
    /// Goes on where `landing` is, with `status` as the number of the error. It is of a function that runs.
    #[link_name = "shadow_vm_land"]
    fn land(landing: *const Landing, status: c_int) -> !;
    /// The VM's function for raising: the one above, or its own.
    #[link_name = "_Z10luaD_throwP9lua_Statei"]
    pub(super) fn throw(state: *mut lua_State, status: c_int) -> !;
}

thread_local! {
    /// Whether there may be frames of Rust without an entry in the VM's list of calls.
    static BARRED: Cell<bool> = const { Cell::new(false) };
}

/// Raises by a jump, or returns. The VM's function that raises does this first.
unsafe extern "C-unwind" fn before_throw(state: *mut lua_State, status: c_int) {
    // Anything else, such as a refusal of memory, can be raised in the middle of what the VM does for a callback.
    if status == ffi::LUA_ERRRUN {
        // SAFETY: the VM passes the state that runs. What raises is a frame of the VM's.
        unsafe { jump(state, 0) }
    }
}

/// Raises the value on top, as the last thing that the running native does.
///
/// # Safety
/// `state` is that of the native. Nothing is left to be dropped in the frames of Rust that it has entered.
#[inline(always)]
pub(super) unsafe fn leave(state: *mut lua_State) -> ! {
    // SAFETY: the caller's promise, and the function's on top of the list of calls is that native.
    unsafe {
        jump(state, 1);
        // What `lua_error` does. Each frame on the way of an exception takes time.
        throw(state, ffi::LUA_ERRRUN)
    }
}

/// Goes to where the VM catches, if nothing on the way can have anything to drop. `finished` is how many functions
/// on top of the list of calls do not count: 1 for a native that has nothing left to be dropped.
///
/// # Safety
/// `state` is running. If `finished` is 1, its running function is such a native.
unsafe fn jump(state: *mut lua_State, finished: c_int) {
    // SAFETY: the state is alive. A landing is in a frame, which is there for as long as the state has its address.
    unsafe {
        let landing = ffi::lua_getthreaddata(state).cast::<Landing>().cast_const();
        // ThreadSanitizer keeps a stack of its own of what was called, of which a jump takes nothing away.
        if landing.is_null() || BARRED.get() || cfg!(sanitized = "thread") {
            return;
        }
        let levels = ffi::lua_stackdepth(state) - ((*landing).calls / CALL) as c_int;
        // Without a call since then, it is the VM at something else: a load, whose frames have destructors.
        if levels < 1 || !(finished..levels).all(|level| owns_nothing(state, level)) {
            return;
        }
        #[cfg(debug_assertions)]
        assert_eq!(natives::after(landing), 0, "a jump over a native");
        unpoison();
        #[cfg(test)]
        tests::JUMPS.set(tests::JUMPS.get() + 1);
        land(landing, ffi::LUA_ERRRUN)
    }
}

/// Whether the function at `level` is written in Lua or one of the VM's libraries. All natives of the engine have an
/// upvalue; of the VM's functions few have.
///
/// # Safety
/// `state` is running, and has this level.
unsafe fn owns_nothing(state: *mut lua_State, level: c_int) -> bool {
    let mut activation = MaybeUninit::<ffi::lua_Debug>::uninit();
    // SAFETY: the VM writes the two fields that it is asked for. The line is -1 for functions that are not written in
    // Lua.
    unsafe {
        let known = ffi::lua_getinfo(state, level, c"lu".as_ptr(), activation.as_mut_ptr()) != 0;
        let activation = activation.as_ptr();
        known && ((*activation).currentline >= 0 || (*activation).nupvals == 0)
    }
}

/// Runs `body`, in which nothing is raised by a jump: it has frames of Rust without an entry in the VM's list of calls,
/// or with one that looks like that of a function of the VM's.
pub(super) fn without_jumps<T>(body: impl FnOnce() -> T) -> T {
    /// Allows them again however `body` ends.
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            BARRED.set(self.0);
        }
    }
    let _back = Back(BARRED.replace(true));
    body()
}

/// A native that runs. Builds that check know of all that do.
pub(super) struct Running;

impl Running {
    /// A native begins. It has ended when what this gives is dropped, which a native that raises does before.
    #[inline(always)]
    pub(super) fn begin() -> Self {
        #[cfg(debug_assertions)]
        natives::begin();
        Self
    }
}

#[cfg(debug_assertions)]
impl Drop for Running {
    fn drop(&mut self) {
        natives::end();
    }
}

/// The natives that run on this thread, in builds that check.
#[cfg(debug_assertions)]
mod natives {
    use std::arch::asm;
    use std::cell::RefCell;

    thread_local! {
        /// Where the stack was when each began.
        static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    #[inline(always)]
    pub(super) fn begin() {
        let pointer;
        // SAFETY: reads a register.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        }
        RUNNING.with_borrow_mut(|running| running.push(pointer));
    }

    pub(super) fn end() {
        RUNNING.with_borrow_mut(Vec::pop);
    }

    /// How many began after `landing` was there.
    pub(super) fn after<T>(landing: *const T) -> usize {
        RUNNING.with_borrow(|running| running.iter().filter(|&&pointer| pointer < landing.addr()).count())
    }
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

#[cfg(test)]
mod tests;
