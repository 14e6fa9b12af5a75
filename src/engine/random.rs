//! `math.random`: the server's own generator, so that scripts draw the same numbers on every platform.
//!
//! A linear congruential generator of 48 bits. Its state is the process's: it starts from a fixed seed, goes on from
//! call to call and outlives a flush, as in the stock server.

use std::sync::atomic::{AtomicU64, Ordering};

use super::number::truncated;
use super::stack::{Outcome, Raise, Stack, natives};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const ADDEND: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const SEED: u64 = 0x1234_ABCD_330E;
/// The largest number drawn.
const RANGE: u64 = (1 << 31) - 1;

static STATE: AtomicU64 = AtomicU64::new(SEED);

/// Draws a number from 0 to 1, 1 excluded.
fn draw() -> f64 {
    let state = STATE.load(Ordering::Relaxed).wrapping_mul(MULTIPLIER).wrapping_add(ADDEND) & MASK;
    STATE.store(state, Ordering::Relaxed);
    ((state >> 17) % RANGE) as f64 / RANGE as f64
}

fn seed(value: i32) {
    let value = u64::from(value as u32);
    STATE.store(value << 16 | 0x330E, Ordering::Relaxed);
}

natives! {
    Random = c"random", random;
    RandomSeed = c"randomseed", random_seed;
}

fn random(stack: &Stack) -> Outcome {
    let drawn = draw();
    let bound = |index: i32| integer_argument(stack, index, "random");
    let number = match stack.top() {
        0 => drawn,
        1 => {
            let upper = bound(1)?;
            if upper < 1.0 {
                return Err(Raise::at("bad argument #1 to 'random' (interval is empty)"));
            }
            (drawn * upper).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (bound(1)?, bound(2)?);
            if lower > upper {
                return Err(Raise::at("bad argument #2 to 'random' (interval is empty)"));
            }
            (drawn * (upper - lower + 1.0)).floor() + lower
        }
        _ => return Err(Raise::at("wrong number of arguments")),
    };
    stack.push_number(number);
    Ok(1)
}

fn random_seed(stack: &Stack) -> Outcome {
    let value = integer_argument(stack, 1, "randomseed")?;
    seed(value as i32);
    Ok(0)
}

fn integer_argument(stack: &Stack, index: i32, function: &str) -> Result<f64, Raise> {
    let number = stack.number(index).ok_or_else(|| {
        Raise::at(&format!("bad argument #{index} to '{function}' (number expected, got {})", stack.type_name(index)))
    })?;
    // The server's VM converts to a 64-bit integer and keeps the lower half of it.
    Ok(f64::from(truncated(number) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, for the state is the process's.
    #[test]
    fn the_sequence_is_the_servers() {
        STATE.store(SEED, Ordering::Relaxed);
        assert_eq!(format!("{:.14}", draw()), "0.39646477363839");
        assert_eq!(format!("{:.14}", draw()), "0.84048536971234");
        seed(42);
        assert_eq!(format!("{:.14}", draw()), "0.74452500033403");
        assert_eq!((draw() * 1000.0).floor() + 1.0, 343.0);
    }
}
