//! What the natives go on with.

use crate::engine::stack::{Outcome, Stack};

/// Goes on with the VM's own function.
pub fn usual(stack: &Stack) -> Outcome {
    Ok(stack.run_captured())
}
