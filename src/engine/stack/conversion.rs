//! Numbers to strings, in the place of the VM's own conversion.
//!
//! The VM prints the shortest text that reads back as the same number; the server's VM prints 14 digits. Keys that
//! scripts make of numbers depend on it. The two functions that convert are alone in an object file of the VM's
//! library, and the linker takes no file out of a library for names that it has found: it finds ours first. Had it
//! both, it would refuse them; the tests below check that it has ours, and `tests/integration/compatibility.rs` checks
//! the module.

use std::arch::global_asm;
use std::ffi::c_char;
use std::ptr;

use super::super::number::{self, TEXT_ROOM};

// The names are those that the compiler of C++ makes of `luai_num2str(char*, double)` and `luai_int2str(char*,
// int64_t)`. They are given here, not by attributes of the functions, because those would be exported from the module.
global_asm!(
    ".pushsection .text",
    ".globl _Z12luai_num2strPcd, _Z12luai_int2strPcl",
    ".hidden _Z12luai_num2strPcd, _Z12luai_int2strPcl",
    ".type _Z12luai_num2strPcd, @function",
    ".type _Z12luai_int2strPcl, @function",
    "_Z12luai_num2strPcd:",
    concat!(jump!(), " {print_number}"),
    "_Z12luai_int2strPcl:",
    concat!(jump!(), " {print_integer}"),
    ".popsection",
    print_number = sym print_number,
    print_integer = sym print_integer,
);

unsafe extern "C" {
    #[link_name = "_Z12luai_num2strPcd"]
    fn luai_num2str(buffer: *mut c_char, number: f64) -> *mut c_char;
}

/// Makes the linker take this file before the VM's library, also in programs that use this crate as a library.
#[used]
static TAKEN: unsafe extern "C" fn(*mut c_char, f64) -> *mut c_char = luai_num2str;

/// Writes the text of `number` to `buffer`, which has room for 48 bytes, and gives its end.
unsafe extern "C" fn print_number(buffer: *mut c_char, number: f64) -> *mut c_char {
    let text = number::text(number);
    // SAFETY: the VM passes room for more than `TEXT_ROOM` bytes. The text is no longer than that.
    unsafe {
        ptr::copy_nonoverlapping(text.padded().as_ptr().cast(), buffer, TEXT_ROOM);
        buffer.add(text.len())
    }
}

/// Writes the text of `integer` and a NUL to `buffer`, which has room for 30 bytes, and gives the end of the text.
/// Scripts have no values of the VM's type of integers; the function is here because it shares its file with the other.
unsafe extern "C" fn print_integer(buffer: *mut c_char, integer: i64) -> *mut c_char {
    let mut digits = itoa::Buffer::new();
    let text = digits.format(integer).as_bytes();
    // SAFETY: the VM passes room for 30 bytes. The text has 20 at most.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        let end = buffer.add(text.len());
        *end = 0;
        end
    }
}
