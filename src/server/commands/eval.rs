use super::super::api::{Arguments, Context};
use super::super::gate::check_call;
use super::super::kept_scripts::{Keeping, are_spared, is_owed};
use super::super::module::{self, Module};
use super::super::running::{Callee, HEAD, is_any};
use super::call::{Call, name_keys};
use super::entry::Command;
use crate::engine::Callable;
use crate::error::Error;
use crate::registry::{Digest, Origin, Script};

/// `SHADOW.EVAL script numkeys [key ...] [arg ...]`: runs a script, and caches it.
pub struct Eval;

/// `SHADOW.EVAL_RO script numkeys [key ...] [arg ...]`: runs a script that does not write.
pub struct EvalReadOnly;

/// `SHADOW.EVALSHA sha1 numkeys [key ...] [arg ...]`: runs a cached script.
pub struct EvalSha;

/// `SHADOW.EVALSHA_RO sha1 numkeys [key ...] [arg ...]`: runs a cached script that does not write.
pub struct EvalShaReadOnly;

impl Command for Eval {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        eval(context, arguments, false)
    }
}

impl Command for EvalReadOnly {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        eval(context, arguments, true)
    }
}

impl Command for EvalSha {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        eval_sha(context, arguments, false)
    }
}

impl Command for EvalShaReadOnly {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        eval_sha(context, arguments, true)
    }
}

const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const NESTED: &str = "ERR A script cannot be called while another one is running";

fn eval(context: &Context, arguments: Arguments, read_only: bool) -> Result<(), Error> {
    if context.asks_for_keys() {
        name_keys(context, arguments, read_only);
        return Ok(());
    }
    if is_any() {
        return Err(NESTED.into());
    }
    let code = arguments.get(1);
    let state = context.state();
    // Dropped after the module's state is given back.
    let keeping = Keeping::new(context);
    {
        let module = &*module::read()?;
        let call = Call { context, module, arguments, state, read_only };
        if let Some(script) = module.scripts.generation().registry().script_of(code) {
            if is_owed(state, script) {
                keeping.owe(script, false);
            }
            return run(&call, script);
        }
        call.pass_gate(module.scripts.generation().flags_of(code), NO_INTEGER)?;
        call.keys_end(NO_INTEGER)?;
    }
    let script = module::write(context)?.cache_script(context, code, Origin::Eval, || are_spared(context))?;
    keeping.owe(&script, true);
    let module = &*module::read()?;
    run(&Call { context, module, arguments, state, read_only }, &script)
}

fn eval_sha(context: &Context, arguments: Arguments, read_only: bool) -> Result<(), Error> {
    if context.asks_for_keys() {
        name_keys(context, arguments, read_only);
        return Ok(());
    }
    if is_any() {
        return Err(NESTED.into());
    }
    let state = context.state();
    // Dropped after the module's state is given back.
    let keeping = Keeping::new(context);
    let module = &*module::read()?;
    let digest = arguments.get(1);
    let call = Call { context, module, arguments, state, read_only };
    let Some(script) = module.scripts.generation().registry().script(digest) else {
        // Of a digest that could be one, the number of keys is looked at first.
        if digest.len() == Digest::LENGTH {
            call.keys_end(NO_INTEGER)?;
        }
        module.cache_totals.missed.count();
        return Err(module.dialect.words.no_script.into());
    };
    if is_owed(state, script) {
        keeping.owe(script, false);
    }
    run(&call, script)
}

/// Runs a cached script.
fn run(call: &Call, script: &Script) -> Result<(), Error> {
    let Module { scripts, gate, .. } = call.module;
    let callee = Callee {
        callable: Callable::Script,
        name: &script.name,
        library: None,
        flags: script.flags,
        callback: &script.callback,
        totals: &scripts.totals,
    };
    let admit = || {
        call.pass_gate(callee.flags, NO_INTEGER)?;
        let keys_end = call.keys_end(NO_INTEGER)?;
        match script.flags {
            Some(flags) => check_call(call.state, flags, call.read_only)?,
            None => gate.check_stale(call.context, call.state)?,
        }
        Ok(keys_end)
    };
    let keys_end = Call::count_refusal(admit(), &callee)?;
    let generation = scripts.generation();
    let arguments = call.arguments;
    call.run(&callee, keys_end, |running, host, reply| {
        generation.registry().note_use(script, running.began());
        let keys = arguments.range(HEAD, keys_end);
        generation.call(script, keys, arguments.range(keys_end, arguments.len()), host, reply)
    })
}
