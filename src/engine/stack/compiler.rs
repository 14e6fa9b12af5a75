//! The VM's compiler: source text to bytecode.
//!
//! mlua's own way to it makes its list of names anew for each chunk, which took a fifth of the time of LOAD.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::{ptr, slice};

use mlua::ffi;
use smallvec::SmallVec;

use crate::thread;

/// The bytecode of `source`, which has no NUL, or what the compiler says is wrong in the form in which
/// [`super::Stack::load`] takes it. Globals named in `mutable` are looked up when the code runs, and so are the
/// functions of libraries named in `replaced`.
///
/// Optimisation level 1: level 2 inlines functions, which changes the lines that errors name.
pub fn bytecode(source: &[u8], mutable: &[&CStr], replaced: &[&CStr]) -> Bytecode {
    if HAS_ROOM.get() || !IS_FITTED.load(Ordering::Relaxed) {
        compile(source, mutable, replaced)
    } else {
        thread::with_stack(COMPILER_STACK, || compile(source, mutable, replaced))
    }
}

/// Whether sources may nest more deeply than the VM allows by itself, which fits into any usual stack.
static IS_FITTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread's stack has room for the deepest nesting. The stack of another module's thread, which may
    /// run our commands, is of any size.
    static HAS_ROOM: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread has a stack of [`COMPILER_STACK`].
pub fn note_compiler_stack() {
    HAS_ROOM.set(true);
}

fn compile(source: &[u8], mutable: &[&CStr], replaced: &[&CStr]) -> Bytecode {
    let (mutable, replaced) = (list(mutable), list(replaced));
    let mut options = ffi::lua_CompileOptions::default();
    options.optimizationLevel = 1;
    options.debugLevel = 1;
    options.mutableGlobals = mutable.as_ptr();
    options.disabledBuiltins = replaced.as_ptr();
    let mut length = 0;
    // SAFETY: the options point to C strings, and to the nulls that end their lists, which live until the call returns.
    // The compiler gives what is allocated by C's `malloc`, and its length.
    let start = unsafe { ffi::luau_compile_(source.as_ptr().cast(), source.len(), &raw mut options, &raw mut length) };
    assert!(!start.is_null(), "there is no memory for bytecode");
    Bytecode { start, length }
}

/// What the compiler has written, where it has written it.
pub struct Bytecode {
    start: *mut c_char,
    length: usize,
}

// SAFETY: it owns what it points to, which any thread may read and free.
unsafe impl Send for Bytecode {}

impl Deref for Bytecode {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes live as long as this.
        unsafe { slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Bytecode {
    fn drop(&mut self) {
        // SAFETY: the compiler allocated it by C's `malloc`, and it is freed once.
        unsafe { libc::free(self.start.cast()) }
    }
}

/// The names' addresses, and the null that ends the list.
fn list(names: &[&CStr]) -> SmallVec<[*const c_char; 16]> {
    names.iter().map(|name| name.as_ptr()).chain([ptr::null()]).collect()
}

/// How much of the machine's stack a level of nesting takes in the parser and the compiler together, in bytes: a
/// function in a function takes the most, 1,113.
const LEVEL: u64 = 1_200;

/// The deepest nesting that is worth its stack, in levels. Each `elseif`, each `or` and each call in a row is one.
const DEEPEST: u64 = 4_000;

/// A stack for a thread that compiles: half of it holds the deepest nesting, as on the main thread.
pub const COMPILER_STACK: usize = (2 * DEEPEST * LEVEL) as usize;

/// What there is to nest without a limit of the stack, or where it is not known.
const USUAL_STACK: u64 = 8 << 20;

unsafe extern "C" {
    /// The VM's setting `FInt::LuauRecursionLimit`, a class whose first member is its value.
    #[link_name = "_ZN4FInt18LuauRecursionLimitE"]
    static RECURSION_LIMIT: AtomicI32;
}

/// Lets sources nest as deeply as half of the main thread's stack allows, which this is. The VM's own limit is 1,000
/// levels.
pub fn fit_nesting_to_stack() {
    note_compiler_stack();
    IS_FITTED.store(true, Ordering::Relaxed);
    let levels = levels(stack_limit());
    // SAFETY: the VM's variable lives as long as the program. It is an `int`, which the parser reads and nobody else
    // writes.
    unsafe { RECURSION_LIMIT.store(levels, Ordering::Relaxed) }
}

/// The limit of the main thread's stack in bytes.
fn stack_limit() -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills the value when it succeeds.
    let limit =
        unsafe { (libc::getrlimit(libc::RLIMIT_STACK, limit.as_mut_ptr()) == 0).then(|| limit.assume_init().rlim_cur) };
    limit.filter(|&limit| limit != libc::RLIM_INFINITY)
}

fn levels(stack: Option<u64>) -> c_int {
    (stack.unwrap_or(USUAL_STACK) / 2 / LEVEL).min(DEEPEST) as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_may_nest_by_the_size_of_the_stack() {
        assert_eq!(levels(Some(8 << 20)), 3_495);
        assert_eq!(levels(Some(1 << 20)), 436);
        assert_eq!(levels(Some(1 << 40)), 4_000);
        assert_eq!(levels(None), 3_495);
    }

    /// The address is that of the limit in this version of the VM, and a level takes no more than it is taken to.
    #[test]
    fn nesting_as_deep_as_the_limit_fits_into_half_of_the_stack() {
        const STACK: usize = 4 << 20;
        let compiled = |source: String| {
            let thread = std::thread::Builder::new().stack_size(STACK / 2);
            let code = thread.spawn(move || bytecode(source.as_bytes(), &[], &[])[0]).unwrap().join().unwrap();
            code != 0
        };
        let limit = levels(Some(STACK as u64)) as usize;
        // SAFETY: as in `fit_nesting_to_stack`.
        let set = |levels: c_int| unsafe { RECURSION_LIMIT.swap(levels, Ordering::Relaxed) };
        let before = set(limit as c_int);
        assert_eq!(before, 1_000);
        for levels in [limit / 2 - 10, 2 * limit] {
            let fits = levels < limit;
            // A function counts twice: as an expression, and as a statement in its body.
            let functions = format!("return {} {}", "function() return ".repeat(levels), "end ".repeat(levels));
            assert_eq!(compiled(functions), fits, "{levels} functions of {limit} levels");
            let calls = format!("local x return x{}", ":a()".repeat(levels));
            assert_eq!(compiled(calls), fits, "{levels} calls of {limit} levels");
        }
        set(before);
    }
}
