use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.FUNCTION DELETE library-name`: deletes a library.
pub struct Delete;

impl Command for Delete {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        module::write(context)?.delete(arguments.get(2))?;
        context.replicate_verbatim();
        context.reply_ok();
        Ok(())
    }
}
