//! One of the module's registries: its current generation, and what stands ready to take its place.

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
    dialect: Dialect,
    /// What the worker keeps for it.
    pub depot: Arc<Depot<Generation<C>>>,
    /// What is counted of its calls and flushes.
    pub totals: Totals,
    /// The calls that took long.
    pub slow_log: SlowLog,
    /// The last flush that retired a generation.
    pub last_flush: Option<LastFlush>,
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
            dialect: dialect.clone(),
            depot: Depot::new(move || Generation::new(spare_dialect.clone()).ok()),
            totals: Totals::default(),
            slow_log: SlowLog::default(),
            last_flush: None,
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

    /// Deletes all libraries or scripts.
    ///
    /// # Errors
    /// When no spare is ready and no VM can be built. Nothing has changed then.
    pub(super) fn flush(&mut self, threads: &Threads, context: &Context, mode: FlushMode) -> Result<(), Error> {
        if self.generation.registry().count() == 0 {
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
                self.totals.spares_missed.count();
                Box::new(Generation::new(self.dialect.clone())?)
            }
        };
        configure(&fresh);
        Ok(fresh)
    }

    /// Puts `fresh` in the place of the current generation, which ends here: nothing else replaces it. It counts as a
    /// flush that began at `began`, if anything was loaded.
    pub(super) fn replace(
        &mut self,
        threads: &Threads,
        context: &Context,
        fresh: Box<Generation<C>>,
        mode: FlushMode,
        began: Ticks,
    ) {
        // The watch lets go of the old VM before anybody can free it.
        threads.watch.set_alarm(Generation::<C>::CALLABLE, Some(fresh.alarm()));
        let old = std::mem::replace(&mut self.generation, fresh);
        let programs = old.registry().count();
        let freed = match mode {
            FlushMode::Sync => {
                drop(old);
                threads.reclaim.prepare();
                threads.deliver_soon(context);
                Freed::AsAsked
            }
            FlushMode::Async => self.hand_over(threads, context, old),
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

    /// Frees a generation that never was the current one.
    pub(super) fn dispose(&self, threads: &Threads, context: &Context, generation: Box<Generation<C>>) {
        self.hand_over(threads, context, generation);
    }

    /// Hands a generation that nothing refers to over to the worker, or frees it here when that cannot take it.
    fn hand_over(&self, threads: &Threads, context: &Context, generation: Box<Generation<C>>) -> Freed {
        match threads.reclaim.hand_over(generation, &self.depot) {
            Ok(()) => {
                threads.deliver_soon(context);
                Freed::AsAsked
            }
            Err(generation) => {
                drop(generation);
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
            self.dispose(threads, context, staged);
        }
    }

    /// Sets every counter that only grows back to 0.
    pub(super) fn reset_statistics(&self) {
        self.generation.registry().reset_counters();
        self.totals.reset();
        self.depot.reset_freed();
    }
}
