//! The VM's compiler: source text to bytecode.
//!
//! mlua's own way to it makes its list of names anew for each chunk, which took a fifth of the time of LOAD.

use std::ffi::{CStr, c_char};
use std::ptr;

use mlua::ffi;
use smallvec::SmallVec;

/// The bytecode of `source`, which has no NUL, or what the compiler says is wrong in the form in which [`super::Stack::load`]
/// takes it. Globals named in `mutable` are looked up when the code runs.
///
/// Optimisation level 1: level 2 inlines functions, which changes the lines that errors name.
pub fn bytecode(source: &[u8], mutable: &[&CStr]) -> Vec<u8> {
    let mut names: SmallVec<[*const c_char; 16]> = mutable.iter().map(|name| name.as_ptr()).collect();
    names.push(ptr::null());
    let mut options = ffi::lua_CompileOptions::default();
    options.optimizationLevel = 1;
    options.debugLevel = 1;
    options.mutableGlobals = names.as_ptr();
    // SAFETY: the options point to C strings, and to the null that ends their list, which live until the call returns.
    unsafe { ffi::luau_compile(source, options) }
}
