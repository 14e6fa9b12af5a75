//! Functions as machine code: what is compiled, and how much.
//!
//! Compiling takes some tenths of a millisecond for a small function and memory that comes back with the VM only, so
//! just what has proved hot is compiled (the caller decides what has), under a cap for each VM. A function that a
//! client calls is rarely alone: what it can reach through its upvalues, other functions of its library, is compiled
//! with it.

#![allow(unsafe_code, reason = "asks for the size of a page")]

use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use lazy_static::lazy_static;

use super::memory::Memory;
use super::stack::{Compiled, Kind, Stack};

/// Bytes of machine code that a VM may hold; whole pages are counted.
pub const BYTES_LIMIT: usize = 16 << 20;

/// Nothing more is compiled when less than this is left: no single piece takes more, for the generator puts each into
/// one of its blocks.
const BLOCK: usize = 4 << 20;

/// How often a VM may compile. Each time takes two of the mappings of memory that the system allows a process, 65,530
/// as a rule; without any left the server could not allocate.
const PIECES_LIMIT: u32 = 1_000;

/// How long one go may take when there are several functions to compile.
const PATIENCE: Duration = Duration::from_millis(2);

/// How many functions and tables, and how many elements of tables, are searched for functions that are reached.
const OBJECTS_LIMIT: usize = 256;
const ELEMENTS_LIMIT: usize = 4_096;

/// The machine code of one VM.
#[derive(Default)]
pub struct MachineCode {
    generator: Cell<Generator>,
    bytes: Cell<usize>,
    functions: Cell<u32>,
    pieces: Cell<u32>,
    /// Whether it must not run: the interpreter runs instead.
    silenced: Cell<bool>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Generator {
    #[default]
    NotMade,
    Made,
    /// It must not be used any more.
    Closed,
}

/// How much machine code a VM has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeCode {
    /// Bytes that it takes, in whole pages.
    pub bytes: usize,
    /// Functions that were compiled, those inside others among them.
    pub functions: u32,
    /// Whether more can be compiled.
    pub open: bool,
}

impl MachineCode {
    pub fn figures(&self) -> NativeCode {
        NativeCode { bytes: self.bytes.get(), functions: self.functions.get(), open: self.is_open() }
    }

    /// Whether more can be compiled.
    pub fn is_open(&self) -> bool {
        self.generator.get() != Generator::Closed
            && self.bytes.get() <= BYTES_LIMIT - BLOCK
            && self.pieces.get() < PIECES_LIMIT
    }

    /// Whether more can be compiled now: what it takes counts against the VM's memory limit.
    pub fn has_room(&self, stack: &Stack, memory: &Memory) -> bool {
        self.is_open() && memory.room(stack) >= BLOCK
    }

    /// Runs what is compiled as machine code, or in the interpreter.
    pub fn set_running(&self, stack: &Stack, runs: bool) {
        self.silenced.set(!runs);
        if self.generator.get() != Generator::NotMade {
            stack.set_native_execution(runs);
        }
    }

    /// Compiles the function on top of the stack and those that it reaches; the caller has checked `has_room`. True
    /// when nothing is left to do; else the rest waits for the next time. May raise.
    pub fn compile(&self, stack: &Stack) -> bool {
        if self.generator.get() == Generator::NotMade {
            stack.create_codegen();
            self.generator.set(Generator::Made);
            stack.set_native_execution(!self.silenced.get());
        }
        let first = stack.top();
        push_reached(stack);
        let began = Instant::now();
        for index in first..=stack.top() {
            if !stack.is_lua_function(index) {
                continue;
            }
            match stack.compile_native(index) {
                Compiled::Functions { count, code, data } => {
                    self.functions.set(self.functions.get() + count);
                    self.pieces.set(self.pieces.get() + 1);
                    self.bytes.set(self.bytes.get() + pages(code) + pages(data));
                    if !self.is_open() {
                        return true;
                    }
                    if began.elapsed() > PATIENCE {
                        return false;
                    }
                }
                Compiled::Nothing => {}
                Compiled::NoMemory => {
                    self.generator.set(Generator::Closed);
                    return true;
                }
            }
        }
        true
    }
}

/// Pushes what the function on top reaches through upvalues, and through tables and their metatables that it finds
/// there: functions and tables, each once, near ones first.
fn push_reached(stack: &Stack) {
    let mut index = stack.top();
    let mut seen = HashSet::from([stack.address(index)]);
    let mut elements = 0;
    // Keeps the value on top if it leads on.
    let mut keep = |stack: &Stack| {
        let leads_on = stack.kind(-1) == Kind::Table || stack.is_lua_function(-1);
        if !leads_on || seen.len() >= OBJECTS_LIMIT || !seen.insert(stack.address(-1)) {
            stack.pop(1);
        }
    };
    while index <= stack.top() && elements < ELEMENTS_LIMIT && stack.reserve(4) {
        if stack.kind(index) == Kind::Table {
            if stack.push_metatable(index) {
                keep(stack);
            }
            let mut position = 0;
            while let Some(next) = stack.raw_iterate(index, position) {
                position = next;
                // The value takes the key's place.
                stack.replace(stack.top() - 1);
                keep(stack);
                elements += 1;
                if elements >= ELEMENTS_LIMIT || !stack.reserve(4) {
                    return;
                }
            }
        } else {
            let mut number = 1;
            while stack.push_upvalue(index, number) {
                keep(stack);
                number += 1;
            }
        }
        index += 1;
    }
}

lazy_static! {
    /// Bytes of a page of memory.
    static ref PAGE: usize = {
        // SAFETY: asks for a number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4_096)
    };
}

/// The size of the pages that `bytes` bytes take.
fn pages(bytes: usize) -> usize {
    bytes.next_multiple_of(*PAGE)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Echo, call, engine, load};
    use super::super::{Engine, FunctionEngine};
    use super::*;

    fn compiled(body: &str) -> (FunctionEngine, u32, Echo) {
        let (mut engine, mut host) = (engine(), Echo::default());
        let slot = load(&mut engine, body, &mut host);
        compile(&engine, slot);
        (engine, slot, host)
    }

    /// Compiles all; a busy machine may need several goes.
    fn compile(engine: &FunctionEngine, slot: u32) {
        while !engine.vm().compile_native(slot) {}
    }

    fn functions(engine: &FunctionEngine) -> u32 {
        engine.vm().native_code().functions
    }

    #[test]
    fn a_compiled_function_gives_what_it_gave_before() {
        for body in [
            "return 'text'",
            "local n = 0 for i = 1, 100 do n = n + i end return n",
            "local t = {} for i = 1, 100 do t[i * 2] = i end return #t",
            "local s = '' for word in ('a b c'):gmatch('%a') do s = s .. word end return s",
            "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end return fib(15)",
            "return redis.call('GET', KEYS[1])",
            "return {pcall(error, 'x')}",
            "return select(2, pcall(function() local n = nil + 1 end))",
            "local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) \
             return co() + co() * co()",
            "return nosuch",
            "error('here')",
            "error({err = 'MY words'})",
            "return KEYS.x.y",
            "redis.call('ERROR')",
            "return cjson.encode({a = {1, 2.5, 'x'}})",
            "return bit.tohex(bit.bxor(0xdeadbeef, 1))",
            "return 0/0 == 0/0 and 'equal' or tostring(-0 .. '')",
            "local t, out = {0.1, 1/3, 1e15, 0/0, -1/0}, '' for _, x in ipairs(t) do out = out .. x .. tostring(x) end \
             return out",
        ] {
            let (mut plain, mut host) = (engine(), Echo::default());
            let slot = load(&mut plain, body, &mut host);
            let expected = call(&plain, slot, &mut host);
            assert_eq!(functions(&plain), 0);
            let (native, slot, mut host) = compiled(body);
            assert!(functions(&native) > 0, "{body}");
            for _ in 0..3 {
                assert_eq!(call(&native, slot, &mut host), expected, "{body}");
            }
        }
    }

    /// The generator's figures are read from a value whose layout only this test holds against the VM's.
    #[test]
    fn the_generators_figures_are_read_as_it_writes_them() {
        let (engine, ..) =
            compiled("local function a() return 1 end local function b() return a() end return a() + b()");
        let code = engine.vm().native_code();
        assert_eq!(code.functions, 3);
        assert!((pages(1)..=16 * pages(1)).contains(&code.bytes), "{code:?}");
        assert!(code.bytes.is_multiple_of(pages(1)) && code.open);
    }

    #[test]
    fn what_is_compiled_is_not_compiled_again() {
        let (engine, slot, _) = compiled("return 1");
        let before = engine.vm().native_code();
        compile(&engine, slot);
        assert_eq!(engine.vm().native_code(), before);
    }

    #[test]
    fn functions_that_are_reached_are_compiled_too() {
        let (mut engine, mut host) = (engine(), Echo::default());
        let body = b"
            local function deep() return 1 end
            local function near() return deep() end
            local unused = function() return 2 end
            local methods = {inner = {method = function() return near() end}}
            methods.methods = methods
            redis.register_function('f', function() return near() + methods.inner.method() end)
            redis.register_function('g', function() return unused() end)";
        let registered = engine.load(body, None, &mut host).unwrap().functions;
        compile(&engine, registered[0].slot);
        assert_eq!(functions(&engine), 4);
        assert_eq!(call(&engine, registered[0].slot, &mut host), Ok("2".to_owned()));
        compile(&engine, registered[1].slot);
        assert_eq!(functions(&engine), 6);
    }

    #[test]
    fn a_large_table_is_not_looked_through_to_its_end() {
        let (mut engine, mut host) = (engine(), Echo::default());
        let body = b"
            local t = {}
            redis.register_function('f', function()
                for i = #t + 1, 100000 do t[i] = {} end
                for i = 1, 1000 do t[i] = function() return i end end
                return #t
            end)";
        let slot = engine.load(body, None, &mut host).unwrap().functions[0].slot;
        assert_eq!(call(&engine, slot, &mut host), Ok("100000".to_owned()));
        compile(&engine, slot);
        assert_eq!(call(&engine, slot, &mut host), Ok("100000".to_owned()));
    }

    #[test]
    fn code_can_be_left_to_the_interpreter_and_back() {
        let (engine, slot, mut host) = compiled("local n = 0 for i = 1, 10 do n = n + i end return n");
        for runs in [false, true, false] {
            engine.vm().set_native_running(runs);
            assert_eq!(call(&engine, slot, &mut host), Ok("55".to_owned()));
        }
    }

    #[test]
    fn machine_code_counts_against_the_memory_limit() {
        let (mut engine, mut host) = (engine(), Echo::default());
        let slot = load(&mut engine, "return ('x'):rep(1000):sub(1, 1)", &mut host);
        // Not enough is left for the largest piece of code: later, perhaps.
        engine.vm().set_memory_limit(BLOCK);
        assert!(!engine.vm().compile_native(slot));
        assert_eq!(functions(&engine), 0);
        engine.vm().set_memory_limit(2 * BLOCK);
        let before = engine.vm().state.memory.room(&engine.vm().stack);
        compile(&engine, slot);
        let code = engine.vm().native_code();
        assert!(code.bytes > 0);
        let room = engine.vm().state.memory.room(&engine.vm().stack);
        assert!(room <= before - code.bytes, "{before} to {room}: {code:?}");
        assert_eq!(call(&engine, slot, &mut host), Ok("x".to_owned()));
    }

    /// The cap of pieces keeps the system's mappings; beyond it functions run as before.
    #[test]
    fn a_vm_compiles_no_more_than_its_cap() {
        let (mut engine, mut host) = (engine(), Echo::default());
        let mut slots = Vec::new();
        for number in 0..PIECES_LIMIT + 50 {
            slots.push(load(&mut engine, &format!("return {number}"), &mut host));
        }
        for &slot in &slots {
            compile(&engine, slot);
        }
        let code = engine.vm().native_code();
        assert_eq!((code.functions, code.open), (PIECES_LIMIT, false));
        assert!(code.bytes <= BYTES_LIMIT);
        for (number, &slot) in slots.iter().enumerate() {
            assert_eq!(call(&engine, slot, &mut host), Ok(number.to_string()));
        }
    }

    #[test]
    fn a_vm_with_machine_code_is_freed_on_another_thread() {
        let (engine, slot, mut host) = compiled("local n = 0 for i = 1, 100 do n = n + i end return n");
        assert_eq!(call(&engine, slot, &mut host), Ok("5050".to_owned()));
        std::thread::spawn(move || drop(engine)).join().unwrap();
    }

    #[test]
    fn a_library_that_goes_takes_its_machine_code_along() {
        let (mut engine, mut host) = (engine(), Echo::default());
        for _ in 0..100 {
            let slot = load(&mut engine, "return {KEYS[1], function() return 1 end}", &mut host);
            compile(&engine, slot);
            call(&engine, slot, &mut host).unwrap();
            engine.release([slot]);
            engine.vm().stack.collect(super::super::stack::Collect::Full, 0);
        }
    }
}
