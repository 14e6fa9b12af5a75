//! A setting that is a path: any bytes, empty for none.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw;

use super::api::{Context, Text, api, checked, string_bytes};
use super::guard;

/// A setting and its value, which CONFIG SET does not change.
pub struct PathSetting {
    name: &'static CStr,
    /// A string that the setting owns, or null for the empty one.
    value: AtomicPtr<raw::RedisModuleString>,
}

impl PathSetting {
    /// The setting `name`, which is empty until it is registered.
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The name without `shadow.`.
    pub fn plain_name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }

    /// The value.
    pub fn get(&self) -> Vec<u8> {
        let value = self.value.load(Ordering::Relaxed);
        if value.is_null() {
            return Vec::new();
        }
        // SAFETY: the setting owns the string. Only the server's thread, on which this runs, replaces it.
        unsafe { string_bytes(value) }.to_vec()
    }

    fn set(&self, value: &[u8]) {
        let old = self.value.swap(Text::new(value).give(), Ordering::Relaxed);
        if !old.is_null() {
            // SAFETY: the setting owned it, and nobody finds it any more.
            drop(unsafe { Text::own(old) });
        }
    }

    /// Registers the setting with the server, which gives it its value when all are registered.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn register(&'static self, context: &Context, default: &[u8]) -> Result<(), String> {
        let default = CString::new(default).map_err(|_| format!("'{}' has a NUL in it", self.plain_name()))?;
        self.set(default.as_bytes());
        // SAFETY: the context is that of the module's entry point, the name and the default are C strings, of which the
        // server keeps copies. The callbacks get the address of a static back.
        let registered = unsafe {
            api!(RedisModule_RegisterStringConfig)(
                context.raw(),
                self.name.as_ptr(),
                default.as_ptr(),
                raw::REDISMODULE_CONFIG_IMMUTABLE,
                Some(get),
                Some(set),
                None,
                ptr::from_ref(self).cast_mut().cast::<c_void>(),
            )
        };
        checked(registered).map_err(|_| format!("the server refused the setting '{}'", self.plain_name()))
    }
}

/// # Safety
/// `setting` is what `register` gave the server.
unsafe fn setting<'a>(setting: *mut c_void) -> &'a PathSetting {
    // SAFETY: the caller's promise: the address of a static.
    unsafe { &*setting.cast::<PathSetting>() }
}

/// The server copies the string and leaves it to the setting.
unsafe extern "C" fn get(_: *const c_char, pointer: *mut c_void) -> *mut raw::RedisModuleString {
    // SAFETY: the server passes what it was given.
    unsafe { setting(pointer) }.value.load(Ordering::Relaxed)
}

unsafe extern "C" fn set(
    _: *const c_char,
    value: *mut raw::RedisModuleString,
    pointer: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    let set = guard::callback(ptr::null_mut(), || {
        // SAFETY: the server passes what it was given, and a string that lives during the call.
        unsafe { setting(pointer).set(string_bytes(value)) };
    });
    (if set.is_some() { raw::REDISMODULE_OK } else { raw::REDISMODULE_ERR }) as c_int
}
