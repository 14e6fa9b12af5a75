//! The VM's code generator: functions as machine code.
//!
//! Its interface in C knows "compile" and nothing else: neither how much memory the code takes, nor whether there was
//! any, nor a way back. So its functions in C++ are called, by the names that every compiler but Microsoft's gives them
//! (the Itanium C++ ABI). Nothing but the linker and the tests below hold the declarations here against those of the
//! VM; a new release of mlua's `luau0-src` must be read for it.

use std::ffi::{c_int, c_uint, c_void};

use mlua::ffi;

use super::{Kind, Stack};

/// `Luau::CodeGen::CompilationStats`: bytes and functions of one compilation.
#[repr(C)]
#[derive(Default)]
struct Stats {
    bytecode: usize,
    code: usize,
    data: usize,
    metadata: usize,
    functions: c_uint,
    compiled: c_uint,
    bound: c_uint,
}

/// `Luau::CodeGen::CompilationResult`. It has a destructor, which is not run: for each function that the generator
/// gives up on (one that is very long), its name and some bytes more are not freed.
#[repr(C)]
struct Report {
    result: c_int,
    /// A `std::vector` of functions that were given up on.
    failures: [*mut c_void; 3],
}

/// Of `Luau::CodeGen::CodeGenCompilationResult`: at least one function was compiled.
const SUCCESS: c_int = 0;
/// The VM has no generator.
const NOT_INITIALIZED: c_int = 3;
/// The system gave no memory for code.
const ALLOCATION_FAILED: c_int = 9;

unsafe extern "C-unwind" {
    #[link_name = "_ZN4Luau7CodeGen7compileEP9lua_StateijPNS0_16CompilationStatsE"]
    fn compile(state: *mut ffi::lua_State, index: c_int, flags: c_uint, stats: *mut Stats) -> Report;

    #[link_name = "_ZN4Luau7CodeGen25setNativeExecutionEnabledEP9lua_Stateb"]
    fn set_native_execution_enabled(state: *mut ffi::lua_State, enabled: bool);
}

/// What came of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiled {
    /// Functions, and the bytes of code and of data that belong to them.
    Functions { count: u32, code: usize, data: usize },
    /// Nothing: there was nothing new, or nothing that the generator takes.
    Nothing,
    /// There is no memory for code, now or at all. The generator must not be asked again: it may have locked memory
    /// that it still means to write.
    NoMemory,
}

impl Stack {
    /// Gives the VM its generator, once. Where the system allows no code that is made at run time there is none; the
    /// first compilation says so.
    pub fn create_codegen(&self) {
        // SAFETY: Alive. The VM frees the generator when it is closed.
        unsafe {
            if ffi::luau_codegen_supported() != 0 {
                ffi::luau_codegen_create(self.state);
            }
        }
    }

    /// Compiles the function at `index`, which is written in Lua, and the functions inside it. From its next call on it
    /// runs as machine code. May raise.
    pub fn compile_native(&self, index: i32) -> Compiled {
        debug_assert!(self.is_lua_function(index), "the value in slot {index} is no function in Lua");
        let mut stats = Stats::default();
        // SAFETY: Alive, Bounds, Raising. The value at `index` is a function in Lua; `stats` is a live value of the
        // layout that the generator fills, and the result is plain bytes here.
        let report = unsafe { compile(self.state, index, 0, &raw mut stats) };
        match report.result {
            NOT_INITIALIZED | ALLOCATION_FAILED => Compiled::NoMemory,
            SUCCESS if stats.bound > 0 => {
                Compiled::Functions { count: stats.bound, code: stats.code, data: stats.data }
            }
            _ => Compiled::Nothing,
        }
    }

    /// Whether what is compiled runs as machine code or in the interpreter. May be changed at any time: code that is
    /// running goes on in the interpreter where it next returns to a function in Lua.
    pub fn set_native_execution(&self, enabled: bool) {
        // SAFETY: Alive. Without a generator the call does nothing.
        unsafe { set_native_execution_enabled(self.state, enabled) }
    }

    /// Whether the value at `index` is a function that is written in Lua.
    pub fn is_lua_function(&self, index: i32) -> bool {
        self.kind(index) == Kind::Function && !self.is_native(index)
    }

    /// Pushes upvalue `number` (from 1) of the function at `index`; false, and nothing pushed, when there is none.
    pub fn push_upvalue(&self, index: i32, number: i32) -> bool {
        self.check_slot(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds; the value at `index` is a function. The name is not used.
        unsafe { !ffi::lua_getupvalue(self.state, index, number).is_null() }
    }
}
