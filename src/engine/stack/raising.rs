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
//! calls has no entry: it raises nothing, or in [`without_jumps`].
//!
//! The linker takes these two functions because the VM's are weak (`vm/raising.h`). Where that header is not included
//! the VM's own stay, which raise an exception each time; so nothing else here may depend on which it is.

use std::arch::global_asm;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use mlua::ffi::{self, lua_State};

/// What runs in protected mode.
type Body = unsafe extern "C-unwind" fn(*mut lua_State, *mut c_void);

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    ($name:literal) => {
        concat!("jmp ", $name)
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    ($name:literal) => {
        concat!("b ", $name)
    };
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
    ".globl shadow_vm_jump",
    ".hidden shadow_vm_jump, shadow_vm_throw",
    ".type shadow_vm_jump, @function",
    "_Z20luaD_rawrunprotectedP9lua_StatePFvS0_PvES1_:",
    jump!("{run_protected}"),
    "_Z10luaD_throwP9lua_Statei:",
    jump!("shadow_vm_throw"),
    "shadow_vm_jump:",
    jump!("{before_throw}"),
    ".popsection",
    run_protected = sym run_protected,
    before_throw = sym before_throw,
);

// `shadow_vm_run` saves what a function keeps for its caller, and runs the rest in C++ (`vm/raising.cpp`).
// `shadow_vm_land` puts it back, and returns in the place of the former, or rather of all that it has called.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text",
    ".globl shadow_vm_run, shadow_vm_land",
    ".hidden shadow_vm_run, shadow_vm_land, shadow_vm_catch",
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
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "call shadow_vm_catch",
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
    ".hidden shadow_vm_run, shadow_vm_land, shadow_vm_catch",
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
    "mov x0, x1",
    "mov x1, x2",
    "mov x2, x3",
    "bl shadow_vm_catch",
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
    /// Runs `body(state, data)` and gives 0, or the number of the error that it raised.
    #[link_name = "shadow_vm_catch"]
    fn catch(body: Body, state: *mut lua_State, data: *mut c_void) -> c_int;
    /// [`catch`], which may also give what [`land`] is called with meanwhile. Notes in `landing` where that is.
    #[link_name = "shadow_vm_run"]
    fn run(landing: *mut Landing, body: Body, state: *mut lua_State, data: *mut c_void) -> c_int;
    /// Returns `status` from the call of [`run`] that has noted `stack`. It is running.
    #[link_name = "shadow_vm_land"]
    fn land(stack: *mut c_void, status: c_int) -> !;
    /// The VM's function for raising: the one above, or its own.
    #[link_name = "_Z10luaD_throwP9lua_Statei"]
    fn throw(state: *mut lua_State, status: c_int) -> !;
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
    /// Whether there may be frames of Rust without an entry in the VM's list of calls.
    static BARRED: Cell<bool> = const { Cell::new(false) };
    /// How many natives run on this thread.
    #[cfg(debug_assertions)]
    static NATIVES: Cell<u32> = const { Cell::new(0) };
}

/// Runs `body` and gives 0, or the number of the error that it raised. The VM calls this.
unsafe extern "C-unwind" fn run_protected(state: *mut lua_State, body: Body, data: *mut c_void) -> c_int {
    // SAFETY: the VM passes a state of its own, and a function with what it is to get.
    unsafe {
        // Where a call begins: most raise nothing, and each pays for a place to jump to.
        if ffi::lua_stackdepth(state) == 0 && ffi::lua_mainthread(state) == state {
            catch(body, state, data)
        } else {
            run_with_landing(state, body, data)
        }
    }
}

/// The same, with a place to jump to.
#[inline(never)]
unsafe extern "C-unwind" fn run_with_landing(state: *mut lua_State, body: Body, data: *mut c_void) -> c_int {
    /// Forgets the place again, also when a panic passes.
    struct Leave(*const Landing);
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: a local of the function below, which nobody has a reference to.
            unsafe {
                INNERMOST.set((*self.0).outer);
                #[cfg(debug_assertions)]
                NATIVES.set((*self.0).natives);
            }
        }
    }
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
    let _leave = Leave(landing);
    // SAFETY: the VM's function with what the VM gives it. The address of `landing` is forgotten before it ends.
    unsafe { run(landing, body, state, data) }
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
    let landing = INNERMOST.get();
    // SAFETY: a landing is in its function, which runs, for as long as its address is known; the state is alive.
    unsafe {
        // ThreadSanitizer keeps a stack of its own of what was called, of which a jump takes nothing away.
        if landing.is_null() || (*landing).state != state || BARRED.get() || cfg!(sanitized = "thread") {
            return;
        }
        let levels = ffi::lua_stackdepth(state) - (*landing).depth;
        // Without a call since then, it is the VM at something else: a load, whose frames have destructors.
        if levels < 1 || !(finished..levels).all(|level| owns_nothing(state, level)) {
            return;
        }
        #[cfg(debug_assertions)]
        assert_eq!(NATIVES.get(), (*landing).natives + finished.unsigned_abs(), "a jump over a native");
        unpoison();
        #[cfg(test)]
        tests::JUMPS.set(tests::JUMPS.get() + 1);
        land((*landing).stack, ffi::LUA_ERRRUN)
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::engine::tests::run;

    thread_local! {
        /// How often there was a jump.
        pub(super) static JUMPS: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn there_is_a_jump_where_nothing_on_the_way_can_own_anything() {
        let cases = [
            ("pcall(error, 'x')", 1),
            ("pcall(function() error('x') end)", 1),
            ("pcall(function() error({}) end)", 1),
            ("pcall(function() local t = nil + 1 end)", 1),
            ("pcall(cjson.decode, '{bad')", 1),
            ("pcall(redis.call, 'ERROR')", 1),
            ("pcall(setmetatable, 1)", 1),
            ("pcall(next, {}, 'x')", 1),
            ("xpcall(error, function(e) pcall(error, e) return e end)", 2),
            ("pcall(pcall)", 0),
            ("pcall(function() pcall(error) error('x') end)", 2),
            ("coroutine.resume(coroutine.create(function() error('x') end))", 1),
            ("pcall(error, 'x', pcall(nil))", 1),
            (
                "local co = coroutine.create(function() coroutine.yield() error('x') end) \
              coroutine.resume(co) coroutine.resume(co)",
                1,
            ),
            ("local t = setmetatable({}, {__lt = error}) pcall(function() return t < t end)", 1),
            ("local t = setmetatable({}, {__index = function() error('x') end}) pcall(function() return t.x end)", 1),
            // Natives between.
            ("pcall(string.gsub, 'x', 'x', function() error('x') end)", 0),
            ("pcall(table.sort, {2, 1}, function() error('x') end)", 0),
            ("local t = setmetatable({}, {__tostring = function() error('x') end}) pcall(tostring, t)", 0),
            ("pcall(string.gsub, 'x', 'x', function() pcall(error, 'x') error('y') end)", 1),
            // Raised below a native, by the VM.
            ("pcall(string.rep)", 0),
            ("pcall(string.format, '%d', 'x')", 0),
            // A coroutine that continues with fewer calls than it had, and makes new ones.
            (
                "local co = coroutine.create(function() \
                    local function deep(n) if n == 0 then coroutine.yield() else deep(n - 1) return 1 end end \
                    deep(5) \
                    string.gsub('x', 'x', function() error('x') end) \
                 end) coroutine.resume(co) coroutine.resume(co)",
                0,
            ),
        ];
        for (code, jumps) in cases {
            let before = JUMPS.get();
            assert_eq!(run(&format!("{code} return 'done'")), Ok("done".to_owned()), "{code}");
            assert_eq!(JUMPS.get() - before, jumps, "{code}");
        }
    }

    #[test]
    fn a_load_that_fails_does_not_jump() {
        let before = JUMPS.get();
        assert_eq!(run("return tostring(loadstring('return )'))"), Ok("nil".to_owned()));
        assert_eq!(JUMPS.get(), before);
    }
}
