//! The boundary to the VM: the one directory through which the engine touches `mlua::ffi`.
//!
//! mlua's safe API builds and closes the VM and compiles chunks. What runs inside a call (entering a function, the
//! `redis` API, `pcall`) needs three things that it cannot give: errors that are real Lua values (a script compares
//! and indexes them), calls without a heap allocation, and the place of an error. They are here, behind methods that
//! the rest of the engine uses without `unsafe`.
//!
//! The methods lean on these invariants, which hold in the whole of `engine`:
//!
//! * **Alive**: a `Stack` exists only while its VM does. `Vm`, which owns the VM, keeps the one of the main state;
//!   every other one is made of the state that the VM hands to a native function, and goes when that returns.
//! * **One thread**: a VM is used by one thread at a time; a generation moves between threads as a whole.
//! * **Bounds**: an index names a slot below the top (or one above it, which reads as none). A native function finds
//!   room for 20 values above its arguments; before more are pushed the caller asks for it with `reserve`.
//! * **Raising**: a method documented as raising may throw the VM's exception through the calling frames. That is
//!   allowed only below `Stack::protect` or inside a native function, and never inside `catch_unwind`. Frames in
//!   between may own values: unwinding drops them. A method that raises for want of memory alone may be called
//!   elsewhere while the VM has no limit: then there is no memory for the server either, which ends itself.

#![allow(unsafe_code, reason = "calls the VM")]

/// How the processor goes on at another place, for what gives our functions the names of the VM's.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b"
    };
}

mod callbacks;
mod checks;
mod codegen;
mod collation;
mod compiler;
mod conversion;
mod layout;
mod pages;
mod raising;
#[cfg(test)]
pub mod refusing;

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::slice;

use mlua::ffi;

use layout::{State, Value};

pub use callbacks::{Callback, Growth, Interrupt, InterruptSlot};
pub use codegen::Compiled;
pub use compiler::{COMPILER_STACK, bytecode, fit_nesting_to_stack, note_compiler_stack};

/// The VM's error when its allocator refuses memory.
pub const REFUSED: &[u8] = b"not enough memory";

/// The longest string that may be pushed, in bytes; the VM raises for one of a GiB.
pub const STRING_LIMIT: usize = (1 << 30) - 64;

/// How many values the VM lets one frame have. The registry's index is beyond them by a fixed distance.
const STACK_LIMIT: i32 = -ffi::LUA_REGISTRYINDEX - 2_000;

/// The type of a value on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    None,
    Nil,
    Boolean,
    Number,
    String,
    Table,
    Function,
    /// Anything else: userdata, thread, buffer, vector.
    Other,
}

impl Kind {
    /// The kind that the VM has this number for.
    const fn of(number: c_int) -> Self {
        match number {
            ffi::LUA_TNONE => Self::None,
            ffi::LUA_TNIL => Self::Nil,
            ffi::LUA_TBOOLEAN => Self::Boolean,
            ffi::LUA_TNUMBER => Self::Number,
            ffi::LUA_TSTRING => Self::String,
            ffi::LUA_TTABLE => Self::Table,
            ffi::LUA_TFUNCTION => Self::Function,
            _ => Self::Other,
        }
    }
}

/// What a native function raises instead of returning.
#[derive(Debug)]
pub enum Raise {
    /// A string with the position of the caller before it, as `luaL_error` does.
    Positioned(Vec<u8>),
    /// A table whose field `err` is the text: how the server's own API raises.
    Table(Vec<u8>),
    /// The value on top of the stack.
    Top,
    /// What the VM raises when it is refused memory.
    Memory,
}

impl Raise {
    /// A positioned error with a fixed text.
    pub fn at(text: &str) -> Self {
        Self::Positioned(text.as_bytes().to_vec())
    }

    /// An error of the server's API: `ERR <text>` in a table.
    pub fn api(text: &str) -> Self {
        Self::Table([b"ERR ", text.as_bytes()].concat())
    }
}

/// What a native function gives back: the number of results on top of the stack, or what it raises.
pub type Outcome = Result<c_int, Raise>;

/// A function of the engine that scripts can call.
pub trait Native {
    /// Its name in the VM's own messages (`bad argument #1 to '<name>'`).
    const NAME: &'static CStr;

    /// Runs it; the arguments are slots 1 to `stack.top()`.
    fn call(stack: &Stack) -> Outcome;
}

/// Declares natives: unit types whose `call` is the function body.
macro_rules! natives {
    ($($(#[$doc:meta])* $type:ident = $name:literal, $function:path;)*) => {$(
        $(#[$doc])*
        pub struct $type;

        impl $crate::engine::stack::Native for $type {
            const NAME: &'static std::ffi::CStr = $name;

            fn call(stack: &$crate::engine::stack::Stack) -> $crate::engine::stack::Outcome {
                $function(stack)
            }
        }
    )*};
}
pub(super) use natives;

/// How a protected call failed. The error value is on top of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Where a VM keeps a value outside of every script's reach: each has one for each of these, known by its address.
pub struct Place(#[expect(dead_code, reason = "gives it an address of its own")] u8);

impl Place {
    /// A place, to be kept in a static.
    pub const fn new() -> Self {
        Self(0)
    }
}

/// The name of the function through which `protect` enters its body.
pub const ENTRY: &CStr = c"entry";

/// How much of a chunk's name is read for a frame, in bytes.
const CHUNK_NAME_LIMIT: usize = 64;

/// A function that has been entered.
pub struct Activation<'a> {
    /// Its name, if it has one.
    pub name: Option<&'a [u8]>,
    /// The beginning of the name of its chunk, as the VM names chunks.
    pub chunk: &'a [u8],
    /// The line that it is at; None for one that is not written in Lua.
    pub line: Option<u32>,
}

/// A frame on a stack of the VM.
pub struct Stack {
    state: *mut ffi::lua_State,
    /// How many values the frame has room for.
    #[cfg(debug_assertions)]
    room: Cell<i32>,
}

extern "C-unwind" fn enter<F: Native>(state: *mut ffi::lua_State) -> c_int {
    let stack = Stack::frame(state);
    let outcome = {
        let _running = raising::Running::begin();
        F::call(&stack)
    };
    stack.finish(outcome)
}

/// Entry of `protect`: runs the closure whose address is argument 1.
extern "C-unwind" fn enter_body(state: *mut ffi::lua_State) -> c_int {
    let stack = Stack::frame(state);
    // SAFETY: only `protect` calls this function, and passes the address of a live closure reference that nothing
    // else uses meanwhile.
    let body = unsafe { &mut **ffi::lua_tolightuserdata(state, 1).cast::<&mut dyn FnMut(&Stack) -> Outcome>() };
    let outcome = {
        let _running = raising::Running::begin();
        body(&stack)
    };
    stack.finish(outcome)
}

impl Stack {
    /// The stack of `state`.
    ///
    /// # Safety
    /// `state` belongs to a live VM that only this thread uses while the result is (invariants Alive, One thread).
    pub unsafe fn new(state: *mut ffi::lua_State) -> Self {
        Self::frame(state)
    }

    /// Runs `body`, which builds a VM: mlua has functions in it that do not say when they own something.
    pub fn building<T>(body: impl FnOnce() -> T) -> T {
        raising::without_jumps(body)
    }

    /// The raw main state of the VM that `lua` owns.
    pub fn main_state(lua: &mlua::Lua) -> mlua::Result<*mut ffi::lua_State> {
        let mut state = std::ptr::null_mut();
        // SAFETY: the closure leaves the stack as it found it.
        unsafe { lua.exec_raw::<()>((), |current| state = ffi::lua_mainthread(current)) }?;
        Ok(state)
    }

    /// Ends a native: gives the number of its results to the VM, or raises.
    #[inline(always)]
    fn finish(&self, outcome: Outcome) -> c_int {
        match outcome {
            Ok(results) => {
                self.check_values(results);
                results
            }
            Err(raise) => {
                self.replace_by_raised(raise);
                // SAFETY: Raising. One value is on top. The native has returned, and what it raises is dropped: in
                // `enter` and here there is nothing else to drop.
                unsafe { raising::leave(self.state) }
            }
        }
    }

    /// Raises, from inside a native.
    fn raise(&self, raise: Raise) -> ! {
        self.replace_by_raised(raise);
        self.raise_top()
    }

    /// Raises the value on top.
    fn raise_top(&self) -> ! {
        // SAFETY: Raising. One value is on top.
        unsafe { ffi::lua_error(self.state) }
    }

    /// Replaces the values of a native by what it raises: so there is room for that, however many they are.
    #[cold]
    fn replace_by_raised(&self, raise: Raise) {
        if !matches!(raise, Raise::Top) {
            self.set_top(0);
        }
        self.push_raised(raise);
    }

    fn push_raised(&self, raise: Raise) {
        match raise {
            Raise::Positioned(text) => {
                self.push_position(1);
                self.push_bytes(&text);
                // SAFETY: two strings are on top; joining them leaves one.
                unsafe { ffi::lua_concat(self.state, 2) };
            }
            Raise::Table(text) => {
                self.push_table(0, 1);
                self.push_bytes(&text);
                self.raw_set_field(-2, c"err");
            }
            // The VM keeps this string, so pushing it takes no memory.
            Raise::Memory => self.push_bytes(REFUSED),
            Raise::Top => {}
        }
    }

    // ---- size and shape -------------------------------------------------------------------------------------

    /// The number of values in this frame.
    pub fn top(&self) -> i32 {
        // SAFETY: Alive.
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// Cuts or fills (with nil) the frame to `top` values.
    pub fn set_top(&self, top: i32) {
        self.check_top(top);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_settop(self.state, top) }
    }

    /// Drops the top `count` values.
    pub fn pop(&self, count: i32) {
        self.set_top(-count - 1);
    }

    /// Makes room for `count` more values; false when the VM's stack limit forbids it. May raise for want of memory.
    pub fn reserve(&self, count: i32) -> bool {
        // SAFETY: Alive.
        if unsafe { ffi::lua_checkstack(self.state, count) } != 0 {
            self.note_room(count);
            return true;
        }
        // The VM answers the same in both cases.
        if self.top().saturating_add(count) <= STACK_LIMIT {
            self.raise(Raise::Memory);
        }
        false
    }

    /// The type of the value at `index`; [`Kind::None`] above the top.
    #[inline]
    pub fn kind(&self, index: i32) -> Kind {
        self.check_readable(index);
        if index > 0 {
            return self.value(index).map_or(Kind::None, |value| Kind::of(value.kind));
        }
        // SAFETY: Alive, Bounds.
        Kind::of(unsafe { ffi::lua_type(self.state, index) })
    }

    /// The VM's name of the value's type, as `type()` gives it; `no value` beyond the top.
    pub fn type_name(&self, index: i32) -> &'static str {
        self.check_readable(index);
        // SAFETY: Alive, Bounds; the VM keeps type names in static strings.
        let name = unsafe { CStr::from_ptr(ffi::luaL_typename(self.state, index)) };
        name.to_str().unwrap_or("userdata")
    }

    // ---- reading --------------------------------------------------------------------------------------------

    /// The value in a slot of the function that runs, from 1 on; None above the top.
    #[inline(always)]
    fn value(&self, slot: i32) -> Option<&Value> {
        // SAFETY: Alive. Below the top there are values, and the caller keeps this one there while it reads it.
        unsafe {
            let state = self.state.cast::<State>();
            let value = (*state).base.wrapping_add(slot as usize - 1);
            (value < (*state).top).then(|| &*value)
        }
    }

    /// The bytes of a string; None for every other type. They live as long as the string stays on the stack.
    #[inline]
    pub fn bytes(&self, index: i32) -> Option<&[u8]> {
        self.bytes_with_nul(index).map(|bytes| &bytes[..bytes.len() - 1])
    }

    /// The bytes of a string and the NUL that the VM keeps after them; None for every other type.
    #[inline]
    pub fn bytes_with_nul(&self, index: i32) -> Option<&[u8]> {
        self.check_readable(index);
        if index > 0 {
            // SAFETY: the caller keeps the string on the stack.
            return Some(unsafe { layout::bytes(self.value(index)?.string()?) });
        }
        let mut length = 0;
        // SAFETY: Alive, Bounds. The VM returns the address of `length` bytes and a NUL that live as long as the
        // string, which the caller keeps on the stack; null for what is no string.
        unsafe {
            let start = ffi::lua_tolstringatom(self.state, index, &mut length, std::ptr::null_mut());
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), length + 1))
        }
    }

    /// The bytes of a string or of a number's text. A number's slot is turned into that string. May raise.
    pub fn text(&self, index: i32) -> Option<&[u8]> {
        self.check_readable(index);
        let mut length = 0;
        // SAFETY: Alive, Bounds, Raising. The VM returns the address of `length` bytes that live as long as the
        // string, which the caller keeps on the stack.
        unsafe {
            let start = ffi::lua_tolstring(self.state, index, &mut length);
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), length))
        }
    }

    /// Whether the value is true: anything but false, nil and none.
    pub fn boolean(&self, index: i32) -> bool {
        self.check_readable(index);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_toboolean(self.state, index) != 0 }
    }

    /// A number, or a string that reads as one.
    #[inline]
    pub fn number(&self, index: i32) -> Option<f64> {
        self.check_readable(index);
        if index > 0
            && let Some(number) = self.value(index)?.number()
        {
            return Some(number);
        }
        let mut is_number = 0;
        // SAFETY: Alive, Bounds.
        let number = unsafe { ffi::lua_tonumberx(self.state, index, &mut is_number) };
        (is_number != 0).then_some(number)
    }

    /// [`Stack::number`], cut to 32 bits as the VM's own functions cut it.
    pub fn integer(&self, index: i32) -> Option<i32> {
        self.check_readable(index);
        let mut is_number = 0;
        // SAFETY: Alive, Bounds.
        let integer = unsafe { ffi::lua_tointegerx_(self.state, index, &mut is_number) };
        (is_number != 0).then_some(integer)
    }

    /// Whether the value is a function that is not written in Lua: no safepoint is passed when it is called.
    pub fn is_native(&self, index: i32) -> bool {
        self.check_readable(index);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_iscfunction(self.state, index) != 0 }
    }

    /// What `<` gives for two values. Raises what it raises.
    pub fn less(&self, left: i32, right: i32) -> bool {
        self.check_slot(left);
        self.check_slot(right);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::lua_lessthan(self.state, left, right) != 0 }
    }

    /// Whether the value is the null of JSON: the address zero.
    pub fn is_null(&self, index: i32) -> bool {
        self.check_readable(index);
        // SAFETY: Alive, Bounds.
        unsafe {
            ffi::lua_type(self.state, index) == ffi::LUA_TLIGHTUSERDATA
                && ffi::lua_tolightuserdata(self.state, index).is_null()
        }
    }

    /// An address that tells the value from every other one.
    pub fn address(&self, index: i32) -> *const c_void {
        self.check_readable(index);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_topointer(self.state, index) }
    }

    // ---- pushing --------------------------------------------------------------------------------------------

    /// Pushes nil.
    pub fn push_nil(&self) {
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_pushnil(self.state) }
    }

    /// Pushes a boolean.
    pub fn push_boolean(&self, value: bool) {
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_pushboolean(self.state, value.into()) }
    }

    /// Pushes a number.
    pub fn push_number(&self, value: f64) {
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_pushnumber(self.state, value) }
    }

    /// Pushes the null of JSON: the address zero, which is no nil and so can be in a table.
    pub fn push_null(&self) {
        self.check_room(1);
        // SAFETY: Alive, Bounds; the VM never follows the address.
        unsafe { ffi::lua_pushlightuserdata(self.state, std::ptr::null_mut()) }
    }

    /// Pushes a copy of `bytes` as a string. May raise.
    pub fn push_bytes(&self, bytes: &[u8]) {
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising; the VM copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.state, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Pushes an empty table with room for `array` elements and `fields` fields. May raise.
    pub fn push_table(&self, array: usize, fields: usize) {
        self.check_room(1);
        let size = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::lua_createtable(self.state, size(array), size(fields)) }
    }

    /// Pushes a copy of the value at `index`.
    pub fn push_value(&self, index: i32) {
        self.check_readable(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_pushvalue(self.state, index) }
    }

    /// Pushes the native `F`; `carried` is what [`Stack::carried`] gives inside it. May raise.
    pub fn push_native<F: Native, C>(&self, carried: *const C) {
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising; one upvalue is pushed and consumed. The name is static.
        unsafe {
            ffi::lua_pushlightuserdata(self.state, carried.cast_mut().cast());
            ffi::lua_pushcclosured(self.state, enter::<F>, F::NAME.as_ptr(), 1);
        }
    }

    /// The slot of the value that the running native captured; it reads as none without one.
    pub const CAPTURED: i32 = ffi::lua_upvalueindex(2);

    /// Pops a value and pushes the native `F` that captures it. May raise.
    pub fn push_capturing<F: Native, C>(&self, carried: *const C) {
        self.check_values(1);
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising; the address goes below the value, and both are consumed. The name is static.
        unsafe {
            ffi::lua_pushlightuserdata(self.state, carried.cast_mut().cast());
            ffi::lua_insert(self.state, -2);
            ffi::lua_pushcclosured(self.state, enter::<F>, F::NAME.as_ptr(), 2);
        }
    }

    /// Pushes the text that `tostring` gives for the value at `index`. Raises what its metatable's function raises.
    pub fn push_text_of(&self, index: i32) {
        self.check_readable(index);
        self.check_room(2);
        // SAFETY: Alive, Bounds, Raising; the text is left on the stack, its address is not used.
        unsafe { ffi::luaL_tolstring_(self.state, index, std::ptr::null_mut()) };
    }

    /// Pushes the entry function that `protect` needs at `entry`. May raise.
    pub fn push_entry(&self) {
        self.check_room(1);
        // Without an upvalue it would look like a function of the VM's to `raising::jump`.
        self.push_nil();
        // SAFETY: Alive, Bounds, Raising; the upvalue is consumed. The name is static.
        unsafe { ffi::lua_pushcclosured(self.state, enter_body, ENTRY.as_ptr(), 1) }
    }

    /// Pushes the position of the function at `level`, `chunk:line: `; an empty string for one that is not written in
    /// Lua, and where there is none. May raise.
    pub fn push_position(&self, level: i32) {
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::luaL_where(self.state, level) }
    }

    /// The address that the running native was pushed with.
    pub fn carried<C>(&self) -> *const C {
        // SAFETY: Alive; every native has that address as upvalue 1 (`push_native`).
        unsafe { ffi::lua_tolightuserdata(self.state, ffi::lua_upvalueindex(1)).cast() }
    }

    /// Moves the top value to `index`, shifting what is above it up.
    pub fn insert(&self, index: i32) {
        self.check_slot(index);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_insert(self.state, index) }
    }

    /// Pops the top value into the slot `index`.
    pub fn replace(&self, index: i32) {
        self.check_values(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_replace(self.state, index) }
    }

    /// Replaces the top `count` strings and numbers by the one string that they make together. May raise.
    pub fn join(&self, count: i32) {
        self.check_values(count);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::lua_concat(self.state, count) }
    }

    // ---- tables ---------------------------------------------------------------------------------------------

    /// Pushes the field `name` of the value at `index`. Raises what metamethods on the way to it raise.
    pub fn get_field(&self, index: i32, name: &CStr) {
        self.check_slot(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::lua_getfield(self.state, index, name.as_ptr()) };
    }

    /// Pushes the field `name` of the table at `index`, without metamethods. May raise (a new string).
    pub fn raw_get_field(&self, index: i32, name: &CStr) -> Kind {
        self.check_table(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising; the value at `index` is a table.
        unsafe { ffi::lua_rawgetfield(self.state, index, name.as_ptr()) };
        self.kind(-1)
    }

    /// Pops a value into the field `name` of the table at `index`. May raise.
    pub fn raw_set_field(&self, index: i32, name: &CStr) {
        self.check_table(index);
        self.check_values(1);
        // SAFETY: Alive, Bounds, Raising; the value at `index` is a table.
        unsafe { ffi::lua_rawsetfield(self.state, index, name.as_ptr()) }
    }

    /// Pushes element `position` of the table at `index`, without metamethods.
    pub fn raw_get_at(&self, index: i32, position: i32) -> Kind {
        self.check_table(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds; the value at `index` is a table.
        Kind::of(unsafe { ffi::lua_rawgeti_(self.state, index, position) })
    }

    /// Replaces the key on top by what the table at `index` has under it, without metamethods.
    pub fn raw_get(&self, index: i32) -> Kind {
        self.check_table(index);
        self.check_values(1);
        // SAFETY: Alive, Bounds; the value at `index` is a table.
        Kind::of(unsafe { ffi::lua_rawget(self.state, index) })
    }

    /// Pops a value into element `position` of the table at `index`. May raise.
    pub fn raw_set_at(&self, index: i32, position: i32) {
        self.check_table(index);
        self.check_values(1);
        // SAFETY: Alive, Bounds, Raising; the value at `index` is a table.
        unsafe { ffi::lua_rawseti_(self.state, index, position) }
    }

    /// Pops a value and a key below it into the table at `index`. May raise.
    pub fn raw_set(&self, index: i32) {
        self.check_table(index);
        self.check_values(2);
        // SAFETY: Alive, Bounds, Raising; the value at `index` is a table.
        unsafe { ffi::lua_rawset(self.state, index) }
    }

    /// What `#` gives for the table or string at `index`, without metamethods.
    pub fn length(&self, index: i32) -> i32 {
        self.check_slot(index);
        // SAFETY: Alive, Bounds; of other values the VM gives 0.
        let length = unsafe { ffi::lua_objlen(self.state, index) };
        i32::try_from(length).unwrap_or(i32::MAX)
    }

    /// Steps through the table at `index`: pushes the key and value at or after position `from`. None at the end.
    pub fn raw_iterate(&self, index: i32, from: i32) -> Option<i32> {
        self.check_table(index);
        self.check_room(2);
        // SAFETY: Alive, Bounds; the value at `index` is a table. The VM takes any position from 0 up.
        let next = unsafe { ffi::lua_rawiter(self.state, index, from) };
        (next >= 0).then_some(next)
    }

    /// Pops a table (or nil) and makes it the metatable of the value at `index`.
    pub fn set_metatable(&self, index: i32) {
        self.check_slot(index);
        self.check_values(1);
        // SAFETY: Alive, Bounds; a table or nil is on top.
        unsafe { ffi::lua_setmetatable(self.state, index) };
    }

    /// Pushes the metatable of the value at `index`; false (and nothing pushed) without one.
    pub fn push_metatable(&self, index: i32) -> bool {
        self.check_readable(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_getmetatable(self.state, index) != 0 }
    }

    /// Locks or unlocks the table at `index` against every assignment.
    pub fn set_readonly(&self, index: i32, readonly: bool) {
        self.check_table(index);
        // SAFETY: Alive, Bounds; the value at `index` is a table.
        unsafe { ffi::lua_setreadonly(self.state, index, readonly.into()) }
    }

    /// Sets whether code may read the environment at `index` through constants that were resolved at compile time.
    pub fn set_safe_environment(&self, index: i32, safe: bool) {
        self.check_table(index);
        // SAFETY: Alive, Bounds; the value at `index` is a table.
        unsafe { ffi::lua_setsafeenv(self.state, index, safe.into()) }
    }

    /// Pushes the environment of the function at `index`.
    pub fn push_environment(&self, index: i32) {
        self.check_slot(index);
        self.check_room(1);
        // SAFETY: Alive, Bounds.
        unsafe { ffi::lua_getfenv(self.state, index) }
    }

    /// Pops a table and makes it the globals of this thread of the VM.
    pub fn replace_globals(&self) {
        self.check_table(-1);
        // SAFETY: Alive; a table is on top.
        unsafe { ffi::lua_replace(self.state, ffi::LUA_GLOBALSINDEX) }
    }

    /// Pushes the globals of this thread of the VM.
    pub fn push_globals(&self) {
        self.push_value(ffi::LUA_GLOBALSINDEX);
    }

    /// Pushes the value that `register` keeps in `place`.
    pub fn push_registered(&self, place: &'static Place) {
        self.check_room(1);
        // SAFETY: Alive, Bounds; the VM never follows the address.
        unsafe { ffi::lua_rawgetp(self.state, ffi::LUA_REGISTRYINDEX, std::ptr::from_ref(place).cast()) };
    }

    /// Pops a value and keeps it in `place`. May raise.
    pub fn register(&self, place: &'static Place) {
        self.check_values(1);
        // SAFETY: Alive, Bounds, Raising; the VM never follows the address.
        unsafe { ffi::lua_rawsetp(self.state, ffi::LUA_REGISTRYINDEX, std::ptr::from_ref(place).cast()) }
    }

    // ---- running --------------------------------------------------------------------------------------------

    /// Makes a function of compiled `bytecode` with the environment at `environment` and pushes it, or an error.
    ///
    /// # Safety
    /// `bytecode` is the compiler's output: the VM does not check it.
    pub unsafe fn load(&self, name: &CStr, bytecode: &[u8], environment: i32) -> Result<(), Failed> {
        self.check_table(environment);
        self.check_room(1);
        // SAFETY: Alive, Bounds, Raising; the caller vouches for the bytecode.
        let status =
            unsafe { ffi::luau_load(self.state, name.as_ptr(), bytecode.as_ptr().cast(), bytecode.len(), environment) };
        if status == 0 { Ok(()) } else { Err(Failed) }
    }

    /// Calls the function below `arguments` values. Raises what it raises.
    pub fn call(&self, arguments: i32, results: i32) {
        let base = self.check_call(arguments);
        // SAFETY: Alive, Bounds, Raising.
        unsafe { ffi::lua_call(self.state, arguments, results) }
        self.check_results(base, results);
    }

    /// Runs the VM's own function that the running native captured in the native's place: with its arguments, in its
    /// frame. Gives the number of results. Raises what it raises.
    pub fn run_captured(&self) -> i32 {
        // SAFETY: Alive, Raising. Functions of the VM's libraries take their arguments from the frame that they are
        // called in, and those that are captured (`environment::wrap`) have no upvalues of their own.
        unsafe {
            match ffi::lua_tocfunction(self.state, Self::CAPTURED) {
                Some(function) => function(self.state),
                None => 0,
            }
        }
    }

    /// Calls the function below `arguments` values and keeps what it raises.
    pub fn protected_call(&self, arguments: i32, results: i32) -> Result<(), Failed> {
        self.protected_call_handled(arguments, results, 0)
    }

    /// [`Self::protected_call`]; what is raised is kept after a call of the function at `handler`, unless that is 0.
    pub fn protected_call_handled(&self, arguments: i32, results: i32, handler: i32) -> Result<(), Failed> {
        let base = self.check_call(arguments);
        // SAFETY: Alive, Bounds.
        let status = unsafe { ffi::lua_pcall(self.state, arguments, results, handler) };
        self.check_results(base, if status == 0 { results } else { 1 });
        if status == 0 { Ok(()) } else { Err(Failed) }
    }

    /// All results of a call.
    pub const ALL: i32 = ffi::LUA_MULTRET;

    /// Runs `body` in protected mode: what is raised inside is left on top after a call of the function at `handler`.
    /// `entry` is the slot of a function from `push_entry`. The value in slot `given` is in slot [`Self::GIVEN`] of the
    /// body's own frame. On success one result is on top.
    pub fn protect(
        &self,
        handler: i32,
        entry: i32,
        given: i32,
        mut body: impl FnMut(&Stack) -> Outcome,
    ) -> Result<(), Failed> {
        let mut body: &mut dyn FnMut(&Stack) -> Outcome = &mut body;
        self.check_room(3);
        self.push_value(entry);
        let base = self.check_call(0);
        // SAFETY: Alive, Bounds; the address of `body` is used by `enter_body` alone and only during the call.
        let status = unsafe {
            ffi::lua_pushlightuserdata(self.state, (&raw mut body).cast::<c_void>());
            ffi::lua_pushvalue(self.state, given);
            ffi::lua_pcall(self.state, 2, 1, handler)
        };
        self.check_results(base, 1);
        if status == 0 { Ok(()) } else { Err(Failed) }
    }

    /// Where a body finds the value given to it.
    pub const GIVEN: i32 = 2;

    /// The chunk and line of the function at `level` (0 is the running one); None when it is not written in Lua.
    pub fn place(&self, level: i32) -> Option<(Vec<u8>, i32)> {
        let activation = self.activation(level, c"sl").filter(|activation| activation.currentline >= 0)?;
        // SAFETY: `s` was asked for: `source` points to a C string that the function keeps alive.
        let source = unsafe { CStr::from_ptr(activation.source) };
        Some((source.to_bytes().to_vec(), activation.currentline))
    }

    /// The frame at `level` (0 is the running one); None when there is no such level.
    pub fn frame_at(&self, level: i32) -> Option<Activation<'_>> {
        let activation = self.activation(level, c"sln")?;
        // SAFETY: `s` and `n` were asked for: both are C strings that the function keeps alive, which its frame does in
        // turn; `name` may be null.
        let (chunk, name) = unsafe {
            let name = (!activation.name.is_null()).then(|| CStr::from_ptr(activation.name).to_bytes());
            // A chunk may be named by its whole source.
            let length = libc::strnlen(activation.source, CHUNK_NAME_LIMIT);
            (slice::from_raw_parts(activation.source.cast(), length), name)
        };
        Some(Activation { name, chunk, line: u32::try_from(activation.currentline).ok() })
    }

    /// The main state of the VM, where its calls begin; None if this is it.
    pub fn caller_of_coroutines(&self) -> Option<Self> {
        // SAFETY: Alive; the main state lives as long as the VM.
        let main = unsafe { ffi::lua_mainthread(self.state) };
        (main != self.state).then(|| Self::frame(main))
    }

    /// How many parameters the function on top takes; `u8::MAX` for any number.
    pub fn parameters(&self) -> u8 {
        match self.activation(-1, c"a") {
            Some(activation) if activation.isvararg == 0 => activation.nparams,
            _ => u8::MAX,
        }
    }

    /// What the VM knows of the function at `level`, or at the stack's index `level` if that is below zero: the fields
    /// that `what` names. None when there is no such level.
    fn activation(&self, level: i32, what: &CStr) -> Option<ffi::lua_Debug> {
        let mut activation = std::mem::MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: Alive, Bounds. All-zero bytes are a valid `lua_Debug` (null pointers and numbers), of which the VM
        // fills some.
        unsafe {
            let known = ffi::lua_getinfo(self.state, level, what.as_ptr(), activation.as_mut_ptr());
            (known != 0).then(|| activation.assume_init())
        }
    }

    /// Brings a stack that a panic crossed back to its first state: no frames, no values.
    pub fn reset(&self) {
        // SAFETY: Alive; no frame of this state is running: the panic unwound them all. They are still in the VM's list
        // of frames, which it would assert to be empty were its assertions built in; this is what clears it.
        unsafe { ffi::lua_resetthread(self.state) }
        self.note_reset();
    }

    /// Bytes that the VM has allocated.
    pub fn memory(&self) -> usize {
        // SAFETY: Alive. A category below zero means all of them.
        unsafe { ffi::lua_totalbytes(self.state, -1) }
    }

    /// The last memory category that something can be allocated under.
    pub const LAST_CATEGORY: u8 = pages::ADDED - 1;

    /// Bytes of the VM that were allocated under a memory category, and are not freed.
    pub fn memory_of(&self, category: u8) -> usize {
        // SAFETY: Alive; every number of eight bits is a category.
        unsafe { ffi::lua_totalbytes(self.state, category.into()) }
    }

    /// Bytes that the allocator has added to what the VM asked it for, since the VM is there.
    pub fn memory_added(&self) -> usize {
        self.memory_of(pages::ADDED)
    }

    /// Makes this state allocate under a memory category, at most [`LAST_CATEGORY`](Self::LAST_CATEGORY).
    pub fn set_memory_category(&self, category: u8) {
        // SAFETY: as in `memory_of`.
        unsafe { ffi::lua_setmemcat(self.state, category.into()) }
    }

    /// Runs the collector's operation `what` (`LUA_GC...`) with `data`.
    pub fn collect(&self, what: Collect, data: i32) -> i32 {
        let what = match what {
            Collect::Stop => ffi::LUA_GCSTOP,
            Collect::Restart => ffi::LUA_GCRESTART,
            Collect::Full => ffi::LUA_GCCOLLECT,
            Collect::Step => ffi::LUA_GCSTEP,
        };
        // SAFETY: Alive.
        unsafe { ffi::lua_gc(self.state, what, data) }
    }
}

/// An operation of the collector.
#[derive(Clone, Copy, Debug)]
pub enum Collect {
    Stop,
    Restart,
    Full,
    Step,
}
