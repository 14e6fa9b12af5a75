//! What the calls of functions and of scripts have in common.

use super::super::api::{Arguments, Context, KeyAccess, State};
use super::super::cluster;
use super::super::host::CallHost;
use super::super::module::Module;
use super::super::reply::ClientReply;
use super::super::running::{Running, during};
use super::super::totals::Totals;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::{Counters, FunctionFlags};

/// The words before the keys: the command, what it calls, the number of keys.
pub const HEAD: usize = 3;

/// A command that calls something.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub context: &'a Context<'a>,
    pub module: &'a Module,
    pub arguments: Arguments<'a>,
    /// The server's state when it came.
    pub state: State,
    /// Whether it may only call what does not write.
    pub read_only: bool,
}

/// What is called.
#[derive(Clone, Copy)]
pub struct Callee<'a> {
    pub callable: Callable,
    /// What errors and the log call it.
    pub name: &'a str,
    /// What it declares; None for a script that declares nothing.
    pub flags: Option<FunctionFlags>,
    pub counters: &'a Counters,
    pub totals: &'a Totals,
}

impl<'a> Call<'a> {
    /// Checks what the server checks before a command runs, by `flags`. What declares nothing passes: its commands are
    /// checked, each for itself.
    ///
    /// # Errors
    /// The server's text for the reason against it, or where the client should go instead.
    #[inline(always)]
    pub fn pass_gate(&self, flags: Option<FunctionFlags>, no_integer: &str) -> Result<(), Error> {
        let Some(flags) = flags else { return Ok(()) };
        if self.state.contains(State::CLUSTER | State::SLAVE)
            && let Some(elsewhere) = self.redirection(flags, no_integer)
        {
            return Err(elsewhere);
        }
        self.module.gate.check_state(self.context, self.state, flags, &self.module.dialect)
    }

    /// On a replica in a cluster: a client that reads there is sent to the master with what writes. The server, which
    /// does that before a command runs, cannot know that this one writes.
    #[cold]
    fn redirection(&self, flags: FunctionFlags, no_integer: &str) -> Option<Error> {
        if self.state.obeys() || flags.contains(FunctionFlags::NO_WRITES) {
            return None;
        }
        let keys_end = self.keys_end(no_integer).ok()?;
        cluster::redirection(self.context, self.arguments.range(HEAD, keys_end).next()?)
    }

    /// The end of the keys among the words. `no_integer`: what is said of a number of keys that is none.
    ///
    /// # Errors
    /// The server's text for what is wrong with the number.
    pub fn keys_end(&self, no_integer: &str) -> Result<usize, Error> {
        Ok(HEAD + key_count(self.arguments, no_integer)?)
    }

    /// Counts a call of `callee` that is refused with this result.
    pub fn count_refusal<T>(result: Result<T, Error>, callee: &Callee) -> Result<T, Error> {
        result.inspect_err(|_| {
            callee.counters.reject();
            callee.totals.rejected_calls.count();
        })
    }

    /// Makes the call: `body` runs it with its host and writes its reply.
    ///
    /// # Errors
    /// What it raised.
    #[inline]
    pub fn run(
        &self,
        callee: &Callee,
        keys_end: usize,
        body: impl FnOnce(&Running, &mut CallHost, &mut ClientReply) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { context, module, arguments, state, .. } = *self;
        let running = Running::new(callee.callable, callee.name, arguments, state.obeys());
        let first_key = arguments.word(HEAD).filter(|_| keys_end > HEAD);
        let call = (&running, &module.threads.watch, callee.totals);
        let mut host = CallHost::new(context, &module.dialect, callee.flags, call, first_key);
        if self.read_only {
            host.deny_writes();
        }
        if state.obeys() {
            // What comes from the master or out of a file has been permitted before.
        } else if callee.flags.is_none() && state.contains(State::OOM) {
            host.deny_memory();
        }
        if state.contains(State::CLUSTER) && !state.obeys() {
            host.in_cluster();
            if callee.flags.is_some_and(|flags| !flags.contains(FunctionFlags::ALLOW_CROSS_SLOT_KEYS)) {
                host.keep_to_one_slot(arguments.range(HEAD, keys_end).next());
            }
        }
        let mut account = Account { running: &running, callee, failed: true };
        let result = during(&running, &module.threads.watch, || body(&running, &mut host, &mut ClientReply(context)));
        account.failed = result.is_err() || context.replied_error();
        result
    }
}

/// Counts a call when it is dropped. A call that panics counts as failed.
struct Account<'a> {
    running: &'a Running<'a>,
    callee: &'a Callee<'a>,
    failed: bool,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let Callee { counters, totals, .. } = self.callee;
        counters.count(self.running.elapsed_exactly(), self.failed);
        totals.calls.count();
        if self.failed {
            totals.failed_calls.count();
        }
    }
}

/// Tells the server which words are keys.
pub fn name_keys(context: &Context, arguments: Arguments, read_only: bool) {
    if let Ok(count) = key_count(arguments, "") {
        let access = if read_only { KeyAccess::ReadOnly } else { KeyAccess::ReadWrite };
        context.name_keys(HEAD, count, access);
    }
}

/// The number of keys: a decimal number as the server reads one, without sign, spaces or leading zeros.
fn key_count(arguments: Arguments, no_integer: &str) -> Result<usize, Error> {
    let text = arguments.get(2);
    // Nearly every call has few keys.
    if let [digit @ b'0'..=b'9'] = text {
        return checked_count(i64::from(digit - b'0'), arguments);
    }
    let no_integer = || Error::new(no_integer);
    let number: i64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(no_integer)?;
    if itoa::Buffer::new().format(number).as_bytes() != text {
        return Err(no_integer());
    }
    checked_count(number, arguments)
}

fn checked_count(number: i64, arguments: Arguments) -> Result<usize, Error> {
    if number > arguments.len().saturating_sub(HEAD) as i64 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    usize::try_from(number).map_err(|_| "ERR Number of keys can't be negative".into())
}
