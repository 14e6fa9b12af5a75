//! The memory of the module: counted, and bounded as a server's may be.
//!
//! The module takes its memory from the server's allocator once it knows one. Here it gets one that counts, so that
//! what is not given back shows at once.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicIsize, Ordering};

use redis_module::raw;

/// As much as a script may take; only large requests are refused beyond it, so that it is the VM that is told.
const LIMIT: usize = 512 << 20;
const LARGE: usize = 1 << 20;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

/// Bytes that the module holds.
pub fn in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

/// Gives the module its memory. To be called before the first use of it.
pub fn count() {
    // SAFETY: no other thread runs yet. What was allocated before came from malloc, as does everything after.
    unsafe {
        raw::RedisModule_TryAlloc = Some(allocate);
        raw::RedisModule_TryRealloc = Some(reallocate);
        raw::RedisModule_Alloc = Some(allocate);
        raw::RedisModule_Realloc = Some(reallocate);
        raw::RedisModule_Free = Some(free);
    }
}

fn fits(size: usize) -> bool {
    size < LARGE || in_use().unsigned_abs().saturating_add(size) <= LIMIT
}

fn note(block: *mut c_void, sign: isize) {
    // SAFETY: the block is live, or null, which has no size.
    let size = unsafe { libc::malloc_usable_size(block) };
    IN_USE.fetch_add(sign * size as isize, Ordering::Relaxed);
}

unsafe extern "C" fn allocate(size: usize) -> *mut c_void {
    if !fits(size) {
        return null_mut();
    }
    // SAFETY: any size may be asked for.
    let block = unsafe { libc::malloc(size) };
    note(block, 1);
    block
}

unsafe extern "C" fn reallocate(block: *mut c_void, size: usize) -> *mut c_void {
    if !fits(size) {
        return null_mut();
    }
    note(block, -1);
    // SAFETY: the block came from malloc and is the caller's.
    let moved = unsafe { libc::realloc(block, size) };
    note(if moved.is_null() { block } else { moved }, 1);
    moved
}

unsafe extern "C" fn free(block: *mut c_void) {
    note(block, -1);
    // SAFETY: the block came from malloc and is the caller's.
    unsafe { libc::free(block) }
}
