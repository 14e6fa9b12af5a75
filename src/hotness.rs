//! Which functions and scripts of a generation are compiled to machine code, and when.

use std::cell::Cell;
use std::time::Duration;

use crate::engine::Vm;
use crate::registry::Callback;

/// Which functions are compiled to machine code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compilation {
    /// None; what is compiled already runs in the interpreter again.
    #[default]
    Off,
    /// Those that have run long enough for compiling to pay off.
    Hot,
    /// Each before its first call.
    Always,
}

/// The typical cost of compiling a function: a constant, and a part for each byte of its library's source.
const COMPILING: Duration = Duration::from_micros(200);
const COMPILING_A_BYTE: Duration = Duration::from_nanos(500);

/// A function is compiled when it has run this many times as long as compiling it takes.
const HEAT: u32 = 10;

/// Functions of libraries with more source than this, in bytes, are not compiled: nothing else runs meanwhile, and a
/// single function of that length takes tens of milliseconds.
const SOURCE_LIMIT: usize = 32 << 10;

/// Decides what of a generation is compiled.
#[derive(Default)]
pub struct Hotness(Cell<Compilation>);

impl Hotness {
    /// Compiles the functions of `vm` that `compilation` names, each before one of its next calls.
    pub fn set(&self, vm: &Vm, compilation: Compilation) {
        self.0.set(compilation);
        vm.set_native_running(compilation != Compilation::Off);
    }

    /// Compiles a callback that is about to be called, if it is time for that. `source`: the bytes of the source that
    /// it is from.
    #[inline]
    pub fn compile_if_due(&self, vm: &Vm, callback: &Callback, source: impl FnOnce() -> usize) {
        let due = match self.0.get() {
            Compilation::Off => false,
            Compilation::Hot => callback.hot_check.is_due(callback.counters.calls()),
            Compilation::Always => callback.hot_check.is_open(),
        };
        if due {
            self.check(vm, callback, source());
        }
    }

    /// Compiles a callback that has proved hot, or says when to check it again.
    #[cold]
    fn check(&self, vm: &Vm, callback: &Callback, source: usize) {
        let calls = callback.counters.calls();
        if self.0.get() == Compilation::Hot {
            if source > SOURCE_LIMIT {
                return callback.hot_check.close();
            }
            if callback.counters.counts().spent < HEAT * (COMPILING + COMPILING_A_BYTE * source as u32) {
                return callback.hot_check.set(calls.saturating_mul(2));
            }
        }
        if vm.compile_native(callback.slot.0) {
            callback.hot_check.close();
        } else {
            // Not all was compiled in one go, or the memory limit leaves no room. It is not tried at each call, either.
            callback.hot_check.set(calls + calls / 4 + 1);
        }
    }
}
