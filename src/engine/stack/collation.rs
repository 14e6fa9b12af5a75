//! The order of strings, in the place of the VM's own.
//!
//! The VM compares bytes; the server's VM goes by the locale of the process (`strcoll`), so `'a' < 'B'` depends on it,
//! and `table.sort` with it. The linker sends the calls of the VM's three functions that compare from outside of their
//! file here (build.rs). In a program that is linked without that, nobody calls these.

use std::arch::global_asm;
use std::ffi::{CStr, c_int};

use mlua::ffi::lua_State;

use super::layout::{Value, VmString, bytes};

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    ($name:literal) => {
        concat!("jmp ", $name, "@PLT")
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    ($name:literal) => {
        concat!("b ", $name)
    };
}

// The names are those that the compiler of C++ makes, with what the linker puts in front. The VM's functions are weak
// names here, which may be missing.
global_asm!(
    ".pushsection .text",
    ".globl __wrap__Z11luaV_strcmpPK7TStringS1_",
    ".globl __wrap__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_",
    ".globl __wrap__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_",
    ".hidden __wrap__Z11luaV_strcmpPK7TStringS1_",
    ".hidden __wrap__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_",
    ".hidden __wrap__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_",
    ".type __wrap__Z11luaV_strcmpPK7TStringS1_, @function",
    ".type __wrap__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_, @function",
    ".type __wrap__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_, @function",
    ".weak __real__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_",
    ".weak __real__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_",
    "__wrap__Z11luaV_strcmpPK7TStringS1_:",
    jump!("{compare_strings}"),
    "__wrap__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_:",
    jump!("{less_than}"),
    "__wrap__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_:",
    jump!("{less_equal}"),
    "shadow_vm_less_than:",
    jump!("__real__Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_"),
    "shadow_vm_less_equal:",
    jump!("__real__Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_"),
    ".globl shadow_vm_less_than, shadow_vm_less_equal",
    ".hidden shadow_vm_less_than, shadow_vm_less_equal",
    ".popsection",
    compare_strings = sym compare_strings,
    less_than = sym less_than,
    less_equal = sym less_equal,
);

unsafe extern "C-unwind" {
    /// The VM's own. They raise for values that have no order.
    #[link_name = "shadow_vm_less_than"]
    fn vm_less_than(state: *mut lua_State, left: *const Value, right: *const Value) -> c_int;
    #[link_name = "shadow_vm_less_equal"]
    fn vm_less_equal(state: *mut lua_State, left: *const Value, right: *const Value) -> c_int;
}

/// Strings longer than this, in bytes, are in the order of their bytes whatever the locale: KILL does not reach into a
/// comparison, and by a locale it takes up to 0.2 s a MiB.
const LONGEST: usize = 1 << 20;

/// Whether the order of strings is that of their bytes: whether the locale is `C`, as the C library calls it under each
/// of its names.
#[inline]
fn is_bytewise() -> bool {
    // SAFETY: asking changes nothing. The answer is a C string of the C library's, whose second byte is there when the
    // first one is not its end; only the server's thread, which runs scripts, changes the locale.
    unsafe {
        let name = libc::setlocale(libc::LC_COLLATE, std::ptr::null()).cast::<u8>();
        *name == b'C' && *name.add(1) == 0
    }
}

/// Compares two strings, each with its NUL, piece by piece between the NULs in them.
fn collate(mut left: &[u8], mut right: &[u8]) -> c_int {
    loop {
        let (Ok(left_piece), Ok(right_piece)) = (CStr::from_bytes_until_nul(left), CStr::from_bytes_until_nul(right))
        else {
            return left.len().cmp(&right.len()) as c_int;
        };
        // SAFETY: both are C strings.
        let order = unsafe { libc::strcoll(left_piece.as_ptr(), right_piece.as_ptr()) };
        if order != 0 {
            return order;
        }
        left = &left[left_piece.count_bytes() + 1..];
        right = &right[right_piece.count_bytes() + 1..];
    }
}

/// Below, at or above 0, as the left string comes before, with or after the right one.
unsafe extern "C" fn compare_strings(left: *const VmString, right: *const VmString) -> c_int {
    if left == right {
        return 0;
    }
    // SAFETY: the VM passes two of its strings and waits.
    let (left, right) = unsafe { (bytes(left), bytes(right)) };
    if left.len().max(right.len()) > LONGEST + 1 || is_bytewise() {
        // The NULs behind them are below all bytes but NULs, and after those the lengths decide.
        return left.cmp(right) as c_int;
    }
    collate(left, right)
}

unsafe extern "C-unwind" fn less_than(state: *mut lua_State, left: *const Value, right: *const Value) -> c_int {
    // SAFETY: the VM passes two of its values; what is no pair of strings is its own affair.
    unsafe {
        if let (Some(left), Some(right)) = ((*left).string(), (*right).string()) {
            return c_int::from(compare_strings(left, right) < 0);
        }
        vm_less_than(state, left, right)
    }
}

unsafe extern "C-unwind" fn less_equal(state: *mut lua_State, left: *const Value, right: *const Value) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let (Some(left), Some(right)) = ((*left).string(), (*right).string()) {
            return c_int::from(compare_strings(left, right) <= 0);
        }
        vm_less_equal(state, left, right)
    }
}
