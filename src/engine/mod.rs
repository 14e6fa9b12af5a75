//! The Luau VM: what runs the functions of libraries. It knows no server; it reaches one through [`Host`].

mod alarm;
mod argument;
mod base;
mod bit;
mod builtin;
mod chunk;
mod cjson;
mod cmsgpack;
mod context;
mod deadline;
mod environment;
mod error;
mod host;
mod number;
mod pace;
mod random;
mod redis_api;
mod register;
mod reply;
mod resp;
mod slots;
mod stack;
mod struct_pack;
mod value;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mlua::{Lua, LuaOptions, StdLib};

use context::Context;
use error::{Place, take_text, translate};
use slots::Slots;
use stack::{Outcome, Stack, natives};

pub use alarm::Alarm;
pub use deadline::LOAD_LIMIT;
pub use error::ScriptError;
pub use host::{CallMode, Dialect, Host, LogLevel, Replication, Tick};
pub use register::Registration;
pub use reply::Sink;

/// The name of every library's chunk; errors name it.
const CHUNK: &[u8] = b"@user_function";

/// Fixed slots at the bottom of the main stack.
const HANDLER: i32 = 1;
const ENTRY: i32 = 2;
const ROOT: i32 = 3;

/// A VM with the callbacks of all libraries of a generation.
///
/// The fields are dropped in this order: the VM first, then what its natives point to.
pub struct Engine {
    /// Owns the VM; everything is done through `stack`.
    _lua: Lua,
    stack: Stack,
    context: Box<Context>,
}

// SAFETY: an engine is the only owner of its VM, and of the raw addresses into it: `stack` points to the VM's main
// state, and the VM's natives point to `context`, a box that moves with it. `Lua` is Send (mlua's feature `send`). No
// handle of mlua leaves the engine. So it can be used from one thread after another. The host's address in the context
// is set only while a call runs, during which the engine is borrowed and cannot move.
unsafe impl Send for Engine {}

natives! {
    /// Runs when an error leaves a call: notes where it arose and puts it into the server's words.
    ErrorHandler = c"handler", error_handler;
}

fn error_handler(stack: &Stack) -> Outcome {
    // Level 0 is this handler, level 1 what raised: a function of a library, or one of the engine or the VM that a
    // function called.
    let place = stack.place(1).or_else(|| stack.place(2));
    *Context::of(stack).failure.borrow_mut() = place.map(|(chunk, line)| Place { chunk, line });
    translate(stack);
    Ok(1)
}

impl Engine {
    /// Builds a VM.
    ///
    /// # Errors
    /// The VM's message when memory is short.
    pub fn new(dialect: Dialect) -> Result<Self, mlua::Error> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::COROUTINE;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let state = Stack::main_state(&lua)?;
        let context = Box::new(Context::new(dialect));
        // SAFETY: `lua` keeps the state alive for as long as the engine, and is not shared.
        let stack = unsafe { Stack::new(state) };
        let address: &Context = &context;
        // SAFETY: the closure takes nothing from the stack and leaves it as it found it.
        unsafe {
            lua.exec_raw::<()>((), |state| {
                let stack = Stack::new(state);
                Slots::create_root(&stack);
                environment::build(&stack, address);
            })
        }?;
        let engine = Self { _lua: lua, stack, context };
        engine.fix_slots();
        Ok(engine)
    }

    /// Puts the functions and tables that every call needs into the fixed slots of the empty main stack.
    fn fix_slots(&self) {
        self.stack.push_native::<ErrorHandler, _>(&raw const *self.context);
        self.stack.push_entry();
        Slots::push_root(&self.stack);
    }

    /// Loads the body of a library (its source from the end of the first line on) and runs it. What it registered
    /// comes back; its callbacks stay in the VM until `release`.
    ///
    /// # Errors
    /// The wire text of a compile error or of what the body raised. Nothing stays behind then.
    pub fn load(
        &mut self,
        body: &[u8],
        limit: Option<Duration>,
        host: &mut dyn Host,
    ) -> Result<Vec<Registration>, ScriptError> {
        self.context.begin_load();
        let mut compiled = false;
        let result = self.contained(|engine| {
            let run = || {
                engine.stack.protect(HANDLER, ENTRY, ROOT, |stack| {
                    environment::push(stack);
                    let environment = stack.top();
                    if chunk::compile(stack, body, CHUNK, environment).is_err() {
                        return Err(stack::Raise::Top);
                    }
                    compiled = true;
                    environment::set_loading(stack, environment, true);
                    stack.call(0, 0);
                    environment::set_loading(stack, environment, false);
                    stack.push_nil();
                    Ok(1)
                })
            };
            deadline::limited(&engine.stack, limit, || engine.context.running(host, run))
        });
        let registered = self.context.end_load();
        match result {
            Ok(()) => {
                self.stack.pop(1);
                Ok(registered)
            }
            Err(_) => {
                self.release(registered.iter().map(|function| function.slot));
                let text = take_text(&self.stack);
                Err(load_error(compiled, &text))
            }
        }
    }

    /// Forgets callbacks. The collector frees them in its time.
    pub fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        let mut free = self.context.slots.borrow_mut();
        for slot in slots {
            free.release(&self.stack, ROOT, slot);
        }
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
        if self.context.is_running() {
            return Err(ScriptError::plain("A function cannot be called while another one is running"));
        }
        self.context.running_slot.set(slot);
        let result = self.contained(|engine| {
            engine.context.running(host, || {
                engine.stack.protect(HANDLER, ENTRY, ROOT, |stack| {
                    slots::push(stack, Stack::GIVEN, slot);
                    push_strings(stack, keys.clone());
                    push_strings(stack, arguments.clone());
                    stack.call(2, 1);
                    value::check_size(stack, stack.top())?;
                    Ok(1)
                })
            })
        });
        let result = match result {
            Ok(()) => {
                value::write(&self.stack, self.stack.top(), self.context.resp3(), sink);
                self.stack.pop(1);
                Ok(())
            }
            Err(_) => Err(self.call_error(name)),
        };
        debug_assert_eq!(self.stack.top(), ROOT);
        result
    }

    /// The wire text of the error on top, with the function's name and the place where it arose.
    fn call_error(&self, name: &str) -> ScriptError {
        let mut text = take_text(&self.stack);
        if let Some(place) = self.context.failure.borrow_mut().take() {
            text.extend_from_slice(format!(" script: {name}, on ").as_bytes());
            text.extend_from_slice(&place.chunk);
            text.extend_from_slice(format!(":{}.", place.line).as_bytes());
        }
        ScriptError(text)
    }

    /// What makes a running call ask its host.
    pub fn alarm(&self) -> Alarm {
        Alarm::new(&self.stack)
    }

    /// Bytes that the VM holds.
    pub fn memory(&self) -> usize {
        self.stack.memory()
    }

    /// Runs `body`. A panic inside has crossed the VM's frames, which know nothing of it: the main stack is put back
    /// to its first state before the panic goes on.
    fn contained<T>(&self, body: impl FnOnce(&Self) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or_else(|panic| {
            self.stack.reset();
            self.fix_slots();
            self.context.end_load();
            resume_unwind(panic)
        })
    }
}

/// The wire text for a library that did not load. `text` is the error with its code.
fn load_error(compiled: bool, text: &[u8]) -> ScriptError {
    let mut wire = Vec::new();
    if compiled {
        wire.extend_from_slice(b"ERR Error registering functions: ");
        wire.extend_from_slice(text);
    } else {
        wire.extend_from_slice(b"ERR Error compiling function: ");
        wire.extend_from_slice(text.strip_prefix(b"ERR ").unwrap_or(text));
    }
    ScriptError(wire)
}

/// Pushes a table of strings.
fn push_strings<'a>(stack: &Stack, strings: impl ExactSizeIterator<Item = &'a [u8]>) {
    stack.push_table(strings.len(), 0);
    for (position, string) in (1..).zip(strings) {
        stack.push_bytes(string);
        stack.raw_set_at(-2, position);
    }
}
