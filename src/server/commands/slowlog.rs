use std::marker::PhantomData;

use super::super::api::{Arguments, Context};
use super::super::intercept::typed_name;
use super::super::module;
use super::super::slow_log::SlowCall;
use super::call::{decimal, slow_log};
use super::entry::{Command, Kind};
use super::help::reply_help;
use super::keys::reply_texts;
use super::list::reply_number;
use super::{is_option, wrong_arguments};
use crate::error::Error;

/// `SHADOW.FUNCTION SLOWLOG GET [count] | LEN | RESET | HELP`, and the same of SHADOW.SCRIPT: the calls that took as
/// long as `slowlog-log-slower-than`, or longer.
pub struct SlowLog<K>(PhantomData<K>);

/// How many GET returns unless it is told.
const COUNT: usize = 10;

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> slow calls (default: 10, -1 mean all), the last one first.",
    "LEN",
    "    Return the number of slow calls.",
    "RESET",
    "    Forget the slow calls.",
    "HELP",
    "    Print this help.",
];

impl<K: Kind> Command for SlowLog<K> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let module = module::read()?;
        let log = slow_log(&module, K::CALLABLE);
        let is = |word| is_option(arguments.get(2), word);
        match arguments.len() {
            3 | 4 if is("get") => {
                let count = arguments.range(3, arguments.len()).next().map_or(Ok(COUNT), read_count)?;
                let calls = log.last(count);
                context.reply_array(calls.len());
                for call in &calls {
                    reply(context, K::CALLABLE.word(), call);
                }
            }
            3 if is("len") => context.reply_integer(log.len() as i64),
            3 if is("reset") => {
                log.clear();
                context.reply_ok();
            }
            3 if is("help") => {
                let command = [typed_name(arguments).as_slice(), b" slowlog"].concat();
                reply_help(context, &command, HELP);
            }
            _ => return Err(wrong_arguments(arguments)),
        }
        Ok(())
    }
}

/// How many calls this word asks for.
///
/// # Errors
/// The server's texts for a word that is no number, or a wrong one.
fn read_count(word: &[u8]) -> Result<usize, Error> {
    match decimal(word).ok_or(WRONG_COUNT)? {
        -1 => Ok(usize::MAX),
        count => usize::try_from(count).map_err(|_| WRONG_COUNT.into()),
    }
}

const WRONG_COUNT: &str = "ERR count should be greater than or equal to -1";

fn reply(context: &Context, kind: &str, call: &SlowCall) {
    context.reply_map(12 + if call.library.is_some() { 2 } else { 0 });
    reply_number(context, b"id", call.id);
    reply_number(context, b"time", call.time);
    reply_number(context, b"usec", call.spent);
    let field = |name: &[u8], value: &[u8]| {
        context.reply_bulk(name);
        context.reply_bulk(value);
    };
    field(kind.as_bytes(), call.name.as_bytes());
    if let Some((library, version)) = &call.library {
        field(b"library", library.as_bytes());
        field(b"sha256", version.as_bytes());
    }
    context.reply_bulk(b"keys");
    reply_texts(context, &call.keys);
    context.reply_bulk(b"arguments");
    reply_texts(context, &call.arguments);
    reply_number(context, b"commands", call.commands);
    reply_number(context, b"commands_usec", call.commands_spent);
    context.reply_bulk(b"slowest_command");
    match &call.slowest {
        Some((command, _)) => context.reply_bulk(command),
        None => context.reply_null(),
    }
    reply_number(context, b"slowest_command_usec", call.slowest.as_ref().map_or(0, |&(_, took)| took));
    field(b"client_addr", &call.address);
    field(b"client_name", &call.client);
}
