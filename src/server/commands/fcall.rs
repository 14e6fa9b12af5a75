use super::super::api::{Arguments, Context, KeyAccess, State};
use super::super::cluster;
use super::super::gate::check_call;
use super::super::host::CallHost;
use super::super::module::{self, Module};
use super::super::reply::ClientReply;
use super::super::running::{Running, during, is_any};
use super::super::totals::Totals;
use super::entry::Command;
use crate::error::Error;
use crate::registry::{Function, FunctionFlags};

/// `SHADOW.FCALL function numkeys [key ...] [arg ...]`: calls a function.
pub struct Fcall;

/// `SHADOW.FCALL_RO function numkeys [key ...] [arg ...]`: calls a function that does not write.
pub struct FcallReadOnly;

impl Command for Fcall {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        call(context, arguments, false)
    }
}

impl Command for FcallReadOnly {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        call(context, arguments, true)
    }
}

/// The words before the keys: the command, the function, the number of keys.
const HEAD: usize = 3;

fn call(context: &Context, arguments: Arguments, read_only: bool) -> Result<(), Error> {
    if context.asks_for_keys() {
        if let Ok(count) = key_count(arguments) {
            let access = if read_only { KeyAccess::ReadOnly } else { KeyAccess::ReadWrite };
            context.name_keys(HEAD, count, access);
        }
        return Ok(());
    }
    if is_any() {
        return Err("ERR A function cannot be called while another one is running".into());
    }
    let module = module::read()?;
    let generation = module.generation();
    let found = generation.registry().function(arguments.get(1)).ok_or("ERR Function not found")?;
    let state = context.state();
    let function = found.function();
    let keys_end = admit(context, arguments, state, function.flags, read_only, &module).inspect_err(|_| {
        function.counters.reject();
        module.totals.rejected_calls.count();
    })?;
    let running = Running::new(&function.name, arguments, state.obeys());
    let first_key = arguments.word(HEAD).filter(|_| keys_end > HEAD);
    let call = (&running, &module.watch, &module.totals);
    let mut host = CallHost::new(context, &module.dialect, function.flags, call, first_key);
    if state.contains(State::CLUSTER) && !state.obeys() {
        host.in_cluster();
        if !function.flags.contains(FunctionFlags::ALLOW_CROSS_SLOT_KEYS) {
            host.keep_to_one_slot(arguments.range(HEAD, keys_end).next());
        }
    }
    let mut account = Account { running: &running, function, totals: &module.totals, failed: true };
    let result = during(&running, &module.watch, || {
        generation.call(
            found,
            arguments.range(HEAD, keys_end),
            arguments.range(keys_end, arguments.len()),
            &mut host,
            &mut ClientReply(context),
        )
    });
    account.failed = result.is_err() || context.replied_error();
    result
}

/// Counts a call when it is dropped. A call that panics counts as failed.
struct Account<'a> {
    running: &'a Running<'a>,
    function: &'a Function,
    totals: &'a Totals,
    failed: bool,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.function.counters.count(self.running.elapsed_exactly(), self.failed);
        self.totals.calls.count();
        if self.failed {
            self.totals.failed_calls.count();
        }
    }
}

/// Checks whether the function may run here and now. Returns the end of the keys among the words.
fn admit(
    context: &Context,
    arguments: Arguments,
    state: State,
    flags: FunctionFlags,
    read_only: bool,
    module: &Module,
) -> Result<usize, Error> {
    if let Some(elsewhere) = redirection(context, arguments, state, flags) {
        return Err(elsewhere);
    }
    module.gate.check_state(context, state, flags, &module.dialect)?;
    let keys_end = HEAD + key_count(arguments)?;
    check_call(state, flags, read_only)?;
    Ok(keys_end)
}

/// A client that reads from a replica in a cluster is sent to the master with a function that writes. The server, which
/// does that before a command runs, cannot know that this one writes.
fn redirection(context: &Context, arguments: Arguments, state: State, flags: FunctionFlags) -> Option<Error> {
    if !state.contains(State::CLUSTER | State::SLAVE) || state.obeys() || flags.contains(FunctionFlags::NO_WRITES) {
        return None;
    }
    let keys_end = HEAD + key_count(arguments).ok()?;
    cluster::redirection(context, arguments.range(HEAD, keys_end).next()?)
}

/// The number of keys: a decimal number as the server reads one, without sign, spaces or leading zeros.
fn key_count(arguments: Arguments) -> Result<usize, Error> {
    const BAD: &str = "ERR Bad number of keys provided";
    let text = arguments.get(2);
    // Nearly every call has few keys.
    if let [digit @ b'0'..=b'9'] = text {
        return checked_count(i64::from(digit - b'0'), arguments);
    }
    let number: i64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(BAD)?;
    if itoa::Buffer::new().format(number).as_bytes() != text {
        return Err(BAD.into());
    }
    checked_count(number, arguments)
}

fn checked_count(number: i64, arguments: Arguments) -> Result<usize, Error> {
    if number > arguments.len().saturating_sub(HEAD) as i64 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    usize::try_from(number).map_err(|_| "ERR Number of keys can't be negative".into())
}
