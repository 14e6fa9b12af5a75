//! How large the allocator makes the blocks that it is asked for.
//!
//! What is held is counted by this, so that it agrees with the server's `used_memory`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// How an allocator rounds the size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Rounding {
    /// It does not, or in a way that is not known.
    Exact,
    /// jemalloc: four sizes for each power of two, and below that steps of 16 bytes.
    Jemalloc,
    /// jemalloc as Redis builds it: small blocks in steps of 8 bytes.
    FineJemalloc,
    /// glibc: steps of 16 bytes, of which 8 are its own.
    Glibc,
}

/// In the order of their numbers.
const ROUNDINGS: [Rounding; 4] = [Rounding::Exact, Rounding::Jemalloc, Rounding::FineJemalloc, Rounding::Glibc];

/// Sizes that tell these apart.
const PROBES: [usize; 5] = [24, 100, 200, 1_500, 5_000];

/// How the allocator in use rounds. It is written before there is anything to count.
static ROUNDING: AtomicU8 = AtomicU8::new(Rounding::Exact as u8);

/// How many threads measure at the moment: nothing is counted while none does.
static MEASURING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What the blocks of this thread have taken less what they have given back, while any thread was measuring.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// How many bytes a block takes that was asked for with `size`. 0 for no block.
pub fn size(size: usize) -> usize {
    ROUNDINGS[usize::from(ROUNDING.load(Ordering::Relaxed))].round(size)
}

/// How many bytes a value takes in a block of its own that two counts stand before, as in an `Arc`.
pub fn shared_size<T>() -> usize {
    size(2 * size_of::<usize>() + size_of::<T>())
}

/// Runs `body`, and gives the bytes of the blocks that it has allocated on this thread and not freed.
pub fn measured<T>(body: impl FnOnce() -> T) -> (T, usize) {
    /// Measures no more, however `body` ends.
    struct Measured;
    impl Drop for Measured {
        fn drop(&mut self) {
            MEASURING.fetch_sub(1, Ordering::Relaxed);
        }
    }
    MEASURING.fetch_add(1, Ordering::Relaxed);
    let _measured = Measured;
    let before = HELD.get();
    let result = body();
    (result, usize::try_from(HELD.get() - before).unwrap_or(0))
}

/// The allocator tells of each block that it makes, frees or moves: the size that it was asked for before and the new
/// one, 0 for no block.
#[inline]
pub fn note(old: usize, new: usize) {
    if MEASURING.load(Ordering::Relaxed) > 0 {
        count(old, new);
    }
}

#[cold]
fn count(old: usize, new: usize) {
    HELD.set(HELD.get() + size(new).cast_signed() - size(old).cast_signed());
}

/// Learns how the allocator rounds; `size_of_block` allocates one and asks for its size.
pub fn learn(size_of_block: impl Fn(usize) -> usize) {
    let fits = |rounding: &&Rounding| PROBES.iter().all(|&size| rounding.round(size) == size_of_block(size));
    let rounding = ROUNDINGS.iter().find(fits).unwrap_or(&Rounding::Exact);
    ROUNDING.store(*rounding as u8, Ordering::Relaxed);
}

impl Rounding {
    const fn round(self, size: usize) -> usize {
        match (self, size) {
            (_, 0) => 0,
            (Self::Exact, _) => size,
            (Self::Glibc, ..25) => 24,
            (Self::Glibc, _) => (size + 8).next_multiple_of(16) - 8,
            (Self::FineJemalloc, ..65) | (_, ..9) => size.next_multiple_of(8),
            (_, ..129) => size.next_multiple_of(16),
            _ => size.next_multiple_of(1 << ((size - 1).ilog2() - 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(rounding: Rounding) -> [usize; 10] {
        [0, 1, 8, 9, 24, 65, 128, 129, 1_025, 16_385].map(|size| rounding.round(size))
    }

    #[test]
    fn blocks_are_as_large_as_the_allocator_makes_them() {
        assert_eq!(rounded(Rounding::Exact), [0, 1, 8, 9, 24, 65, 128, 129, 1_025, 16_385]);
        assert_eq!(rounded(Rounding::Jemalloc), [0, 8, 8, 16, 32, 80, 128, 160, 1_280, 20_480]);
        assert_eq!(rounded(Rounding::FineJemalloc), [0, 8, 8, 16, 24, 80, 128, 160, 1_280, 20_480]);
        assert_eq!(rounded(Rounding::Glibc), [0, 24, 24, 24, 24, 72, 136, 136, 1_032, 16_392]);
    }

    #[test]
    fn what_a_thread_allocates_and_keeps_is_measured() {
        let (kept, bytes) = measured(|| {
            drop(vec![0_u8; 300]);
            let (inner, bytes) = measured(|| Box::new([0_u8; 64]));
            assert_eq!(bytes, 64);
            let mut grown = vec![0_u8; 100];
            grown.reserve_exact(900);
            std::thread::spawn(|| drop(vec![0_u8; 5_000])).join().unwrap();
            (inner, grown)
        });
        assert!((1_064..1_500).contains(&bytes), "{bytes}");
        assert_eq!(measured(|| drop(kept)).1, 0, "less than nothing is nothing");
    }

    #[test]
    fn the_probes_tell_every_rounding_from_the_others() {
        for one in ROUNDINGS {
            for other in ROUNDINGS {
                assert_eq!(one == other, PROBES.iter().all(|&size| one.round(size) == other.round(size)));
            }
        }
    }
}
