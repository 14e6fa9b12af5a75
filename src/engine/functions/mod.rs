//! Libraries of functions in a VM: their bodies run once and register functions, which are called by their slots.

mod environment;
mod register;

use std::time::Duration;

use super::callable::Callable;
use super::compile::{compile, compile_without_nul};
use super::dialect::Dialect;
use super::error::ScriptError;
use super::host::Host;
use super::memory::out_of_memory;
use super::registration::{Registration, Registrations};
use super::sink::Sink;
use super::slots;
use super::stack::{Failed, Raise, Stack};
use super::strings::{are_few, push_strings};
use super::vm::{Engine, HANDLER, ROOT, Vm};

/// What a library has left in the VM when it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What it registered.
    pub functions: Vec<Registration>,
    /// Bytes: its code and what its body made. Garbage of the body is among them until it is collected.
    pub bytes: usize,
}

/// A VM with the callbacks of all libraries of a generation.
pub struct FunctionEngine {
    vm: Vm,
}

impl Engine for FunctionEngine {
    const CALLABLE: Callable = Callable::Function;

    fn new(dialect: Dialect) -> Result<Self, mlua::Error> {
        Ok(Self { vm: Vm::new(Self::CALLABLE, dialect, environment::build)? })
    }

    fn vm(&self) -> &Vm {
        &self.vm
    }
}

impl FunctionEngine {
    /// Loads the body of a library (its source from the end of the first line on) and runs it, for no longer than
    /// `limit`. Its callbacks stay in the VM until `release`.
    ///
    /// # Errors
    /// The wire text of a compile error or of what the body raised. Nothing stays behind then.
    pub fn load(&mut self, body: &[u8], limit: Option<Duration>, host: &mut dyn Host) -> Result<Loaded, ScriptError> {
        let mut compiled = false;
        // What comes after a NUL must not run where the server leaves it out, and must not be left out unnoticed.
        let compile = if self.vm.dialect().cuts_libraries() { compile_without_nul } else { compile };
        self.vm.state.begin_load();
        let (result, bytes) = self.vm.load(limit, host, |stack| {
            environment::push(stack);
            let environment = stack.top();
            if compile(stack, body, Self::CALLABLE.chunk(), environment).is_err() {
                return Err(Raise::Top);
            }
            compiled = true;
            environment::set_loading(stack, environment, true);
            stack.call(0, 0);
            environment::set_loading(stack, environment, false);
            Ok(())
        });
        let Registrations { functions, refusal } = self.vm.state.end_load();
        let error = match (result, refusal) {
            (Ok(()), None) => return Ok(Loaded { functions, bytes }),
            (Ok(()), Some(refusal)) => Some(refusal),
            (Err(Failed), _) => None,
        };
        // The lowest is the next to be taken.
        self.release(functions.iter().rev().map(|function| function.slot));
        Err(error.unwrap_or_else(|| {
            self.vm.state.failure.take();
            load_error(compiled, self.vm.take_error())
        }))
    }

    /// Forgets callbacks. The collector frees them in its time.
    pub fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        self.vm.release(slots);
    }

    /// Calls the callback in `slot`, registered as `name`, with the tables KEYS and ARGV, and writes what it returns to
    /// `sink`.
    ///
    /// # Errors
    /// The wire text of what the function raised, or a refusal: a call cannot begin inside another of the same VM.
    /// Nothing was written to `sink` then.
    pub fn call<'a>(
        &self,
        slot: u32,
        name: &str,
        keys: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        arguments: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        host: &mut dyn Host,
        sink: &mut impl Sink,
    ) -> Result<(), ScriptError> {
        self.vm.call(slot, name, || self.enter(slot, &keys, &arguments), host, sink)
    }

    /// Calls the callback in `slot`: leaves its result on the stack, or the error.
    ///
    /// A VM without a limit is refused nothing while there is memory at all, and without memory the server ends itself.
    /// So what the callback gets is pushed outside of protected mode, which spares every call a level of it, unless the
    /// VM could find it too much.
    fn enter<'a>(
        &self,
        slot: u32,
        keys: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
        arguments: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
    ) -> Result<(), Failed> {
        let vm = &self.vm;
        // What the function has no parameter for need not be made.
        let parameters = vm.state.slots.borrow().parameters(slot);
        let push = |stack: &Stack, root: i32| {
            slots::push(stack, root, slot);
            (parameters < 1 || push_strings(stack, keys.clone()))
                && (parameters < 2 || push_strings(stack, arguments.clone()))
        };
        let count = parameters.min(2).into();
        if vm.memory_limit() == 0 && are_few(keys, arguments) && push(&vm.stack, ROOT) {
            return vm.stack.protected_call_handled(count, 1, HANDLER);
        }
        vm.stack.set_top(ROOT);
        vm.protect(ROOT, |stack| {
            if !push(stack, Stack::GIVEN) {
                return Err(Raise::api("an argument of the function is too long"));
            }
            stack.call(count, 1);
            Ok(1)
        })
    }
}

/// The wire text for a library that did not load. `text` is the error with its code.
fn load_error(compiled: bool, text: Vec<u8>) -> ScriptError {
    if text == out_of_memory(Callable::Function) {
        return ScriptError(text);
    }
    let (start, text) = if compiled {
        (b"ERR Error registering functions: ".as_slice(), text.as_slice())
    } else {
        (b"ERR Error compiling function: ".as_slice(), text.strip_prefix(b"ERR ").unwrap_or(&text))
    };
    ScriptError([start, text].concat())
}
