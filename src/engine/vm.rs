//! A Luau VM with what every program in it needs: protected calls of its callbacks, replies, errors, limits.

#![allow(unsafe_code, reason = "owns a VM")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mlua::{Lua, LuaOptions, StdLib};

use super::alarm::{self, Alarm};
use super::callable::Callable;
use super::dialect::Dialect;
use super::error::{Place, ScriptError, take_text, translate};
use super::host::Host;
use super::machine_code::NativeCode;
use super::memory::out_of_memory;
use super::pressure;
use super::result::{self, Shape};
use super::sink::Sink;
use super::slots::{self, Slots};
use super::stack::{Failed, Kind, Outcome, Raise, Stack, natives};
use super::state::VmState;
use crate::block;

/// Fixed slots at the bottom of the main stack: the error handler, the entry of protected code, the root of the
/// callbacks.
pub(super) const HANDLER: i32 = 1;
const ENTRY: i32 = 2;
pub(super) const ROOT: i32 = 3;

/// A VM for programs of one kind.
pub trait Engine: Sized + Send {
    /// What is called in it.
    const CALLABLE: Callable;

    /// Builds the VM.
    ///
    /// # Errors
    /// The VM's message when memory is short.
    fn new(dialect: Dialect) -> Result<Self, mlua::Error>;

    /// The VM: its limits, its machine code, its alarm.
    fn vm(&self) -> &Vm;
}

/// A VM, with the callbacks of the programs that were loaded into it.
///
/// The fields are dropped in this order: the VM first, then what its natives point to.
pub struct Vm {
    /// Owns the VM. Its memory is asked for and limited here; everything else is done through `stack`.
    lua: Lua,
    pub(super) stack: Stack,
    pub(super) state: Box<VmState>,
    /// Bytes that building it took and the VM does not count: what mlua and the engine keep beside it.
    beside: usize,
}

// SAFETY: a `Vm` is the only owner of its VM, and of the raw addresses into it: `stack` points to the VM's main state,
// and the VM's natives point to `state`, a box that moves with it. `Lua` is Send (mlua's feature `send`). No handle of
// mlua leaves the engine. So it can be used from one thread after another. The host's address in `state` is set only
// while a call runs, during which the `Vm` is borrowed and cannot move.
unsafe impl Send for Vm {}

natives! {
    /// Runs when an error leaves a call: notes where it arose and puts it into the server's words.
    ErrorHandler = c"handler", error_handler;
}

fn error_handler(stack: &Stack) -> Outcome {
    // Level 0 is this handler, level 1 what raised: a function of a script, or one of the engine or the VM that a
    // function called.
    let place = stack.place(1).or_else(|| stack.place(2));
    *VmState::of(stack).failure.borrow_mut() = place.map(|(chunk, line)| Place { chunk, line });
    translate(stack);
    Ok(1)
}

impl Vm {
    /// Builds a VM for calls of this kind. `build` makes the environments of its programs.
    ///
    /// # Errors
    /// The VM's message when memory is short.
    pub(super) fn new(
        callable: Callable,
        dialect: Dialect,
        build: impl FnOnce(&Stack, &VmState),
    ) -> Result<Self, mlua::Error> {
        let (vm, held) = block::measured(|| Stack::building(|| Self::build(callable, dialect, build)));
        let mut vm = vm?;
        vm.beside = held.saturating_sub(vm.held());
        Ok(vm)
    }

    fn build(callable: Callable, dialect: Dialect, build: impl FnOnce(&Stack, &VmState)) -> Result<Self, mlua::Error> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::COROUTINE;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let main = Stack::main_state(&lua)?;
        let state = Box::new(VmState::new(callable, dialect));
        // SAFETY: `lua` keeps the main state alive for as long as the `Vm`, and is not shared.
        let stack = unsafe { Stack::new(main) };
        let address: &VmState = &state;
        // SAFETY: the closure takes nothing from the stack and leaves it as it found it.
        unsafe {
            lua.exec_raw::<()>((), |current| {
                let stack = Stack::new(current);
                Slots::create_root(&stack);
                build(&stack, address);
            })
        }?;
        let vm = Self { lua, stack, state, beside: 0 };
        vm.fix_slots();
        Ok(vm)
    }

    /// Puts the functions and tables that every call needs into the fixed slots of the empty main stack.
    pub(super) fn fix_slots(&self) {
        self.stack.push_native::<ErrorHandler, _>(&raw const *self.state);
        self.stack.push_entry();
        Slots::push_root(&self.stack);
    }

    /// Runs `body` as a load that ends after `limit`, in protected mode. Gives the bytes that it leaves in the VM, too.
    /// What it raises is on top of the stack after a failure.
    pub(super) fn load(
        &self,
        limit: Option<Duration>,
        host: &mut dyn Host,
        mut body: impl FnMut(&Stack) -> Result<(), Raise>,
    ) -> (Result<(), Failed>, usize) {
        let run = |vm: &Self| {
            let protected = || {
                vm.protect(ROOT, |stack| {
                    body(stack)?;
                    stack.push_nil();
                    Ok(1)
                })
            };
            alarm::limited(&vm.state, &vm.stack, limit, || vm.state.running(host, protected))
        };
        let (result, bytes) = self.state.memory.measured(&self.stack, || self.contained(run));
        if result.is_ok() {
            self.stack.pop(1);
        }
        (result, bytes)
    }

    /// Forgets callbacks. The collector frees them in its time.
    pub(super) fn release(&self, slots: impl IntoIterator<Item = u32>) {
        self.without_limit(|vm| {
            let mut free = vm.state.slots.borrow_mut();
            for slot in slots {
                free.release(&vm.stack, ROOT, slot);
            }
        });
    }

    /// Runs a call of the callback in `slot`, which errors name as `name`: `enter` calls it and leaves its result on
    /// top of the stack, or the error. Writes the result to `sink`.
    ///
    /// # Errors
    /// The wire text of what the callback raised, or a refusal: a call cannot begin inside another of the same VM.
    /// Nothing was written to `sink` then.
    pub(super) fn call(
        &self,
        slot: u32,
        name: &str,
        enter: impl FnOnce() -> Result<(), Failed>,
        host: &mut dyn Host,
        sink: &mut impl Sink,
    ) -> Result<(), ScriptError> {
        if self.state.is_running() {
            return Err(ScriptError::plain("A function cannot be called while another one is running"));
        }
        self.state.running_slot.set(slot);
        let run = || enter().and_then(|()| self.check_result());
        let result = match self.contained(|vm| vm.state.running(host, run)) {
            Ok(shape) => {
                let mut write = |vm: &Self| result::write(&vm.stack, vm.stack.top(), shape, &vm.state, sink);
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
            Err(Failed) => Err(self.call_error(name)),
        };
        debug_assert_eq!(self.stack.top(), ROOT);
        result
    }

    /// Refuses the result on top if it is too large for a reply: leaves the error in its place.
    fn check_result(&self) -> Result<Shape, Failed> {
        let index = self.stack.top();
        if self.stack.kind(index) != Kind::Table {
            return Ok(Shape::Small);
        }
        let shape = Shape::of(&self.stack, index);
        if shape != Shape::Unknown {
            return Ok(shape);
        }
        let checked = self.protect(index, |stack| {
            result::check_size(stack, Stack::GIVEN)?;
            stack.push_nil();
            Ok(1)
        });
        match checked {
            Ok(()) => self.stack.pop(1),
            Err(Failed) => self.stack.replace(ROOT + 1),
        }
        checked.map(|()| shape)
    }

    /// Runs `body` in protected mode, with the value in slot `given` of the main stack in its slot [`Stack::GIVEN`].
    /// Leaves its one result on top of the stack, or the error.
    pub(super) fn protect(&self, given: i32, body: impl FnMut(&Stack) -> Outcome) -> Result<(), Failed> {
        self.stack.protect(HANDLER, ENTRY, given, body)
    }

    /// The wire text of the error on top, with the name of what was called and the place where it arose.
    fn call_error(&self, name: &str) -> ScriptError {
        let mut text = self.take_error();
        if let Some(place) = self.state.failure.take() {
            text.extend_from_slice(b" script: ");
            if self.state.dialect.names_functions_in_errors() {
                text.extend_from_slice(format!("{name}, ").as_bytes());
            }
            text.extend_from_slice(b"on ");
            text.extend_from_slice(&place.chunk);
            text.extend_from_slice(format!(":{}.", place.line).as_bytes());
        }
        ScriptError(text)
    }

    /// Pops the error on top of the stack and gives its text. If it means that memory ran out, garbage is collected for
    /// the next call.
    pub(super) fn take_error(&self) -> Vec<u8> {
        let text = self.without_limit(|vm| take_text(&vm.stack));
        if !self.state.memory.is_refusal(&text) {
            return text;
        }
        self.state.memory.end_refused(&self.stack);
        out_of_memory(self.state.callable).to_vec()
    }

    /// Bounds the memory that the VM may hold, in bytes; 0 for no bound. What it holds beyond that stays.
    pub fn set_memory_limit(&self, limit: usize) {
        // So a flush, which sets up a spare VM, need not touch more of it.
        if limit == 0 && self.memory_limit() == 0 {
            return;
        }
        self.bound_memory(limit, !self.state.is_running());
    }

    /// Lifts the bound, and gives it for `resume_memory_limit`.
    pub fn suspend_memory_limit(&self) -> usize {
        let limit = self.memory_limit();
        self.bound_memory(0, false);
        limit
    }

    /// Puts the bound back. Unlike `set_memory_limit`, collects nothing: this comes once for each library of a file.
    pub fn resume_memory_limit(&self, limit: usize) {
        self.bound_memory(limit, false);
    }

    /// Bounds the memory. `collect`: garbage that counts against the bound is collected first.
    fn bound_memory(&self, limit: usize, collect: bool) {
        self.limit_allocator(limit);
        pressure::follow(&self.stack, limit > 0);
        self.state.memory.set_limit(&self.stack, limit, collect);
    }

    /// Bytes that the VM may hold; 0 for no bound.
    pub fn memory_limit(&self) -> usize {
        self.state.memory.limit()
    }

    /// Runs `body`, in which the VM is refused nothing: outside of protected mode, a refusal would end the process.
    /// What it does there is small.
    fn without_limit<T>(&self, body: impl FnOnce(&Self) -> T) -> T {
        /// Sets the limit again however `body` ends.
        struct Limit<'a>(&'a Vm);
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
        let _ = self.lua.set_memory_limit(self.state.memory.bound(limit));
    }

    /// Compiles the callback in `slot` and what it reaches to machine code. True when that is done, or will never be;
    /// false when the caller should try again before another call.
    pub fn compile_native(&self, slot: u32) -> bool {
        let state = &self.state;
        if state.is_running() || !state.machine_code.has_room(&self.stack, &state.memory) {
            return !state.machine_code.is_open();
        }
        let mut done = true;
        let result = self.contained(|vm| {
            vm.protect(ROOT, |stack| {
                slots::push(stack, Stack::GIVEN, slot);
                done = state.machine_code.compile(stack);
                stack.push_nil();
                Ok(1)
            })
        });
        // A function that could not be compiled for want of memory stays as it is.
        debug_assert!(result.is_ok() || state.memory.limit() > 0);
        state.failure.take();
        self.stack.pop(1);
        state.memory.set_elsewhere(state.machine_code.figures().bytes);
        if state.memory.limit() > 0 {
            self.resume_memory_limit(state.memory.limit());
        }
        done
    }

    /// Runs what is compiled as machine code, or in the interpreter.
    pub fn set_native_running(&self, runs: bool) {
        self.state.machine_code.set_running(&self.stack, runs);
    }

    /// The VM's machine code.
    pub fn native_code(&self) -> NativeCode {
        self.state.machine_code.figures()
    }

    /// The dialect of its server.
    pub const fn dialect(&self) -> &Dialect {
        &self.state.dialect
    }

    /// What makes a running call ask its host.
    pub fn alarm(&self) -> Alarm {
        Alarm::new(&self.stack)
    }

    /// Bytes that the VM holds, as it counts against its limit.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Bytes that the VM takes of the process's memory: what it holds in blocks as large as the allocator makes them,
    /// and what is kept beside it.
    pub fn held(&self) -> usize {
        self.memory() + self.stack.memory_added() + self.beside
    }

    /// Runs `body`. A panic inside has crossed the VM's frames, which know nothing of it: the main stack is put back
    /// to its first state before the panic goes on.
    fn contained<T>(&self, body: impl FnOnce(&Self) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or_else(|panic| {
            self.without_limit(|vm| {
                vm.stack.reset();
                vm.fix_slots();
            });
            self.state.end_load();
            resume_unwind(panic)
        })
    }
}
