use super::super::api::{Arguments, Context};
use super::super::busy::busy_error;
use super::super::intercept::intercepted_name;
use super::super::module;
use super::super::running::{Running, is_any, with_current};
use super::super::stock;
use super::entry::Command;
use crate::engine::Callable;
use crate::error::Error;

/// `SHADOW.FUNCTION STATS`: the running function and the engines.
pub struct Stats;

impl Command for Stats {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        // A script of the server's own may be the one that everybody waits for.
        if !is_any()
            && let Some(busy) = stock::busy_error(context)
        {
            return Err(Error::new(busy));
        }
        let module = module::read()?;
        if with_current(|running| running.is_some_and(|running| running.callee.callable == Callable::Script)) {
            return Err(busy_error(context, &module.dialect, Callable::Script));
        }
        let registry = module.functions.generation().registry();
        // The server's own libraries have no version, and its STATS no such field.
        let release = registry.release();
        context.reply_map(2 + usize::from(release.is_some()));
        context.reply_bulk(b"running_script");
        with_current(|running| match running {
            Some(running) => reply_running(context, running),
            None => context.reply_null(),
        });
        context.reply_bulk(b"engines");
        context.reply_map(1);
        context.reply_bulk(b"LUA");
        context.reply_map(2);
        context.reply_bulk(b"libraries_count");
        context.reply_integer(registry.library_count() as i64);
        context.reply_bulk(b"functions_count");
        context.reply_integer(registry.function_count() as i64);
        if let Some(release) = release {
            context.reply_bulk(b"version");
            context.reply_bulk(release.shown().as_bytes());
        }
        Ok(())
    }
}

fn reply_running(context: &Context, running: &Running) {
    context.reply_map(3);
    context.reply_bulk(b"name");
    context.reply_bulk(running.callee.name.as_bytes());
    context.reply_bulk(b"command");
    context.reply_array(running.arguments.len());
    match intercepted_name(running.arguments) {
        Some(typed) => context.reply_bulk(typed.as_bytes()),
        None => context.reply_bulk(running.arguments.get(0)),
    }
    for word in running.arguments.range(1, running.arguments.len()) {
        context.reply_bulk(word);
    }
    context.reply_bulk(b"duration_ms");
    context.reply_integer(running.elapsed() as i64);
}
