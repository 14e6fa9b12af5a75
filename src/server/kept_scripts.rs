//! `shadow.keep-scripts`: what changes in the cache of scripts goes to the append-only file and to the replicas.
//!
//! Each script knows whether it is kept: whether files and replicas have it as it is here. A script becomes kept when a
//! command has used it that brings a script or names one, before that command's reply is sent. So one that was cached
//! before the setting was on, or on a replica before that became the master, is kept from its next use on. Only what is
//! kept is in files, and only the eviction of what is kept is sent.
//!
//! What is sent are commands of a form of their own, which count as writes. SCRIPT LOAD and FLUSH do not: a replica
//! whose clients are paused would run them, and would end when it writes them to its own append-only file.
//!
//! A replica gets to keep what its master keeps, and evicts none of it by itself. What clients bring to it is its own:
//! it is not in files, and goes with the next full synchronisation.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::Arc;

use super::api::{Context, State};
use super::module::{self, FlushMode, Module, keeps_scripts};
use crate::error::Error;
use crate::registry::{Digest, Origin, Script};

/// The command that brings changes to replicas and files, as it is sent.
pub const COMMAND: &CStr = c"SHADOW.SCRIPT";
/// Its subcommand.
pub const SUBCOMMAND: &[u8] = b"KEPT";

/// What is said where nothing can be sent, because clients are paused or a failover is going on.
pub const PAUSED: &str =
    "ERR Writes are paused, and with 'shadow.keep-scripts yes' this would have to reach the replicas";

/// The word in the command for how a script came to the cache.
pub const fn word(origin: Origin) -> &'static [u8] {
    match origin {
        Origin::Load => b"LOAD",
        Origin::Eval => b"EVAL",
    }
}

/// The scripts that belong into files, the least recently used first.
pub fn in_files(module: &Module) -> Vec<&Arc<Script>> {
    if keeps_scripts() { module.scripts.generation().registry().kept_by_use() } else { Vec::new() }
}

/// Whether what commands change in the cache in this state is sent.
#[inline]
pub fn are_sent(state: State) -> bool {
    keeps_scripts() && !state.contains(State::SLAVE) && !state.obeys()
}

/// Whether scripts that are kept are not this server's to evict, or not now.
pub fn are_spared(context: &Context) -> bool {
    keeps_scripts() && (context.state().contains(State::SLAVE) || context.writes_are_paused())
}

/// Whether a script that is used in this state is to be kept then.
#[inline]
pub fn is_owed(state: State, script: &Script) -> bool {
    keeps_scripts() && !script.is_kept() && are_sent(state)
}

/// Keeps a script however the call of it ends, and evicts others for it.
///
/// What is sent follows what the script wrote, for it is not known before whether clients are paused meanwhile: a
/// failover in a cluster begins by a message of another node, also while a script runs.
pub struct Keeping<'a> {
    context: &'a Context<'a>,
    /// The script, and whether this call has brought it.
    owed: Cell<Option<(Digest, bool)>>,
}

impl<'a> Keeping<'a> {
    pub const fn new(context: &'a Context<'a>) -> Self {
        Self { context, owed: Cell::new(None) }
    }

    /// Keeps this script when the call has ended. `brought`: this call has brought it, and takes it out again if it
    /// cannot be kept.
    pub fn owe(&self, script: &Script, brought: bool) {
        self.owed.set(Some((script.digest, brought)));
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        let Some((digest, brought)) = self.owed.take() else { return };
        // Nothing is running any more that could stand in the way; after a panic its error is the reply.
        if let Err(error) = keep(self.context, &digest, brought) {
            self.context.log(c"warning", error.text());
        }
    }
}

/// Keeps a script, where scripts are kept, and evicts others that are too many. While clients are paused it cannot be
/// kept: if it was just `brought`, it is taken out again.
///
/// # Errors
/// When nothing can be changed.
pub fn keep(context: &Context, digest: &Digest, brought: bool) -> Result<(), Error> {
    if !are_sent(context.state()) {
        module::write(context)?.evict_scripts(are_spared(context));
        return Ok(());
    }
    let (evicted, script) = {
        let mut module = module::write(context)?;
        if context.writes_are_paused() {
            if brought {
                module.remove_script(digest.as_bytes());
            }
            return Ok(());
        }
        module.evict_scripts(false);
        (module.take_evicted(), module.keep_script(digest.as_bytes()))
    };
    // Apart, for the state is not to be borrowed while the server replicates. A script that comes again was evicted
    // before.
    send_evicted(context, &evicted);
    if let Some(script) = script {
        context.replicate(COMMAND, &[SUBCOMMAND, word(script.origin()), &script.code]);
    }
    Ok(())
}

/// Sends a flush, where scripts are kept.
pub fn send_flush(context: &Context, mode: FlushMode) {
    if are_sent(context.state()) {
        let mode: &[u8] = if mode == FlushMode::Async { b"ASYNC" } else { b"SYNC" };
        context.replicate(COMMAND, &[SUBCOMMAND, b"FLUSH", mode]);
    }
}

/// Evicts what is too many because a setting or the server's role has changed.
pub fn attend(context: &Context) {
    let spared = are_spared(context);
    if !module::read().is_ok_and(|module| module.has_evictions(spared)) {
        return;
    }
    let evicted = {
        // Refused while a function is running; the next tick comes.
        let Ok(mut module) = module::write(context) else { return };
        module.evict_scripts(spared);
        if spared && !context.state().contains(State::SLAVE) {
            // They are sent when writes are not paused any more.
            return;
        }
        module.take_evicted()
    };
    if are_sent(context.state()) {
        send_evicted(context, &evicted);
    }
}

/// Digests in one command.
const EVICTED_AT_ONCE: usize = 1_000;

fn send_evicted(context: &Context, evicted: &[Digest]) {
    for some in evicted.chunks(EVICTED_AT_ONCE) {
        let words: Vec<&[u8]> = [SUBCOMMAND, b"EVICT"].into_iter().chain(some.iter().map(Digest::as_bytes)).collect();
        context.replicate(COMMAND, &words);
    }
}
