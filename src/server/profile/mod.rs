//! Where the time of functions, or of scripts, goes: one profile at a time, made of samples of the running call.
//!
//! The watch says when a sample is due and rings the VM; the engine collects the frames and gives them to the call's
//! host, which brings them here. All of it is the main thread's, but for the rate, which the watch has.

mod tree;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::running::Running;
use crate::engine::{Callable, Frame};
use crate::error::Error;
use crate::watch::Watch;
use tree::Tree;

/// How a profile is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line for each stack, as the tools that draw flame graphs take them.
    Folded,
    /// The JSON of speedscope.
    Speedscope,
}

/// What to sample.
#[derive(Debug)]
pub struct Order {
    pub callable: Callable,
    /// The one function, by the name it is registered by, or script, by its digest, that is sampled; None for all.
    pub only: Option<Box<str>>,
    /// Samples in a second.
    pub hertz: u32,
    pub length: Duration,
}

/// A profile.
struct Profile {
    order: Order,
    began: Instant,
    stopped: bool,
    tree: Tree,
}

impl Profile {
    fn is_running(&self) -> bool {
        !self.stopped && self.began.elapsed() < self.order.length
    }

    fn takes(&self, running: &Running) -> bool {
        self.is_running()
            && self.order.callable == running.callee.callable
            && self.order.only.as_deref().is_none_or(|only| only == running.callee.name)
    }

    /// Samples that could not be taken. Of which call they were is not known.
    fn missed(&self, watch: &Watch) -> u64 {
        if self.order.only.is_none() { watch.missed() } else { 0 }
    }
}

/// The profile that was begun last, if there is one. It changes while a function is running, too.
#[derive(Default)]
pub struct Profiler(RefCell<Option<Profile>>);

impl Profiler {
    /// Begins a profile, in the place of the last one.
    ///
    /// # Errors
    /// While another one is running.
    pub fn start(&self, watch: &Watch, order: Order) -> Result<(), Error> {
        let mut current = self.0.borrow_mut();
        if let Some(running) = current.as_ref().filter(|profile| profile.is_running()) {
            let kind = running.order.callable.word();
            return Err(Error::new(format!("ERR A profile of {kind}s is running already")));
        }
        watch.begin_sampling(order.callable, order.hertz, order.length);
        *current = Some(Profile { order, began: Instant::now(), stopped: false, tree: Tree::new() });
        Ok(())
    }

    /// Ends the profile of this kind.
    ///
    /// # Errors
    /// When none is running.
    pub fn stop(&self, watch: &Watch, callable: Callable) -> Result<(), Error> {
        let mut current = self.0.borrow_mut();
        let running = current.as_mut().filter(|profile| profile.order.callable == callable && profile.is_running());
        let Some(running) = running else {
            return Err(Error::new(format!("ERR No profile of {}s is running", callable.word())));
        };
        running.stopped = true;
        watch.end_sampling();
        Ok(())
    }

    /// What the last profile has found so far.
    ///
    /// # Errors
    /// When there is none of this kind.
    pub fn get(&self, watch: &Watch, callable: Callable, format: Format) -> Result<String, Error> {
        let current = self.0.borrow();
        let Some(profile) = current.as_ref().filter(|profile| profile.order.callable == callable) else {
            let text = format!("ERR There is no profile of {}s, PROFILE START begins one", callable.word());
            return Err(Error::new(text));
        };
        let missed = profile.missed(watch);
        Ok(match format {
            Format::Folded => profile.tree.folded(missed),
            Format::Speedscope => {
                let what = profile.order.only.as_deref().map_or_else(|| format!("{}s", callable.word()), str::to_owned);
                profile.tree.speedscope(&format!("{what}, {} Hz", profile.order.hertz), missed)
            }
        })
    }

    /// Whether the profile takes samples of the running call.
    #[cold]
    pub fn takes(&self, running: &Running) -> bool {
        self.0.borrow().as_ref().is_some_and(|profile| profile.takes(running))
    }

    /// Takes the running call, which is at `frames`, the innermost first, as that many samples.
    #[cold]
    pub fn record(&self, running: &Running, frames: &[Frame], samples: u32) {
        if let Some(profile) = self.0.borrow_mut().as_mut() {
            let file = running.callee.library.map_or(running.callee.name, |library| &library.name);
            profile.tree.record(running.callee.name, file, frames, samples);
        }
    }
}
