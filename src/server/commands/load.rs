use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use super::is_option;
use crate::error::Error;

/// `SHADOW.FUNCTION LOAD [REPLACE] code`: loads a library and replies with its name.
pub struct Load;

impl Command for Load {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        // The last word is the code, whatever it says; every word before it is an option.
        let code = arguments.len() - 1;
        let mut replace = false;
        for option in arguments.range(2, code) {
            if !is_option(option, "replace") {
                return Err(Error::new([b"ERR Unknown option given: ", option].concat()));
            }
            replace = true;
        }
        let name = module::write(context)?.load(context, arguments.get(code), replace)?;
        context.replicate_verbatim();
        context.reply_bulk(name.as_bytes());
        Ok(())
    }
}
