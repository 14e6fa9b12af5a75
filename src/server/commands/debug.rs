use std::ffi::CString;
use std::marker::PhantomData;

use super::super::api::{Arguments, Context, InnerCommand, InnerReply};
use super::super::host::PLAIN_FLAGS;
use super::super::intercept::{self, Scope};
use super::super::{module, persistence};
use super::entry::Command;
use super::spec::List;
use crate::error::Error;

/// `SHADOW.DEBUG PANIC | PANIC-IN-REPLY | PANIC-IN-CALLBACK | PANIC-IN-WORKER | PANIC-IN-WATCH | PANIC-IN-SAVE |
/// RECLAIM-HOLD | RECLAIM-RELEASE`: faults for the tests. `SHADOW.DEBUG CALL <times> <command> [word ...]`: runs inner
/// commands without a function, for the benchmark to compare. `SHADOW.DEBUG FILTER ON | OFF`: installs or removes the
/// filter of `intercept all`, so that one server shows what it costs.
pub struct Debug<Commands>(PhantomData<Commands>);

impl<Commands: List> Command for Debug<Commands> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        match arguments.get(1).to_ascii_uppercase().as_slice() {
            b"PANIC" => panic!("a panic was asked for"),
            b"PANIC-IN-REPLY" => {
                context.reply_array(2);
                panic!("a panic in a reply was asked for");
            }
            b"PANIC-IN-CALLBACK" => context.soon(|_| panic!("a panic in a callback was asked for")),
            b"PANIC-IN-WORKER" => module::read()?.threads.reclaim.panic(),
            b"PANIC-IN-WATCH" => module::read()?.threads.watch.panic(),
            b"PANIC-IN-SAVE" => persistence::panic_at_next_save(),
            b"CALL" => call(context, arguments)?,
            b"FILTER" => filter::<Commands>(context, arguments.get(2))?,
            b"RECLAIM-HOLD" => module::read()?.threads.reclaim.hold(true),
            b"RECLAIM-RELEASE" => module::read()?.threads.reclaim.hold(false),
            word => return Err(Error::new([b"ERR unknown fault '", word, b"'"].concat())),
        }
        context.reply_ok();
        Ok(())
    }
}

/// Runs a command over and over, as a function would.
fn call(context: &Context, arguments: Arguments) -> Result<(), Error> {
    let times = std::str::from_utf8(arguments.get(2)).ok().and_then(|text| text.parse::<u32>().ok());
    let name = CString::new(arguments.get(3)).ok().filter(|name| !name.is_empty());
    let (times, name) = times.zip(name).ok_or("ERR CALL needs a number and a command")?;
    let words: Vec<&[u8]> = arguments.range(4, arguments.len()).collect();
    let module = module::read()?;
    let mut reply = InnerReply::default();
    for _ in 0..times {
        let flags = PLAIN_FLAGS;
        let command = InnerCommand { context, name: &name, words: &words, first: None, flags, reply: &mut reply };
        module.inner_calls.run(command);
        if let Some(refusal) = reply.wire().strip_prefix(b"-") {
            return Err(Error::new(refusal));
        }
    }
    Ok(())
}

fn filter<Commands: List>(context: &Context, word: &[u8]) -> Result<(), Error> {
    let wanted = match word.to_ascii_uppercase().as_slice() {
        b"ON" => true,
        b"OFF" => false,
        _ => return Err("ERR FILTER needs ON or OFF".into()),
    };
    intercept::remove(context);
    if wanted {
        let dialect = module::read()?.dialect.clone();
        intercept::install(context, dialect, Scope::all(), Commands::specs()).map_err(Error::new)?;
    }
    Ok(())
}
