//! `realpath` with memory of the module's own C library.
//!
//! Some servers load modules with RTLD_DEEPBIND while the process has another allocator than the C library's: the
//! module's `free` is the C library's then, but what the C library allocates for its callers comes from the other one.
//! Nothing of that kind may be freed here. The standard library calls one such function, in backtraces too; the linker
//! puts the one below in its place (build.rs). `tests/integration/linking.rs` looks at what else is called.

#![allow(unsafe_code, reason = "stands in for a function of the C library")]

use std::ffi::c_char;
use std::ptr;

unsafe extern "C" {
    /// `realpath` into a buffer whose size is checked. It allocates nothing.
    fn __realpath_chk(path: *const c_char, resolved: *mut c_char, size: usize) -> *mut c_char;
}

/// # Safety
/// As for the C library's: `path` is a C string, and `resolved` has room for the longest path or is null.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char {
    const ROOM: usize = libc::PATH_MAX as usize;
    // SAFETY: the caller's promise, or a buffer of that size, which is freed by the C library that gave it: here if
    // nobody gets it, else by the caller, whose `free` is the same.
    unsafe {
        if !resolved.is_null() {
            return __realpath_chk(path, resolved, ROOM);
        }
        let buffer = libc::malloc(ROOM).cast::<c_char>();
        if buffer.is_null() {
            return ptr::null_mut();
        }
        let found = __realpath_chk(path, buffer, ROOM);
        if found.is_null() {
            let errno = *libc::__errno_location();
            libc::free(buffer.cast());
            *libc::__errno_location() = errno;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::io;

    fn resolve(path: &CStr) -> io::Result<String> {
        // SAFETY: a C string, and no buffer: what comes back is a C string that is ours.
        unsafe {
            let found = __wrap_realpath(path.as_ptr(), ptr::null_mut());
            if found.is_null() {
                return Err(io::Error::last_os_error());
            }
            let text = CStr::from_ptr(found).to_str().unwrap().to_owned();
            libc::free(found.cast());
            Ok(text)
        }
    }

    #[test]
    fn a_path_is_resolved_as_the_c_library_does() {
        assert_eq!(resolve(c"/usr/../usr/./lib/..").unwrap(), std::fs::canonicalize("/usr").unwrap().to_str().unwrap());
        assert_eq!(resolve(c"/no/such/path").unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut buffer = [0; libc::PATH_MAX as usize];
        // SAFETY: a C string, and a buffer with room for the longest path.
        unsafe {
            assert_eq!(__wrap_realpath(c"//".as_ptr(), buffer.as_mut_ptr()), buffer.as_mut_ptr());
            assert_eq!(CStr::from_ptr(buffer.as_ptr()), c"/");
        }
    }
}
