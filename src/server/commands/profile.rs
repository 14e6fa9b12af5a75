use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::api::{Arguments, Context};
use super::super::intercept::typed_name;
use super::super::module::{self, Module};
use super::super::named::Named;
use super::super::profile::{Format, Order};
use super::entry::{Command, Kind};
use super::help::reply_help;
use super::{is_option, unknown_argument, unknown_subcommand};
use crate::c_string::to_nul;
use crate::engine::Callable;
use crate::error::Error;

/// `SHADOW.FUNCTION PROFILE START [FUNCTION name] [HZ n] [SECONDS n] | STOP | GET [FOLDED | SPEEDSCOPE] | HELP`, and
/// the same of SHADOW.SCRIPT with `SCRIPT sha1`: where the time goes.
pub struct Profile<K>(PhantomData<K>);

impl<K: Kind> Command for Profile<K> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        run(context, arguments, K::CALLABLE)
    }
}

/// Samples in a second. The usual number keeps out of step with what happens at round ones.
const HERTZ: RangeInclusive<u32> = 1..=10_000;
const USUAL_HERTZ: u32 = 99;

/// How long a profile lasts.
const SECONDS: RangeInclusive<u32> = 1..=3_600;
const USUAL_SECONDS: u32 = 60;

fn run(context: &Context, arguments: Arguments, callable: Callable) -> Result<(), Error> {
    let words = arguments.len();
    let is = |option| is_option(arguments.get(2), option);
    if is("help") && words == 3 {
        help(context, arguments, callable);
        return Ok(());
    }
    let module = module::read()?;
    let watch = &module.threads.watch;
    if is("start") {
        module.profiler.start(watch, order(&module, arguments, callable)?)?;
    } else if is("stop") && words == 3 {
        module.profiler.stop(watch, callable)?;
    } else if is("get") && words <= 4 {
        let format = match arguments.get(3) {
            _ if words == 3 => Format::Folded,
            word if is_option(word, "folded") => Format::Folded,
            word if is_option(word, "speedscope") => Format::Speedscope,
            word => return Err(unknown_argument(word)),
        };
        context.reply_verbatim(*b"txt", module.profiler.get(watch, callable, format)?.as_bytes());
        return Ok(());
    } else {
        let command = [typed_name(arguments).as_slice(), b" PROFILE"].concat();
        return Err(unknown_subcommand(arguments.get(2), &command));
    }
    context.reply_ok();
    Ok(())
}

/// Reads the options of START, each of which may be given once.
fn order(module: &Module, arguments: Arguments, callable: Callable) -> Result<Order, Error> {
    let (mut only, mut hertz, mut seconds) = (None, None, None);
    let mut words = arguments.range(3, arguments.len());
    while let Some(word) = words.next() {
        let value = words.next();
        let given = || {
            let option = to_nul(word).to_ascii_uppercase();
            value.ok_or_else(|| Error::new([b"ERR ", option.as_slice(), b" needs a value"].concat()))
        };
        if is_option(word, callable.word()) && only.is_none() {
            only = Some(Named::find(module, callable, given()?)?.name.into());
        } else if is_option(word, "hz") && hertz.is_none() {
            hertz = Some(number(given()?, "HZ", HERTZ)?);
        } else if is_option(word, "seconds") && seconds.is_none() {
            seconds = Some(number(given()?, "SECONDS", SECONDS)?);
        } else {
            return Err(unknown_argument(word));
        }
    }
    Ok(Order {
        callable,
        only,
        hertz: hertz.unwrap_or(USUAL_HERTZ),
        length: Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS).into()),
    })
}

fn number(text: &[u8], option: &str, range: RangeInclusive<u32>) -> Result<u32, Error> {
    let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|text| text.parse().ok()).filter(|number| range.contains(number)).ok_or_else(|| {
        Error::new(format!("ERR {option} must be a whole number from {} to {}", range.start(), range.end()))
    })
}

fn help(context: &Context, arguments: Arguments, callable: Callable) {
    let command = typed_name(arguments).to_ascii_uppercase();
    let (kind, one, name) = match callable {
        Callable::Function => ("functions", "FUNCTION", "name"),
        Callable::Script => ("scripts", "SCRIPT", "sha1"),
    };
    let lines = [
        format!("START [{one} <{name}>] [HZ <samples a second>] [SECONDS <length>]"),
        format!("    Begin a profile of {kind}, in the place of the last one."),
        format!("    * {one}: of this one only, rather than of all"),
        format!("    * HZ: {} to {}, {USUAL_HERTZ} if not given", HERTZ.start(), HERTZ.end()),
        format!("    * SECONDS: {} to {}, {USUAL_SECONDS} if not given", SECONDS.start(), SECONDS.end()),
        "STOP".to_owned(),
        "    End the profile before its time is over.".to_owned(),
        "GET [FOLDED|SPEEDSCOPE]".to_owned(),
        "    Return the last profile, or the running one so far:".to_owned(),
        "    * FOLDED: a line for each stack, as tools for flame graphs take them (default)".to_owned(),
        "    * SPEEDSCOPE: the JSON that speedscope opens".to_owned(),
        "HELP".to_owned(),
        "    Print this help.".to_owned(),
    ];
    reply_help(context, &[&command, b" PROFILE".as_slice()].concat(), &lines.each_ref().map(String::as_str));
}
