use redis_module::raw;

use super::super::api::{Arguments, Context};
use super::super::{guard, module};
use super::entry::Command;
use crate::error::Error;

/// `SHADOW.DEBUG PANIC | PANIC-IN-REPLY | PANIC-IN-CALLBACK | PANIC-IN-WORKER | PANIC-IN-WATCH | RECLAIM-HOLD |
/// RECLAIM-RELEASE`: faults that the tests need.
pub struct Debug;

impl Command for Debug {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        match arguments.get(1).to_ascii_uppercase().as_slice() {
            b"PANIC" => panic!("a panic was asked for"),
            b"PANIC-IN-REPLY" => {
                context.reply_array(2);
                panic!("a panic in a reply was asked for");
            }
            b"PANIC-IN-CALLBACK" => context.soon(panic_in_callback),
            b"PANIC-IN-WORKER" => module::change(|module| {
                module.reclaim.panic();
                Ok(())
            })?,
            b"PANIC-IN-WATCH" => module::look(|module| {
                module.watch.panic();
                Ok(())
            })?,
            b"RECLAIM-HOLD" => hold(true)?,
            b"RECLAIM-RELEASE" => hold(false)?,
            word => return Err(Error::new([b"ERR unknown fault '", word, b"'"].concat())),
        }
        context.reply_status(b"OK");
        Ok(())
    }
}

unsafe extern "C" fn panic_in_callback(context: *mut raw::RedisModuleCtx, _: *mut std::ffi::c_void) {
    guard::callback(context, || panic!("a panic in a callback was asked for"));
}

fn hold(held: bool) -> Result<(), Error> {
    module::look(|module| {
        module.reclaim.hold(held);
        Ok(())
    })
}
