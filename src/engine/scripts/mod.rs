//! Scripts in a VM: the text of each is one function, which is called by its slot and finds its keys and arguments in
//! globals.

mod environment;

use std::ffi::CStr;

use bitflags::bitflags;
use memchr::memmem;

use super::callable::Callable;
use super::compile::compile;
use super::dialect::Dialect;
use super::error::ScriptError;
use super::host::{Host, NoServer};
use super::memory::out_of_memory;
use super::sink::Sink;
use super::slots;
use super::stack::{Failed, Raise, Stack};
use super::strings::{are_few, push_strings};
use super::vm::{Engine, HANDLER, ROOT, Vm};
use environment::{ARGV, KEYS};

/// What stands in front of every script: an assignment that never runs, for which the compiler makes no code. But it
/// knows by it that these globals change, and looks them up in each call. Else it would keep the tables of the call
/// during which a script is loaded. It ends with the one semicolon that may follow it: none of the script's does.
const CHANGING: &[u8] = b"if false then KEYS,ARGV=nil end;";

/// What a script has left in the VM when it was loaded.
#[derive(Debug)]
pub struct Compiled {
    /// The slot of the function that it is.
    pub slot: u32,
    /// Bytes.
    pub bytes: usize,
}

bitflags! {
    /// Which of its globals a script can reach. The others need not be made for a call of it.
    #[derive(Clone, Copy)]
    struct Taken: u8 {
        const KEYS = 1;
        const ARGV = 2;
    }
}

impl Taken {
    /// What a script of this text can reach: what it names, and all globals if it names their table or may load code
    /// that does.
    fn by(text: &[u8]) -> Self {
        let names = |name: &str| memmem::find(text, name.as_bytes()).is_some();
        let mut taken = Self::empty();
        taken.set(Self::KEYS, names("KEYS"));
        taken.set(Self::ARGV, names("ARGV"));
        if names("_G") || names("load") { Self::all() } else { taken }
    }
}

/// Makes a table of `strings` the global `name`, on whose table the stack ends; false when one is too long for the VM.
fn push_global<'a>(stack: &Stack, name: &CStr, strings: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
    let globals = stack.top();
    if !push_strings(stack, strings) {
        return false;
    }
    // Nothing raises while the globals are unlocked: the field is there, and gets another value.
    stack.set_readonly(globals, false);
    stack.raw_set_field(globals, name);
    stack.set_readonly(globals, true);
    true
}

/// A VM with the scripts of a generation.
pub struct ScriptEngine {
    vm: Vm,
}

impl Engine for ScriptEngine {
    const CALLABLE: Callable = Callable::Script;

    fn new(dialect: Dialect) -> Result<Self, mlua::Error> {
        Ok(Self { vm: Vm::new(Self::CALLABLE, dialect, environment::build)? })
    }

    fn vm(&self) -> &Vm {
        &self.vm
    }
}

impl ScriptEngine {
    /// Compiles a script (its text from the end of the first line on, if that declares something). It stays in the VM
    /// until `release`.
    ///
    /// # Errors
    /// The wire text of what is wrong with it. Nothing stays behind then.
    pub fn load(&mut self, body: &[u8]) -> Result<Compiled, ScriptError> {
        let (mut slot, taken) = (0, Taken::by(body).bits());
        let vm = &self.vm;
        let changing = [CHANGING, body].concat();
        let (result, bytes) = vm.load(None, &mut NoServer, |stack| {
            stack.push_globals();
            let globals = stack.top();
            if compile(stack, &changing, Self::CALLABLE.chunk(), globals).is_err() {
                // An error may name a column, and what stands in front must not count then. A text that is too long
                // only together with that keeps its first error.
                if compile(stack, body, Self::CALLABLE.chunk(), globals).is_ok() {
                    stack.pop(1);
                }
                return Err(Raise::Top);
            }
            slot = vm.state.slots.borrow_mut().store(stack, Stack::GIVEN, taken);
            Ok(())
        });
        result.map(|()| Compiled { slot, bytes }).map_err(|Failed| {
            vm.state.failure.take();
            let text = vm.take_error();
            if text == out_of_memory(Self::CALLABLE) {
                return ScriptError(text);
            }
            let text = text.strip_prefix(b"ERR ").unwrap_or(&text);
            ScriptError([b"ERR Error compiling script (new function): ", text].concat())
        })
    }

    /// Forgets scripts. The collector frees them in its time.
    pub fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        self.vm.release(slots);
    }

    /// Runs the script in `slot`, which errors name as `name`, with these KEYS and ARGV, and writes what it returns to
    /// `sink`.
    ///
    /// # Errors
    /// The wire text of what the script raised, or a refusal: a call cannot begin inside another of the same VM.
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

    /// Runs the script in `slot`: leaves its result on the stack, or the error. What is protected, and what is not, is
    /// as for functions.
    fn enter<'a>(
        &self,
        slot: u32,
        keys: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
        arguments: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
    ) -> Result<(), Failed> {
        let vm = &self.vm;
        let taken = Taken::from_bits_retain(vm.state.slots.borrow().parameters(slot));
        let push = |stack: &Stack, root: i32| {
            let mut fits = true;
            if !taken.is_empty() {
                stack.push_globals();
                fits = (!taken.contains(Taken::KEYS) || push_global(stack, KEYS, keys.clone()))
                    && (!taken.contains(Taken::ARGV) || push_global(stack, ARGV, arguments.clone()));
            }
            slots::push(stack, root, slot);
            fits
        };
        if vm.memory_limit() == 0 && are_few(keys, arguments) && push(&vm.stack, ROOT) {
            let result = vm.stack.protected_call_handled(0, 1, HANDLER);
            if !taken.is_empty() {
                // In the place of the globals.
                vm.stack.replace(ROOT + 1);
            }
            return result;
        }
        vm.stack.set_top(ROOT);
        vm.protect(ROOT, |stack| {
            if !push(stack, Stack::GIVEN) {
                return Err(Raise::api("an argument of the script is too long"));
            }
            stack.call(0, 1);
            Ok(1)
        })
    }
}
