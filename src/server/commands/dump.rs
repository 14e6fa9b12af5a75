use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.FUNCTION DUMP`: all libraries as a payload that FUNCTION RESTORE reads as well.
pub struct Dump;

impl Command for Dump {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        let payload = module::read()?.dump(context);
        context.reply_bulk(&payload);
        Ok(())
    }
}
