//! What the calls of functions and of scripts have in common.

use super::super::api::{Arguments, ClientId, Context, KeyAccess, State};
use super::super::cluster;
use super::super::excerpt::excerpts;
use super::super::host::CallHost;
use super::super::module::Module;
use super::super::reply::ClientReply;
use super::super::running::{Callee, HEAD, Running, during};
use super::super::settings::HIDE_USER_DATA;
use super::super::slow_log::{SlowCall, SlowLog};
use super::super::stock;
use crate::clock::{Ticks, unix_milliseconds};
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::FunctionFlags;

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
            callee.callback.counters.reject();
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
        let running = Running::new(callee, arguments, keys_end, state.obeys());
        let mut host = CallHost::new(context, module, &running);
        if self.read_only {
            host.deny_writes();
        }
        if state.obeys() {
            // What comes from the master or out of a file has been permitted before.
        } else if callee.flags.is_none() && state.contains(State::OOM) {
            host.deny_memory();
        }
        if state.contains(State::CLUSTER) && !state.obeys() {
            host.in_cluster(running.keys().next());
            if callee.flags.is_some_and(|flags| !flags.contains(FunctionFlags::ALLOW_CROSS_SLOT_KEYS)) {
                host.keep_to_one_slot(running.keys().next());
            }
        }
        let account = Account { running: &running, module };
        let result = during(&running, &module.threads.watch, || body(&running, &mut host, &mut ClientReply(context)));
        let took = account.close(result.is_err() || context.replied_error());
        if module.followed.is_slow(took) {
            self.log_slow(&running, took);
        }
        result
    }

    /// Adds the call to the slow calls of its kind.
    #[cold]
    fn log_slow(&self, running: &Running, took: Ticks) {
        let Self { context, module, arguments, .. } = *self;
        let &Callee { name, library, totals, .. } = running.callee;
        totals.slow_calls.count();
        let hides = HIDE_USER_DATA.is_on() || running.has_run(b"migrate");
        let client = ClientId::of_caller(context);
        let usec = |ticks: Ticks| ticks.duration().as_micros() as u64;
        let call = SlowCall {
            id: 0,
            time: unix_milliseconds() / 1_000,
            spent: usec(took),
            name: name.into(),
            library: library.map(|library| (library.name.clone(), library.version())),
            keys: excerpts(running.keys(), WORDS, hides),
            arguments: excerpts(arguments.range(running.keys_end, arguments.len()), WORDS, hides),
            commands: running.commands.count(),
            commands_spent: usec(running.commands.spent()),
            slowest: running.commands.slowest().map(|(command, took)| (command, usec(took))),
            address: address(context, module, client),
            client: client.name(context),
        };
        slow_log(module, running.callee.callable).add(call, module.followed.slow_calls());
    }
}

/// The address of a client. The server's slow log shows the path of its socket for one that is connected there; modules
/// are told that it is one.
fn address(context: &Context, module: &Module, client: ClientId) -> Vec<u8> {
    if module.dialect.finds_callers_without_connection() {
        return stock::client_address(context, client).unwrap_or_default();
    }
    let address = client.address();
    if address.starts_with(b"/")
        && let Some(path) = stock::setting(context, c"unixsocket")
    {
        return [&path, &b":0"[..]].concat();
    }
    address
}

/// How many keys, and how many arguments, the entry of a slow call has: as many words as that of the server.
const WORDS: usize = 32;

/// The slow calls of this kind.
pub const fn slow_log(module: &Module, callable: Callable) -> &SlowLog {
    match callable {
        Callable::Function => &module.functions.slow_log,
        Callable::Script => &module.scripts.slow_log,
    }
}

/// Counts a call when it ends. A call that panics counts as failed.
struct Account<'a> {
    running: &'a Running<'a>,
    module: &'a Module,
}

impl Account<'_> {
    /// Counts the call, and tells how long it took.
    #[inline(always)]
    fn close(self, failed: bool) -> Ticks {
        let took = self.count(failed);
        std::mem::forget(self);
        took
    }

    #[inline(always)]
    fn count(&self, failed: bool) -> Ticks {
        let Callee { callback, totals, .. } = self.running.callee;
        let (counters, commands) = (&callback.counters, &self.running.commands);
        let took = self.running.elapsed_exactly();
        counters.count(took, failed);
        if self.module.followed.tracks_latency() {
            counters.count_time(took);
        }
        // They are timed for as long.
        if commands.count() > 0 {
            counters.count_commands(commands.count(), commands.spent());
        }
        totals.calls.count();
        if failed {
            totals.failed_calls.count();
        }
        took
    }
}

impl Drop for Account<'_> {
    #[cold]
    fn drop(&mut self) {
        self.count(true);
    }
}

/// Tells the server which words are keys.
pub fn name_keys(context: &Context, arguments: Arguments, read_only: bool) {
    if let Ok(count) = key_count(arguments, "") {
        let access = if read_only { KeyAccess::ReadOnly } else { KeyAccess::ReadWrite };
        context.name_keys(HEAD, count, access);
    }
}

/// The number of keys.
fn key_count(arguments: Arguments, no_integer: &str) -> Result<usize, Error> {
    let text = arguments.get(2);
    // Nearly every call has few keys.
    if let [digit @ b'0'..=b'9'] = text {
        return checked_count(i64::from(digit - b'0'), arguments);
    }
    let number = decimal(text).ok_or_else(|| Error::new(no_integer))?;
    checked_count(number, arguments)
}

/// A decimal number as the server reads one, without a plus, spaces or leading zeros.
pub fn decimal(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(number).as_bytes() == text).then_some(number)
}

fn checked_count(number: i64, arguments: Arguments) -> Result<usize, Error> {
    if number > arguments.len().saturating_sub(HEAD) as i64 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    usize::try_from(number).map_err(|_| "ERR Number of keys can't be negative".into())
}
