//! Safepoints of natives that go through many small steps.

use super::stack::Stack;

/// How many steps go by between two safepoints.
const PERIOD: u32 = 1024;

/// Counts the steps of a native.
#[derive(Default)]
pub struct Pace(u32);

impl Pace {
    /// One step. Now and then it is a safepoint. May raise.
    #[inline]
    pub fn step(&mut self, stack: &Stack) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(PERIOD) {
            stack.safepoint();
        }
    }
}
