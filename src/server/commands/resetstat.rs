use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.FUNCTION RESETSTAT`: counts from 0 again. CONFIG RESETSTAT, which resets what the server counts, tells no module
/// of it.
pub struct ResetStat;

impl Command for ResetStat {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        module::look(|module| {
            module.reset_statistics();
            Ok(())
        })?;
        context.reply_ok();
        Ok(())
    }
}
