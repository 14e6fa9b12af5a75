use super::super::api::{Arguments, Context, State};
use super::super::kept_scripts::{are_spared, keep};
use super::super::module::{self, FlushMode, keeps_scripts};
use super::entry::Command;
use super::flush::mode;
use super::{is_option, wrong_arguments};
use crate::error::Error;
use crate::registry::Origin;

/// `SHADOW.SCRIPT KEPT LOAD script | EVAL script | EVICT sha1 [sha1 ...] | FLUSH [ASYNC | SYNC]`: what
/// `shadow.keep-scripts` sends to replicas and writes to the append-only file.
pub struct Kept;

impl Command for Kept {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let words = arguments.len();
        let action = arguments.get(2);
        let is = |option| is_option(action, option);
        if (is("load") || is("eval")) && words == 4 {
            let origin = if is("load") { Origin::Load } else { Origin::Eval };
            return load(context, arguments.get(3), origin);
        }
        if is("evict") && words > 3 {
            let mut module = module::write(context)?;
            arguments.range(3, words).for_each(|digest| module.follow_eviction(digest));
        } else if is("flush") && words <= 4 {
            let mode = match words {
                3 => FlushMode::Async,
                _ => mode(arguments.get(3)).ok_or_else(|| wrong_arguments(arguments))?,
            };
            module::write(context)?.flush_scripts(context, mode)?;
        } else {
            return Err(wrong_arguments(arguments));
        }
        pass_on(context);
        context.reply_ok();
        Ok(())
    }
}

/// Caches a script as the master has it; for a client as the other commands do that bring one.
fn load(context: &Context, code: &[u8], origin: Origin) -> Result<(), Error> {
    if context.state().obeys() {
        module::write(context)?.follow_script(context, code, origin);
        pass_on(context);
    } else {
        let script = module::write(context)?.cache_script(context, code, origin, || are_spared(context))?;
        keep(context, &script.digest, false)?;
    }
    context.reply_ok();
    Ok(())
}

/// Sends the command on, where scripts are kept: to the own append-only file on a replica.
fn pass_on(context: &Context) {
    if keeps_scripts() && !context.state().contains(State::LOADING) {
        context.replicate_verbatim();
    }
}
