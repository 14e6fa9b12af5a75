use super::super::super::api::{Arguments, Context};
use super::super::super::module;
use super::super::entry::Command;
use super::super::list::{CALL_STATS, Options, reply_calls, reply_flags, reply_number};
use crate::error::Error;
use crate::registry::{Origin, Script};

/// `SHADOW.SCRIPT LIST [WITHCODE] [WITHSTATS]`: the cached scripts, the one that was used last first.
pub struct List;

impl Command for List {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let options = Options::parse(arguments, false)?;
        let module = module::read()?;
        let scripts = module.scripts.generation().registry().by_last_use();
        context.reply_array(scripts.len());
        for script in scripts {
            reply_script(context, script, &options);
        }
        Ok(())
    }
}

/// How many bytes of its text stand for a script that has no other name than its digest.
const NAME_LENGTH: usize = 60;

/// Fields of a script without options, and those that WITHSTATS adds.
const FIELDS: usize = 6;
const STATS: usize = 1 + CALL_STATS;

fn reply_script(context: &Context, script: &Script, options: &Options) {
    let stats = if options.with_stats { STATS } else { 0 };
    context.reply_map(FIELDS + usize::from(options.with_code) + stats);
    context.reply_bulk(b"sha1");
    context.reply_bulk(script.digest.as_bytes());
    context.reply_bulk(b"name");
    context.reply_bulk(script.code.get(..NAME_LENGTH).unwrap_or(&script.code));
    reply_number(context, b"size", script.code.len() as u64);
    reply_number(context, b"idle_ms", script.idle());
    context.reply_bulk(b"origin");
    context.reply_bulk(match script.origin() {
        Origin::Load => b"load",
        Origin::Eval => b"eval",
    });
    context.reply_bulk(b"flags");
    match script.flags {
        Some(flags) => reply_flags(context, flags),
        None => context.reply_null(),
    }
    if options.with_code {
        context.reply_bulk(b"code");
        context.reply_bulk(&script.code);
    }
    if options.with_stats {
        reply_number(context, b"bytes", (script.vm_bytes + script.bytes()) as u64);
        reply_calls(context, &script.callback.counters);
    }
}
