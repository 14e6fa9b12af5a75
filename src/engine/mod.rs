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
mod memory;
mod native;
mod number;
mod pace;
mod random;
mod redis_api;
mod register;
mod reply;
mod resp;
mod slots;
mod source;
mod stack;
mod struct_pack;
mod value;
mod words;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mlua::{Lua, LuaOptions, StdLib};

use context::Context;
use error::{Place, take_text, translate};
use memory::OUT_OF_MEMORY;
use slots::Slots;
use stack::{Kind, Outcome, Stack, natives};
use value::Look;

pub use alarm::Alarm;
pub use deadline::{LOAD_LIMIT, load_timeouts, reset_load_timeouts};
pub use error::ScriptError;
pub use host::{CallMode, Dialect, Host, LogLevel, Permission, Replication, Tick};
pub use memory::{refusals, reset_refusals};
pub use native::NativeCode;
pub use register::Registration;
pub use reply::Sink;
pub use stack::fit_nesting_to_stack;

/// The name of every library's chunk; errors name it.
const CHUNK: &[u8] = b"@user_function";

/// Fixed slots at the bottom of the main stack.
const HANDLER: i32 = 1;
const ENTRY: i32 = 2;
const ROOT: i32 = 3;

/// What a library has left in the VM when it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What it registered.
    pub functions: Vec<Registration>,
    /// Bytes: its code and what its body made. Garbage of the body is among them until it is collected.
    pub bytes: usize,
}

/// More keys or arguments than this go into a table in protected mode: the VM has a limit of elements.
const MANY_ARGUMENTS: usize = 1 << 20;

/// A VM with the callbacks of all libraries of a generation.
///
/// The fields are dropped in this order: the VM first, then what its natives point to.
pub struct Engine {
    /// Owns the VM. Its memory is asked for and limited here; everything else is done through `stack`.
    lua: Lua,
    stack: Stack,
    context: Box<Context>,
}

// SAFETY: an engine is the only owner of its VM, and of the raw addresses into it: `stack` points to the VM's main
// state, and the VM's natives point to `context`, a box that moves with it. `Lua` is Send (mlua's feature `send`). No
// handle of mlua leaves the engine. So it can be used from one thread after another. The host's address in the context
// is set only while a call runs, during which the engine is borrowed and cannot move.
#[allow(unsafe_code)]
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
    #[allow(unsafe_code)]
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
        let engine = Self { lua, stack, context };
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
    pub fn load(&mut self, body: &[u8], limit: Option<Duration>, host: &mut dyn Host) -> Result<Loaded, ScriptError> {
        self.context.begin_load();
        let mut compiled = false;
        let load = |engine: &Self| {
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
            let patience = &engine.context.patience;
            patience.limited(&engine.stack, limit, || engine.context.running(host, run))
        };
        let (result, bytes) = self.context.memory.measured(&self.stack, || self.contained(load));
        let registered = self.context.end_load();
        let refusal = match result {
            Ok(()) => {
                self.stack.pop(1);
                match self.context.take_refusal() {
                    None => return Ok(Loaded { functions: registered, bytes }),
                    refusal => refusal,
                }
            }
            Err(_) => None,
        };
        // The lowest is the next to be taken.
        self.release(registered.iter().rev().map(|function| function.slot));
        Err(refusal.unwrap_or_else(|| {
            self.context.failure.take();
            load_error(compiled, self.take_error())
        }))
    }

    /// Forgets callbacks. The collector frees them in its time.
    pub fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        self.without_limit(|engine| {
            let mut free = engine.context.slots.borrow_mut();
            for slot in slots {
                free.release(&engine.stack, ROOT, slot);
            }
        });
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
        let result = self.contained(|engine| engine.context.running(host, || engine.enter(slot, &keys, &arguments)));
        let result = match result {
            Ok(look) => {
                let mut write = |engine: &Self| {
                    value::write(&engine.stack, engine.stack.top(), look, &engine.context, sink);
                };
                // A table is walked outside of protected mode, where nothing may be refused: for a deep one the stack
                // grows.
                if self.stack.kind(-1) == Kind::Table {
                    self.without_limit(write)
                } else {
                    write(self)
                }
                self.stack.pop(1);
                Ok(())
            }
            Err(_) => Err(self.call_error(name)),
        };
        debug_assert_eq!(self.stack.top(), ROOT);
        result
    }

    /// Calls the callback in `slot`: leaves its result on the stack, or the error. Gives what a look at the result finds.
    ///
    /// A VM without a limit is refused nothing while there is memory at all, and without memory the server ends itself. So
    /// what the callback gets is pushed outside of protected mode, which spares every call a level of it, unless the VM
    /// could find it too much.
    fn enter<'a>(
        &self,
        slot: u32,
        keys: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
        arguments: &(impl ExactSizeIterator<Item = &'a [u8]> + Clone),
    ) -> Result<Look, stack::Failed> {
        // What the function has no parameter for need not be made.
        let parameters = self.context.slots.borrow().parameters(slot);
        let push = |stack: &Stack, root: i32| {
            slots::push(stack, root, slot);
            (parameters < 1 || push_strings(stack, keys.clone()))
                && (parameters < 2 || push_strings(stack, arguments.clone()))
        };
        let count = parameters.min(2).into();
        let few = keys.len().max(arguments.len()) < MANY_ARGUMENTS;
        if self.memory_limit() == 0 && few && push(&self.stack, ROOT) {
            self.stack.protected_call_handled(count, 1, HANDLER)?;
        } else {
            self.stack.set_top(ROOT);
            self.stack.protect(HANDLER, ENTRY, ROOT, |stack| {
                if !push(stack, Stack::GIVEN) {
                    return Err(stack::Raise::api("an argument of the function is too long"));
                }
                stack.call(count, 1);
                Ok(1)
            })?;
        }
        self.check_result()
    }

    /// Refuses the result on top if it is too large for a reply: leaves the error in its place.
    fn check_result(&self) -> Result<Look, stack::Failed> {
        let result = self.stack.top();
        if self.stack.kind(result) != Kind::Table {
            return Ok(Look::Small);
        }
        let look = value::look(&self.stack, result);
        if look != Look::Unknown {
            return Ok(look);
        }
        let checked = self.stack.protect(HANDLER, ENTRY, result, |stack| {
            value::check_size(stack, Stack::GIVEN)?;
            stack.push_nil();
            Ok(1)
        });
        match checked {
            Ok(()) => self.stack.pop(1),
            Err(_) => self.stack.replace(ROOT + 1),
        }
        checked.map(|()| look)
    }

    /// The wire text of the error on top, with the function's name and the place where it arose.
    fn call_error(&self, name: &str) -> ScriptError {
        let mut text = self.take_error();
        if let Some(place) = self.context.failure.borrow_mut().take() {
            text.extend_from_slice(b" script: ");
            if self.context.dialect.names_functions_in_errors() {
                text.extend_from_slice(format!("{name}, ").as_bytes());
            }
            text.extend_from_slice(b"on ");
            text.extend_from_slice(&place.chunk);
            text.extend_from_slice(format!(":{}.", place.line).as_bytes());
        }
        ScriptError(text)
    }

    /// The text of the error on top of the stack. When that is want of memory, garbage is collected for the next call.
    fn take_error(&self) -> Vec<u8> {
        let text = self.without_limit(|engine| take_text(&engine.stack));
        if !self.context.memory.is_refusal(&text) {
            return text;
        }
        self.context.memory.end_refused(&self.stack);
        OUT_OF_MEMORY.to_vec()
    }

    /// Bounds the memory that the VM may hold, in bytes; 0 for no bound. What it holds beyond that stays.
    pub fn set_memory_limit(&self, limit: usize) {
        // So a flush, which sets up a spare VM, need not touch more of it.
        if limit == 0 && self.memory_limit() == 0 {
            return;
        }
        self.limit_allocator(limit);
        self.context.memory.set_limit(&self.stack, limit, !self.context.is_running());
    }

    /// Lifts the bound, and gives it for `resume_memory_limit`.
    pub fn suspend_memory_limit(&self) -> usize {
        let limit = self.memory_limit();
        self.limit_allocator(0);
        self.context.memory.set_limit(&self.stack, 0, false);
        limit
    }

    /// Puts the bound back. Unlike `set_memory_limit`, collects nothing: this comes once for each library of a file.
    pub fn resume_memory_limit(&self, limit: usize) {
        self.limit_allocator(limit);
        self.context.memory.set_limit(&self.stack, limit, false);
    }

    /// Bytes that the VM may hold; 0 for no bound.
    fn memory_limit(&self) -> usize {
        self.context.memory.limit()
    }

    /// Runs `body`, in which the VM is refused nothing: outside of protected mode, a refusal would end the process. What
    /// it does there is small.
    fn without_limit<T>(&self, body: impl FnOnce(&Self) -> T) -> T {
        /// Sets the limit again however `body` ends.
        struct Limit<'a>(&'a Engine);
        impl Drop for Limit<'_> {
            fn drop(&mut self) {
                self.0.limit_allocator(self.0.memory_limit());
            }
        }
        if self.memory_limit() == 0 {
            return body(self);
        }
        self.limit_allocator(0);
        let _limit = Limit(self);
        body(self)
    }

    fn limit_allocator(&self, limit: usize) {
        // It is refused for a VM that did not get mlua's allocator alone, and there is none.
        let _ = self.lua.set_memory_limit(self.context.memory.bound(limit));
    }

    /// Compiles the callback in `slot` and what it reaches to machine code. True when that is done, or will never be; else
    /// it is to be tried again before another call.
    pub fn compile_native(&self, slot: u32) -> bool {
        let context = &self.context;
        if context.is_running() || !context.native.has_room(&self.stack, &context.memory) {
            return !context.native.is_open();
        }
        let mut done = true;
        let result = self.contained(|engine| {
            engine.stack.protect(HANDLER, ENTRY, ROOT, |stack| {
                slots::push(stack, Stack::GIVEN, slot);
                done = context.native.compile(stack);
                stack.push_nil();
                Ok(1)
            })
        });
        // A function that could not be compiled for want of memory stays as it is.
        debug_assert!(result.is_ok() || context.memory.limit() > 0);
        context.failure.take();
        self.stack.pop(1);
        context.memory.set_elsewhere(context.native.state().bytes);
        if context.memory.limit() > 0 {
            self.resume_memory_limit(context.memory.limit());
        }
        done
    }

    /// Has functions that are compiled run as machine code, or in the interpreter.
    pub fn set_native_running(&self, runs: bool) {
        self.context.native.set_running(&self.stack, runs);
    }

    /// The VM's machine code.
    pub fn native_code(&self) -> NativeCode {
        self.context.native.state()
    }

    /// The dialect of its server.
    pub const fn dialect(&self) -> &Dialect {
        &self.context.dialect
    }

    /// What makes a running call ask its host.
    pub fn alarm(&self) -> Alarm {
        Alarm::new(&self.stack)
    }

    /// Bytes that the VM holds.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs `body`. A panic inside has crossed the VM's frames, which know nothing of it: the main stack is put back
    /// to its first state before the panic goes on.
    fn contained<T>(&self, body: impl FnOnce(&Self) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or_else(|panic| {
            self.without_limit(|engine| {
                engine.stack.reset();
                engine.fix_slots();
            });
            self.context.end_load();
            resume_unwind(panic)
        })
    }
}

/// The wire text for a library that did not load. `text` is the error with its code.
fn load_error(compiled: bool, text: Vec<u8>) -> ScriptError {
    if text == OUT_OF_MEMORY {
        return ScriptError(text);
    }
    let (start, text) = if compiled {
        (b"ERR Error registering functions: ".as_slice(), text.as_slice())
    } else {
        (b"ERR Error compiling function: ".as_slice(), text.strip_prefix(b"ERR ").unwrap_or(&text))
    };
    ScriptError([start, text].concat())
}

/// Pushes a table of strings; false when one is longer than strings of the VM may be.
fn push_strings<'a>(stack: &Stack, strings: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
    stack.push_table(strings.len(), 0);
    for (position, string) in (1..).zip(strings) {
        if string.len() > stack::STRING_LIMIT {
            return false;
        }
        stack.push_bytes(string);
        stack.raw_set_at(-2, position);
    }
    true
}
