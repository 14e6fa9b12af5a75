use super::super::api::{Arguments, Context};
use super::super::host::LoadHost;
use super::super::module;
use super::entry::Command;
use super::is_option;
use crate::engine::LOAD_LIMIT;
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
        let obeys = context.state().obeys();
        let name = module::change(|module| {
            let mut host = LoadHost(context);
            let code = arguments.get(code);
            if obeys {
                module.generation.without_memory_limit(|generation| generation.load(code, replace, None, &mut host))
            } else {
                module.generation.load(code, replace, Some(LOAD_LIMIT), &mut host)
            }
        })?;
        context.replicate_verbatim();
        context.reply_bulk(name.as_bytes());
        Ok(())
    }
}
