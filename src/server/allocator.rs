//! The global allocator: inside a server the server's, so that all memory is part of its `used_memory`; elsewhere, as
//! in unit tests, the system's.

#![allow(unsafe_code, reason = "is the global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;

use redis_module::raw;

use super::api::Context;
use crate::block;

/// The alignment of a block whose size is a multiple of it. jemalloc as Redis builds it also has sizes of 24, 40 and
/// 56, which it aligns to 8 only; so sizes are rounded up (`padded`).
const GUARANTEED: usize = 16;

/// Memory from the server.
///
/// The module's entry point learns the server's functions before the first Rust allocation. So every block goes back to
/// the allocator that gave it.
pub struct ServerAllocator;

// SAFETY: every block comes from RM_TryAlloc or RM_Alloc (or the system) and goes back to RM_Free (or the system)
// unchanged: which of the two is in use never changes while blocks exist. Alignments up to 16 are the server's, for
// sizes that are multiples of them (`is_as_expected` has checked); a larger one is made by hand in `aligned`, and
// undone in `dealloc` by the same rule.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        block::note(0, layout.size());
        // SAFETY: the statics are written once, on the main thread, before any other thread of ours runs. The caller
        // gives a valid layout.
        unsafe {
            let Some(allocate) = raw::RedisModule_TryAlloc.or(raw::RedisModule_Alloc) else {
                return System.alloc(layout);
            };
            if layout.align() > GUARANTEED {
                return aligned(layout, |size| allocate(size));
            }
            allocate(padded(layout.size(), layout.align())).cast()
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        block::note(layout.size(), 0);
        // SAFETY: as in `alloc`; the block was made there with this layout.
        unsafe {
            let Some(free) = raw::RedisModule_Free else {
                return System.dealloc(block, layout);
            };
            if layout.align() > GUARANTEED {
                return free(block.sub(size_of::<usize>()).cast::<usize>().read_unaligned() as *mut c_void);
            }
            free(block.cast());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`; the block was made there with this layout. For a larger alignment the contents are
        // moved to a block of the new size, of which the shorter length is copied.
        unsafe {
            if layout.align() > GUARANTEED {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    block.copy_to_nonoverlapping(new, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                return new;
            }
            block::note(layout.size(), size);
            match raw::RedisModule_TryRealloc.or(raw::RedisModule_Realloc) {
                Some(reallocate) => reallocate(block.cast(), padded(size, layout.align())).cast(),
                None => System.realloc(block, layout, size),
            }
        }
    }
}

/// The next multiple of `align`, a power of two. It is at most `isize::MAX`, as for every layout.
const fn padded(size: usize, align: usize) -> usize {
    (size + align - 1) & !(align - 1)
}

/// Whether the server's allocator aligns as [`GUARANTEED`] says. Redis built with an allocator that does not know the
/// sizes of its blocks stores each size in front of the block, which aligns nothing to 16.
pub fn is_as_expected() -> bool {
    [16, 32, 48, 64, 80, 112].into_iter().all(|size| {
        // SAFETY: the size is not 0, and the block goes back as it came.
        unsafe {
            let layout = Layout::from_size_align_unchecked(size, 1);
            let block = ServerAllocator.alloc(layout);
            let is_aligned = (block as usize).is_multiple_of(GUARANTEED);
            if !block.is_null() {
                ServerAllocator.dealloc(block, layout);
            }
            is_aligned
        }
    })
}

/// A block of a larger alignment, inside a larger block. The address of the larger one is stored just before it.
///
/// # Safety
/// `allocate` gives a block of the size that it is asked for, or null.
unsafe fn aligned(layout: Layout, allocate: impl FnOnce(usize) -> *mut c_void) -> *mut u8 {
    let Some(size) = layout.size().checked_add(layout.align() + size_of::<usize>()) else {
        return std::ptr::null_mut();
    };
    let start = allocate(size).cast::<u8>();
    if start.is_null() {
        return start;
    }
    // SAFETY: the block has room for an address, the padding (less than the alignment) and the layout's size.
    unsafe {
        let after = start.add(size_of::<usize>());
        let block = after.add(after.align_offset(layout.align()));
        block.sub(size_of::<usize>()).cast::<usize>().write_unaligned(start as usize);
        block
    }
}

/// Learns how the server's allocator rounds the sizes of blocks.
pub fn learn_rounding() {
    block::learn(|size| {
        // SAFETY: the block goes back as it came; the server's functions for blocks are known together.
        unsafe {
            let (Some(allocate), Some(size_of_block), Some(free)) =
                (raw::RedisModule_Alloc, raw::RedisModule_MallocSize, raw::RedisModule_Free)
            else {
                return size;
            };
            let block = allocate(size);
            let rounded = size_of_block(block);
            free(block);
            rounded
        }
    });
}

/// Prepares glibc for blocks that the worker frees, if the server's memory comes from glibc.
///
/// glibc keeps small freed blocks aside and merges all of them at the next large allocation. After the worker has freed
/// a million libraries, that stops the server's thread for a second. Without it, each block is merged by the thread
/// that frees it.
pub fn prepare(context: &Context) {
    #[cfg(target_env = "gnu")]
    if let [Some(name)] = context.info(c"memory", [c"mem_allocator"])
        && name == b"libc"
    {
        set_no_blocks_aside();
    }
}

#[cfg(target_env = "gnu")]
fn set_no_blocks_aside() {
    // SAFETY: the limit may be changed at any time, from any thread.
    unsafe { libc::mallopt(libc::M_MXFAST, 0) };
}

#[global_allocator]
static ALLOCATOR: ServerAllocator = ServerAllocator;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_env = "gnu")]
    #[test]
    fn no_freed_block_is_set_aside() {
        set_no_blocks_aside();
        // SAFETY: the blocks are freed once each; the counts are those of the whole process.
        unsafe {
            let blocks: Vec<_> = (0..1000).map(|_| libc::malloc(64)).collect();
            let before = libc::mallinfo2().smblks;
            blocks.into_iter().for_each(|block| libc::free(block));
            assert!(libc::mallinfo2().smblks <= before);
        }
    }

    #[test]
    fn sizes_are_asked_for_in_whole_alignments() {
        for (size, align, expected) in [(1, 1, 1), (17, 1, 17), (20, 8, 24), (52, 16, 64), (64, 16, 64), (8, 16, 16)] {
            assert_eq!(padded(size, align), expected, "{size} aligned to {align}");
        }
        assert!(is_as_expected(), "of the system");
    }

    #[test]
    fn a_block_of_large_alignment_is_aligned_and_keeps_its_start() {
        for align in [32, 64, 4096] {
            let layout = Layout::from_size_align(100, align).unwrap();
            let mut given = std::ptr::null_mut();
            // SAFETY: the closure gives a block of the size asked for, which is freed below.
            unsafe {
                let block = aligned(layout, |size| {
                    given = libc::malloc(size);
                    given
                });
                assert_eq!(block as usize % align, 0);
                block.write_bytes(7, 100);
                assert_eq!(block.sub(size_of::<usize>()).cast::<usize>().read_unaligned(), given as usize);
                libc::free(given);
            }
        }
    }
}
