//! What is called of a function or a script.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::counters::Counters;
use super::findings::{Case, Findings};
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
    /// The undeclared keys that its calls reached; hardly any callback has some.
    findings: OnceLock<Box<Mutex<Findings>>>,
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
        Self { slot, counters: Counters::default(), hot_check: HotCheck::default(), findings: OnceLock::new() }
    }

    /// Notes a call that reached an undeclared key.
    pub fn note_undeclared(&self, case: Case) {
        let findings = self.findings.get_or_init(Box::default);
        findings.lock().unwrap_or_else(PoisonError::into_inner).note(case);
    }

    /// The undeclared keys that its calls reached; None without any.
    pub fn findings(&self) -> Option<Findings> {
        let findings = self.findings.get()?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(findings).filter(|findings| findings.found() > 0)
    }

    /// Begins anew with what is known of its calls.
    pub fn reset(&self) {
        self.counters.reset();
        if let Some(findings) = self.findings.get() {
            *findings.lock().unwrap_or_else(PoisonError::into_inner) = Findings::default();
        }
    }
}
