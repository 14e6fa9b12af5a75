use super::super::api::{Arguments, Context};
use super::super::guard::Command;
use super::super::module;
use crate::error::Error;

/// `SHADOW.FUNCTION STATS`: the running function and the engines.
///
/// Commands of clients are not run while a function is, so none is running when this is asked.
pub struct Stats;

impl Command for Stats {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        module::look(|module| {
            let registry = module.generation.registry();
            context.reply_map(2);
            context.reply_bulk(b"running_script");
            context.reply_null();
            context.reply_bulk(b"engines");
            context.reply_map(1);
            context.reply_bulk(b"LUA");
            context.reply_map(2);
            context.reply_bulk(b"libraries_count");
            context.reply_integer(registry.library_count() as i64);
            context.reply_bulk(b"functions_count");
            context.reply_integer(registry.function_count() as i64);
            Ok(())
        })
    }
}
