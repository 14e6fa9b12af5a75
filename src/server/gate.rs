//! Whether a function may run in the server's present state.
//!
//! For FCALL the server checks this before the command runs, by the flags of the function. It does not know the flags
//! of the module's functions, so the same checks are made here, with the server's texts.

use std::cell::Cell;

use super::api::{Context, State};
use super::stock;
use crate::engine::Dialect;
use crate::error::Error;
use crate::registry::FunctionFlags;

const MASTERDOWN: &str = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const READONLY: &str = "READONLY You can't write against a read only replica.";
const NOREPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const NO_CLUSTER: &str = "ERR Can not run script on cluster, 'no-cluster' flag is set.";
const RO_VARIANT: &str = "ERR Can not execute a script with write flag using *_ro command.";

/// Reasons to refuse a write that no context flag shows: too few replicas, a failed save.
///
/// Asking the server for each call would cost too much. So the server's timer raises a doubt, ten times a second, and
/// the next call asks; while there is such a reason every call asks, and so sees at once when it is gone. A function
/// that slips through before the timer raises the doubt is refused by the server at its first write.
///
/// Where asking costs more than a call does (before 7.2), the timer asks by itself while calls come.
pub struct Gate {
    /// Whether the next call is to ask.
    in_doubt: Cell<bool>,
}

impl Gate {
    pub const fn new() -> Self {
        Self { in_doubt: Cell::new(true) }
    }

    /// The next call asks the server.
    pub fn doubt(&self) {
        self.in_doubt.set(true);
    }

    /// Asks the server, so that the next call need not.
    pub fn probe(&self, context: &Context) {
        self.in_doubt.set(write_refusal(context).is_some());
    }

    /// Checks whether a function with `flags` may run in the server's state: what the server checks before a command
    /// runs.
    ///
    /// # Errors
    /// The server's text for the reason against it.
    #[inline(always)]
    pub fn check_state(
        &self,
        context: &Context,
        state: State,
        flags: FunctionFlags,
        dialect: &Dialect,
    ) -> Result<(), Error> {
        let writes = !flags.contains(FunctionFlags::NO_WRITES);
        if writes && !state.obeys() {
            if state.contains(State::OOM) && !flags.contains(FunctionFlags::ALLOW_OOM) {
                return Err(OOM.into());
            }
            if self.in_doubt.get() {
                self.ask(context, dialect)?;
            }
            if state.contains(State::SLAVE | State::READONLY) {
                return Err(READONLY.into());
            }
        }
        if flags.contains(FunctionFlags::ALLOW_STALE) { Ok(()) } else { self.check_stale(context, state) }
    }

    /// Asks the server whether it takes writes. If so, there is no doubt any more.
    #[cold]
    fn ask(&self, context: &Context, dialect: &Dialect) -> Result<(), Error> {
        if (dialect.is_7_0() || !stock::takes_writes(context))
            && let Some(obstacle) = write_refusal(context)
        {
            return Err(obstacle.text(context, dialect));
        }
        self.in_doubt.set(false);
        Ok(())
    }

    /// Checks whether the server may serve what it has: a replica that has lost its master may not.
    ///
    /// # Errors
    /// The server's text for that.
    #[inline]
    pub fn check_stale(&self, context: &Context, state: State) -> Result<(), Error> {
        let refuses = state.contains(State::REPLICA_IS_STALE) && !serves_stale(context);
        if refuses { Err(MASTERDOWN.into()) } else { Ok(()) }
    }
}

/// Checks what FCALL itself checks after it has read its arguments; `read_only` for FCALL_RO.
///
/// # Errors
/// The server's text for the reason against the call.
pub fn check_call(state: State, flags: FunctionFlags, read_only: bool) -> Result<(), Error> {
    if flags.contains(FunctionFlags::NO_CLUSTER) && state.contains(State::CLUSTER) {
        return Err(NO_CLUSTER.into());
    }
    if read_only && !flags.contains(FunctionFlags::NO_WRITES) {
        return Err(RO_VARIANT.into());
    }
    Ok(())
}

/// Whether the server is a replica that has lost its master and must not serve what it has.
pub fn is_stale(context: &Context) -> bool {
    context.state().contains(State::REPLICA_IS_STALE) && !serves_stale(context)
}

fn serves_stale(context: &Context) -> bool {
    stock::setting(context, c"replica-serve-stale-data").is_none_or(|value| value == b"yes")
}

/// What keeps the server from writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    FailedSave,
    FailedAppend,
    TooFewReplicas,
}

impl Obstacle {
    /// The server's text for it. For a failed save the text names the server and the cause, so the server is asked. In
    /// a cluster it may answer with another error; the general text is used then.
    fn text(self, context: &Context, dialect: &Dialect) -> Error {
        let misconfigured = || stock::write_error(context).filter(|text| text.starts_with(b"MISCONF "));
        let server = dialect.words.server;
        match self {
            Self::TooFewReplicas => NOREPLICAS.into(),
            Self::FailedSave => Error::new(misconfigured().unwrap_or_else(|| {
                format!(
                    "MISCONF {server} is configured to save RDB snapshots, but it's currently unable to persist to \
                     disk. Commands that may modify the data set are disabled, because this instance is configured to \
                     report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). \
                     Please check the {server} logs for details about the RDB error."
                )
                .into_bytes()
            })),
            Self::FailedAppend => {
                Error::new(misconfigured().unwrap_or_else(|| b"MISCONF Errors writing to the AOF file".to_vec()))
            }
        }
    }
}

/// Why the server would refuse a write, other than for being a read-only replica. Runs no command while all is well.
fn write_refusal(context: &Context) -> Option<Obstacle> {
    let setting = |name, value: &[u8]| stock::setting(context, name).is_some_and(|found| found == value);
    let [save, append] = context.info(c"persistence", [c"rdb_last_bgsave_status", c"aof_last_write_status"]);
    if save.as_deref() == Some(b"err") && setting(c"stop-writes-on-bgsave-error", b"yes") && !setting(c"save", b"") {
        return Some(Obstacle::FailedSave);
    }
    if append.as_deref() == Some(b"err") {
        return Some(Obstacle::FailedAppend);
    }
    let [role, good] = context.info(c"replication", [c"role", c"min_slaves_good_slaves"]);
    let good = number(good)?;
    if role.as_deref() == Some(b"master") && good < number(stock::setting(context, c"min-replicas-to-write"))? {
        return Some(Obstacle::TooFewReplicas);
    }
    None
}

fn number(text: Option<Vec<u8>>) -> Option<u64> {
    String::from_utf8(text?).ok()?.parse().ok()
}
