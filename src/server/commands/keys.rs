use std::marker::PhantomData;

use super::super::api::{Arguments, Context};
use super::super::module;
use super::super::named::Named;
use super::entry::{Command, Kind};
use super::list::reply_number;
use crate::error::Error;
use crate::registry::{Case, Findings};

/// `SHADOW.FUNCTION KEYS [function]` and `SHADOW.SCRIPT KEYS [sha1]`: which keys the calls reached that they did not
/// declare.
pub struct Keys<K>(PhantomData<K>);

impl<K: Kind> Command for Keys<K> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        if arguments.len() > 3 {
            return Err(super::wrong_arity(arguments));
        }
        let module = module::read()?;
        let chosen = Named::chosen(&module, K::CALLABLE, arguments.range(2, arguments.len()))?;
        let found: Vec<_> = chosen.iter().filter_map(|one| Some((one, one.callback.counters.findings()?))).collect();
        context.reply_array(found.len());
        for (one, findings) in &found {
            reply(context, K::CALLABLE.word(), one, findings);
        }
        Ok(())
    }
}

fn reply(context: &Context, kind: &str, one: &Named, findings: &Findings) {
    context.reply_map(5 + usize::from(one.library.is_some()));
    context.reply_bulk(kind.as_bytes());
    context.reply_bulk(one.name.as_bytes());
    if let Some(library) = one.library {
        context.reply_bulk(b"library");
        context.reply_bulk(library.name.as_bytes());
    }
    reply_number(context, b"undeclared", findings.found());
    reply_number(context, b"denied", findings.denied());
    context.reply_bulk(b"commands");
    context.reply_map(findings.commands().len());
    for (command, count) in findings.commands() {
        reply_number(context, command, *count);
    }
    context.reply_bulk(b"cases");
    context.reply_array(findings.cases().len());
    for case in findings.cases() {
        reply_case(context, case);
    }
}

fn reply_case(context: &Context, case: &Case) {
    context.reply_map(7);
    context.reply_bulk(b"command");
    context.reply_bulk(&case.command);
    context.reply_bulk(b"key");
    context.reply_bulk(&case.key);
    reply_number(context, b"line", case.line.into());
    context.reply_bulk(b"declared");
    reply_texts(context, &case.declared);
    reply_number(context, b"time_ms", case.time);
    reply_number(context, b"count", case.count);
    context.reply_bulk(b"denied");
    context.reply_boolean(case.denied);
}

/// Adds an array of strings.
pub fn reply_texts(context: &Context, texts: &[Vec<u8>]) {
    context.reply_array(texts.len());
    for text in texts {
        context.reply_bulk(text);
    }
}
