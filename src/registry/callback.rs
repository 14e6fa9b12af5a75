//! What is called of a function or a script.

use super::counters::Counters;
use super::hot_check::HotCheck;

/// A callback in the VM, and what is known of its calls.
#[derive(Debug)]
pub struct Callback {
    /// Where the engine keeps it.
    pub slot: Slot,
    /// What is counted of its calls.
    pub counters: Counters,
    /// When it is next checked for being hot.
    pub hot_check: HotCheck,
}

/// The engine's handle of a callback. The registry only keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// That of what is not in the VM.
    pub const NONE: Self = Self(u32::MAX);
}

impl Callback {
    /// One that has not been called yet.
    pub fn new(slot: Slot) -> Self {
        Self { slot, counters: Counters::default(), hot_check: HotCheck::default() }
    }
}
