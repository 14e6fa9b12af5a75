//! One of the module's registries: its current generation, and what stands ready to take its place.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::api::Context;
use super::super::slow_log::SlowLog;
use super::super::totals::Totals;
use super::threads::Threads;
use super::{FlushMode, configure};
use crate::clock::Ticks;
use crate::engine::Dialect;
use crate::error::Error;
use crate::generation::{Contents, Generation};
use crate::reclaim::Depot;

/// Where a generation that leaves is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freed {
    AsAsked,
    /// On the main thread, for want of a worker that could take it.
    InPlace,
}

/// How much of what deploys replace is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// How many generations.
    pub generations: usize,
    /// How many bytes all of them may hold; 0 for any number.
    pub bytes: usize,
}

/// The last flush that retired a generation.
#[derive(Clone, Copy, Debug)]
pub struct LastFlush {
    /// What the flush was asked for.
    pub mode: FlushMode,
    /// How long it kept the main thread, up to the reply.
    pub took: Ticks,
    /// How many libraries or scripts went.
    pub programs: usize,
}

/// The current generation of libraries, or of scripts.
///
/// It is private. It changes by methods of the module, and it ends in [`replace`](Self::replace).
pub struct Current<C: Contents> {
    generation: Box<Generation<C>>,
    /// The generation that is filled beside the current one while a replica loads.
    staged: Option<Box<Generation<C>>>,
    /// Those before it that deploys have replaced and that can come back, the last one first.
    kept: VecDeque<Box<Generation<C>>>,
    dialect: Dialect,
    /// What the worker keeps for it.
    pub depot: Arc<Depot<Generation<C>>>,
    /// What is counted of its calls and flushes.
    pub totals: Totals,
    /// The calls that took long.
    pub slow_log: SlowLog,
    /// The last flush that retired a generation.
    pub last_flush: Option<LastFlush>,
    /// How long the last deploy or rollback took to swap the generations.
    pub last_deploy: Option<Ticks>,
}

impl<C: Contents> Current<C> {
    /// Builds the first generation.
    ///
    /// # Errors
    /// When the VM cannot be built for want of memory.
    pub(super) fn new(dialect: &Dialect) -> Result<Self, Error> {
        let generation = Box::new(Generation::new(dialect.clone())?);
        configure(&generation);
        let spare_dialect = dialect.clone();
        Ok(Self {
            generation,
            staged: None,
            kept: VecDeque::new(),
            dialect: dialect.clone(),
            depot: Depot::new(move || Generation::new(spare_dialect.clone()).ok()),
            totals: Totals::default(),
            slow_log: SlowLog::default(),
            last_flush: None,
            last_deploy: None,
        })
    }

    /// The current generation, to read and to call what is in it.
    #[inline]
    pub fn generation(&self) -> &Generation<C> {
        &self.generation
    }

    /// The current generation, to change it.
    pub(super) fn generation_mut(&mut self) -> &mut Generation<C> {
        &mut self.generation
    }

    /// The generation that a file is loaded into.
    pub(super) fn loaded(&mut self) -> &mut Generation<C> {
        self.staged.as_mut().unwrap_or(&mut self.generation)
    }

    /// Runs `body` on the generations that there are.
    pub(super) fn each(&self, body: impl Fn(&Generation<C>)) {
        body(&self.generation);
        self.staged.as_deref().into_iter().for_each(body);
    }

    /// The generations that can come back, the last one first.
    pub fn kept(&self) -> impl Iterator<Item = &Generation<C>> {
        self.kept.iter().map(|generation| &**generation)
    }

    /// Bytes that these hold.
    pub fn kept_bytes(&self) -> usize {
        self.kept().map(Generation::bytes).sum()
    }

    /// Deletes all libraries or scripts, those that could come back included.
    ///
    /// # Errors
    /// When no spare is ready and no VM can be built. Nothing has changed then.
    pub(super) fn flush(&mut self, threads: &Threads, context: &Context, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().count() == 0 && self.kept.is_empty() {
            return Ok(());
        }
        let began = Ticks::now();
        let fresh = self.fresh()?;
        self.replace(threads, context, fresh, mode, began);
        Ok(())
    }

    /// An empty generation: the spare, or one built here.
    ///
    /// # Errors
    /// When no VM can be built.
    pub(super) fn fresh(&self) -> Result<Box<Generation<C>>, Error> {
        let fresh = match self.depot.take_spare() {
            Some(spare) => spare,
            None => {
                // Before anything was loaded, none is kept.
                if self.depot.is_wanted() {
                    self.totals.spares_missed.count();
                }
                Box::new(Generation::new(self.dialect.clone())?)
            }
        };
        configure(&fresh);
        Ok(fresh)
    }

    /// Has the worker keep a spare from now on, if anything is loaded that a flush would throw away.
    pub(super) fn expect_flush(&self, threads: &Threads, context: &Context) {
        if self.generation.registry().count() > 0 && self.depot.want() {
            threads.reclaim.prepare();
            threads.deliver_soon(context);
        }
    }

    /// Puts `fresh` in the place of the current generation, which ends here with those that could come back: nothing
    /// else ends one. It counts as a flush that began at `began`, if anything was loaded.
    pub(super) fn replace(
        &mut self,
        threads: &Threads,
        context: &Context,
        fresh: Box<Generation<C>>,
        mode: FlushMode,
        began: Ticks,
    ) {
        let old = self.supersede(threads, fresh);
        self.expect_flush(threads, context);
        let programs = old.registry().count();
        let mut leaving = Vec::with_capacity(1 + self.kept.len());
        leaving.push(old);
        leaving.extend(self.kept.drain(..));
        let freed = match mode {
            FlushMode::Sync => {
                drop(leaving);
                threads.reclaim.prepare();
                threads.deliver_soon(context);
                Freed::AsAsked
            }
            FlushMode::Async => self.hand_over(threads, context, leaving),
        };
        if programs == 0 {
            return;
        }
        self.totals.flushes.count();
        if freed == Freed::InPlace {
            self.totals.flushes_in_place.count();
        }
        self.last_flush = Some(LastFlush { mode, took: began.elapsed(), programs });
    }

    /// Puts `next` in the place of the current generation. Gives that: nothing refers to it any more.
    fn supersede(&mut self, threads: &Threads, next: Box<Generation<C>>) -> Box<Generation<C>> {
        // The watch lets go of the old VM before anybody can free it.
        threads.watch.set_alarm(Generation::<C>::CALLABLE, Some(next.alarm()));
        std::mem::replace(&mut self.generation, next)
    }

    /// Puts `next` in the place of the current generation, which is kept unless it is empty.
    pub(super) fn deploy(&mut self, threads: &Threads, context: &Context, next: Box<Generation<C>>, keep: Keep) {
        let began = Ticks::now();
        configure(&next);
        let old = self.supersede(threads, next);
        self.expect_flush(threads, context);
        if old.registry().count() == 0 {
            self.dispose(threads, context, vec![old]);
        } else {
            self.kept.push_front(old);
        }
        self.trim(threads, context, keep);
        self.last_deploy = Some(began.elapsed());
    }

    /// Brings back the last of the kept generations that `is_it`, and keeps the current one in its stead. False if
    /// there is none.
    pub(super) fn bring_back(
        &mut self,
        threads: &Threads,
        context: &Context,
        keep: Keep,
        is_it: impl Fn(&Generation<C>) -> bool,
    ) -> bool {
        let place = self.kept.iter().position(|generation| is_it(generation));
        let Some(next) = place.and_then(|place| self.kept.remove(place)) else { return false };
        self.deploy(threads, context, next, keep);
        true
    }

    /// Frees those of the kept generations that are too many, the oldest first.
    pub(super) fn trim(&mut self, threads: &Threads, context: &Context, keep: Keep) {
        let mut leaving = Vec::new();
        while self.kept.len() > keep.generations || keep.bytes > 0 && self.kept_bytes() > keep.bytes {
            leaving.extend(self.kept.pop_back());
        }
        if !leaving.is_empty() {
            self.dispose(threads, context, leaving);
        }
    }

    /// Frees generations that are not the current one.
    pub fn dispose(&self, threads: &Threads, context: &Context, generations: Vec<Box<Generation<C>>>) {
        self.hand_over(threads, context, generations);
    }

    /// Hands generations that nothing refers to over to the worker, or frees them here when that cannot take them.
    fn hand_over(&self, threads: &Threads, context: &Context, generations: Vec<Box<Generation<C>>>) -> Freed {
        match threads.reclaim.hand_over(generations, &self.depot) {
            Ok(()) => {
                threads.deliver_soon(context);
                Freed::AsAsked
            }
            Err(generations) => {
                drop(generations);
                Freed::InPlace
            }
        }
    }

    /// Whether a generation is filled beside the current one.
    pub(super) fn is_staged(&self) -> bool {
        self.staged.is_some()
    }

    /// Begins to fill a generation beside the current one.
    ///
    /// # Errors
    /// When no VM can be built.
    pub(super) fn stage(&mut self, threads: &Threads, context: &Context) -> Result<(), Error> {
        self.discard_staged(threads, context);
        self.staged = Some(self.fresh()?);
        Ok(())
    }

    /// Puts what was filled beside the current generation in its place.
    pub(super) fn commit_staged(&mut self, threads: &Threads, context: &Context) {
        if let Some(staged) = self.staged.take() {
            self.replace(threads, context, staged, FlushMode::Async, Ticks::now());
        }
    }

    /// Gives up what was filled beside the current generation.
    pub(super) fn discard_staged(&mut self, threads: &Threads, context: &Context) {
        if let Some(staged) = self.staged.take() {
            self.dispose(threads, context, vec![staged]);
        }
    }

    /// Sets every counter that only grows back to 0.
    pub(super) fn reset_statistics(&self) {
        self.generation.registry().reset_counters();
        self.kept().for_each(|generation| generation.registry().reset_counters());
        self.totals.reset();
        self.depot.reset_freed();
    }
}
