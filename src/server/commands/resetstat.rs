use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.FUNCTION RESETSTAT`: sets the counters to 0. CONFIG RESETSTAT, which does that for those of the server, is
/// not announced to modules.
pub struct ResetStat;

impl Command for ResetStat {
    fn run(context: &Context, _: Arguments) -> Result<(), Error> {
        module::read()?.reset_statistics();
        context.reply_ok();
        Ok(())
    }
}
