//! How the VM lays out its states, values and strings, as far as they are read here.
//!
//! The VM's own functions for these are calls into another library, some thirty instructions each, and most of what a
//! native does is to read its arguments. The declarations are held against the VM by the test below; a new release of
//! `luau0-src` must be read for them.

use std::ffi::{c_char, c_int, c_void};
use std::slice;

use mlua::ffi::{LUA_TNUMBER, LUA_TSTRING};

/// The beginning of a state (`lua_State`).
#[repr(C)]
pub struct State {
    _header: [u8; 3],
    /// 0 while it runs; something else where a coroutine goes on.
    pub status: u8,
    _flags: [u8; 4],
    /// Above the last value of the function that runs.
    pub top: *const Value,
    /// Its first value.
    pub base: *const Value,
    /// What all states of the VM share (`global_State`).
    pub global: *mut c_void,
    /// The last entry of the list of calls.
    pub call: *mut c_void,
    _stack: [*mut c_void; 3],
    /// The first one, which is no call.
    pub first_call: *mut c_void,
    _sizes: [c_int; 4],
    _lists: [*mut c_void; 5],
    /// What `lua_setthreaddata` sets. The VM does not look at it.
    pub data: *mut c_void,
}

/// A value (`TValue`).
#[repr(C)]
pub struct Value {
    content: Content,
    _extra: c_int,
    /// The VM's number for its type.
    pub kind: c_int,
}

/// What it is, by its type.
#[repr(C)]
union Content {
    string: *const VmString,
    number: f64,
}

impl Value {
    /// The string that it is.
    #[inline(always)]
    pub fn string(&self) -> Option<*const VmString> {
        if self.kind != LUA_TSTRING {
            return None;
        }
        // SAFETY: as its type says.
        Some(unsafe { self.content.string })
    }

    /// The number that it is; None for a string that reads as one, too.
    #[inline(always)]
    pub fn number(&self) -> Option<f64> {
        if self.kind != LUA_TNUMBER {
            return None;
        }
        // SAFETY: as its type says.
        Some(unsafe { self.content.number })
    }
}

/// A string (`TString`), up to its bytes, which a NUL follows.
#[repr(C)]
pub struct VmString {
    /// Type, mark, category of memory; the number that a host gives to a string.
    _header: [u8; 8],
    _next: *mut c_void,
    _hash: u32,
    length: u32,
    bytes: [c_char; 0],
}

/// The bytes of a string and the NUL behind them.
///
/// # Safety
/// A live string of the VM, which stays for as long as the bytes are used.
#[inline(always)]
pub unsafe fn bytes<'a>(string: *const VmString) -> &'a [u8] {
    // SAFETY: as many bytes as it says are there, and a NUL.
    unsafe { slice::from_raw_parts((&raw const (*string).bytes).cast(), (*string).length as usize + 1) }
}

#[cfg(test)]
mod tests {
    use mlua::ffi;

    use super::super::super::Engine;
    use super::super::super::tests::engine;
    use super::*;

    #[test]
    fn the_vms_values_and_states_are_as_they_are_declared_here() {
        let engine = engine();
        let stack = &engine.vm().stack;
        let bottom = stack.top();
        stack.push_bytes(b"a\0string of the VM");
        stack.push_number(-1.5);
        stack.push_nil();
        // SAFETY: the state is alive and nothing runs.
        unsafe {
            let state = stack.state.cast::<State>();
            assert_eq!((*state).top.offset_from((*state).base), (bottom + 3) as isize);
            assert_eq!(((*state).status, (*state).call), (0, (*state).first_call));
            assert_eq!((*state).global, (*ffi::lua_mainthread(stack.state).cast::<State>()).global);
            assert_eq!((*state).data, ffi::lua_getthreaddata(stack.state));
            let value = |above: i32| &*(*state).base.add((bottom + above) as usize);
            assert_eq!(bytes(value(0).string().unwrap()), b"a\0string of the VM\0");
            let mut length = 0;
            let address = ffi::lua_tolstring(stack.state, bottom + 1, &mut length);
            assert_eq!(bytes(value(0).string().unwrap()).as_ptr(), address.cast());
            assert_eq!((value(1).number(), value(0).number()), (Some(-1.5), None));
            assert!(value(1).string().is_none() && value(2).string().is_none());
            assert_eq!(
                [0, 1, 2].map(|above| value(above).kind),
                [0, 1, 2].map(|above| ffi::lua_type(stack.state, bottom + 1 + above))
            );
        }
        stack.pop(3);
    }
}
