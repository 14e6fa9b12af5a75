//! How long the running call or load has taken, and whether it must end.

use std::cell::Cell;

use super::deadline::Deadline;
use crate::clock::Milliseconds;

/// How many safepoints go by between two questions to the host, if they go by fast.
const SAFEPOINTS: u32 = 256;

/// After this time the host is asked at the next safepoint, however few there were.
const PAUSE: Milliseconds = Milliseconds(10);

/// The time of the running call or load, as the VM's safepoints see it.
#[derive(Default)]
pub struct Patience {
    safepoints: Cell<u32>,
    /// When the host was asked last.
    asked: Cell<Milliseconds>,
    /// When a load is over; none for a call.
    deadline: Cell<Option<Deadline>>,
    /// Whether the host wants to be asked again and again. What an earlier call has left here holds until it is asked.
    insists: Cell<bool>,
    /// Whether the host was given a sample since a safepoint last saw it.
    sampled: Cell<bool>,
    /// The text that ends it. Raised again at every safepoint, which beats code that catches it.
    verdict: Cell<Option<&'static str>>,
}

impl Patience {
    /// A call or load begins.
    pub fn begin(&self) {
        self.safepoints.set(0);
        self.verdict.set(None);
    }

    /// Sets when the load is over, or that nothing is.
    pub fn set_deadline(&self, deadline: Option<Deadline>) {
        self.deadline.set(deadline);
    }

    /// Whether a load with a deadline is running.
    pub fn has_deadline(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// Counts a safepoint. True when it is time to check the deadline and to ask the host.
    pub fn is_due(&self) -> bool {
        let safepoints = self.safepoints.get();
        self.safepoints.set(safepoints.wrapping_add(1));
        // Between two safepoints a function that is not written in Lua may have run, for long.
        self.is_due_after(!safepoints.is_multiple_of(SAFEPOINTS))
    }

    /// The same at a safepoint that was called for a sample, which says nothing of a call that is overdue: it counts by
    /// its time alone. So the host is not kept waiting, however many samples are taken.
    pub fn is_due_beside_sample(&self) -> bool {
        self.is_due_after(true)
    }

    fn is_due_after(&self, pause: bool) -> bool {
        let now = Milliseconds::now();
        if pause && now.since(self.asked.get()) < PAUSE {
            return false;
        }
        self.asked.set(now);
        true
    }

    /// Notes whether the host wants to be asked again.
    pub fn set_insists(&self, insists: bool) {
        self.insists.set(insists);
    }

    /// Notes that the host was given a sample.
    pub fn note_sample(&self) {
        self.sampled.set(true);
    }

    /// Whether it has, since this was called before.
    pub fn take_sampled(&self) -> bool {
        self.sampled.replace(false)
    }

    /// Whether the callback is to stay although nothing is to be done at once.
    pub fn needs_callback(&self) -> bool {
        self.insists.get() || self.has_deadline() || self.verdict().is_some()
    }

    /// Ends the load if its deadline is over.
    pub fn check_deadline(&self) {
        if let Some(mut deadline) = self.deadline.get() {
            self.verdict.set(deadline.check());
            self.deadline.set(Some(deadline));
        }
    }

    /// Ends the call or load with this text.
    pub fn end(&self, text: &'static str) {
        self.verdict.set(Some(text));
    }

    /// The text that ends it; None while it may go on.
    pub fn verdict(&self) -> Option<&'static str> {
        self.verdict.get()
    }
}
