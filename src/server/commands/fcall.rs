use super::super::api::{Arguments, Context};
use super::super::gate::check_call;
use super::super::module;
use super::super::running::{Callee, HEAD, is_any};
use super::call::{Call, name_keys};
use super::entry::Command;
use crate::engine::Callable;
use crate::error::Error;

/// `SHADOW.FCALL function numkeys [key ...] [arg ...]`: calls a function.
pub struct Fcall;

/// `SHADOW.FCALL_RO function numkeys [key ...] [arg ...]`: calls a function that does not write.
pub struct FcallReadOnly;

impl Command for Fcall {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        call(context, arguments, false)
    }
}

impl Command for FcallReadOnly {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        call(context, arguments, true)
    }
}

const NO_INTEGER: &str = "ERR Bad number of keys provided";

fn call(context: &Context, arguments: Arguments, read_only: bool) -> Result<(), Error> {
    if context.asks_for_keys() {
        name_keys(context, arguments, read_only);
        return Ok(());
    }
    if is_any() {
        return Err("ERR A function cannot be called while another one is running".into());
    }
    let module = &*module::read()?;
    let generation = module.functions.generation();
    let found = generation.registry().function(arguments.get(1)).ok_or("ERR Function not found")?;
    let function = found.function();
    let callee = Callee {
        callable: Callable::Function,
        name: &function.name,
        library: Some(&**found.library()),
        flags: Some(function.flags),
        callback: &function.callback,
        totals: &module.functions.totals,
    };
    // The server lets such a call write nothing: the function's own flag says the same.
    let call = Call { context, module, arguments, state: context.state(), read_only: false };
    let admit = || {
        call.pass_gate(callee.flags, NO_INTEGER)?;
        let keys_end = call.keys_end(NO_INTEGER)?;
        check_call(call.state, function.flags, read_only)?;
        Ok(keys_end)
    };
    let keys_end = Call::count_refusal(admit(), &callee)?;
    call.run(&callee, keys_end, |_, host, reply| {
        let keys = arguments.range(HEAD, keys_end);
        generation.call(found, keys, arguments.range(keys_end, arguments.len()), host, reply)
    })
}
