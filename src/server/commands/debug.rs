use super::super::api::{Arguments, Context};
use super::super::module;
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.DEBUG PANIC | RECLAIM-HOLD | RECLAIM-RELEASE`: faults that the tests need.
pub struct Debug;

impl Command for Debug {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        match arguments.get(1).to_ascii_uppercase().as_slice() {
            b"PANIC" => panic!("a panic was asked for"),
            b"RECLAIM-HOLD" => hold(true)?,
            b"RECLAIM-RELEASE" => hold(false)?,
            word => return Err(Error::new([b"ERR unknown fault '", word, b"'"].concat())),
        }
        context.reply_status(b"OK");
        Ok(())
    }
}

fn hold(held: bool) -> Result<(), Error> {
    module::look(|module| {
        module.reclaim.hold(held);
        Ok(())
    })
}
