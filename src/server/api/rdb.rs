//! A field of the module in RDB files.
//!
//! It belongs to a data type that no key ever has, and stands before the keys.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;

use redis_module::raw;

use super::{Context, Refused, api, checked, guarded};

/// From this version of the type's methods on a field can be left out when there is nothing to save (Redis 7.2).
const OMITTABLE: c_int = 5;

/// A field of RDB files.
pub trait Field {
    /// The name of the data type: nine characters.
    const TYPE_NAME: &'static CStr;

    /// The version of the layout that `save` writes.
    const VERSION: c_int;

    /// Writes the field, in the process that writes the file, which is often a fork. If `omittable`, writing nothing
    /// leaves the field out. There is no way to fail.
    fn save(file: &Writer, omittable: bool);

    /// Reads a field of that version.
    ///
    /// # Errors
    /// When the file must not be loaded.
    fn load(file: &Reader, version: c_int) -> Result<(), Refused>;
}

/// Registers the field, while the module is loaded.
///
/// # Errors
/// When the server refuses the data type.
pub fn register<F: Field>(context: &Context) -> Result<(), Refused> {
    // SAFETY: takes nothing.
    let version = unsafe { api!(RedisModule_GetTypeMethodVersion)() }.min(OMITTABLE);
    // SAFETY: all-zero bytes are valid methods: none of them is there.
    let mut methods: raw::RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = version as u64;
    methods.aux_load = Some(load::<F>);
    methods.aux_save_triggers = raw::REDISMODULE_AUX_BEFORE_RDB as c_int;
    if version >= OMITTABLE {
        methods.aux_save2 = Some(save_unless_empty::<F>);
    } else {
        methods.aux_save = Some(save::<F>);
    }
    // SAFETY: Living context, C strings; the server copies the methods.
    let created =
        unsafe { api!(RedisModule_CreateDataType)(context.raw(), F::TYPE_NAME.as_ptr(), F::VERSION, &raw mut methods) };
    if created.is_null() { Err(Refused) } else { Ok(()) }
}

unsafe extern "C" fn save<F: Field>(io: *mut raw::RedisModuleIO, _when: c_int) {
    guarded(|| F::save(&Writer { io, lifetime: PhantomData }, false));
}

unsafe extern "C" fn save_unless_empty<F: Field>(io: *mut raw::RedisModuleIO, _when: c_int) {
    guarded(|| F::save(&Writer { io, lifetime: PhantomData }, true));
}

unsafe extern "C" fn load<F: Field>(io: *mut raw::RedisModuleIO, version: c_int, _when: c_int) -> c_int {
    let loaded = guarded(|| F::load(&Reader { io, lifetime: PhantomData }, version));
    (if loaded == Some(Ok(())) { raw::REDISMODULE_OK } else { raw::REDISMODULE_ERR }) as c_int
}

/// A file that is being written. It lives as long as the callback.
pub struct Writer<'a> {
    io: *mut raw::RedisModuleIO,
    lifetime: PhantomData<&'a ()>,
}

impl Writer<'_> {
    /// The context of the callback.
    pub fn context(&self) -> Context<'_> {
        // SAFETY: the file is alive, and its context as long.
        unsafe { context_of(self.io) }
    }

    /// Writes a number.
    pub fn unsigned(&self, number: u64) {
        // SAFETY: the file is alive.
        unsafe { api!(RedisModule_SaveUnsigned)(self.io, number) };
    }

    /// Writes a string.
    pub fn bytes(&self, bytes: &[u8]) {
        // SAFETY: the file is alive; the server copies the bytes.
        unsafe { api!(RedisModule_SaveStringBuffer)(self.io, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
    }
}

/// A file that is being read. It lives as long as the callback.
pub struct Reader<'a> {
    io: *mut raw::RedisModuleIO,
    lifetime: PhantomData<&'a ()>,
}

impl Reader<'_> {
    /// The context of the callback.
    pub fn context(&self) -> Context<'_> {
        // SAFETY: the file is alive, and its context as long.
        unsafe { context_of(self.io) }
    }

    /// Reads a number.
    ///
    /// # Errors
    /// When the file is cut short.
    pub fn unsigned(&self) -> Result<u64, Refused> {
        // SAFETY: the file is alive.
        let number = unsafe { api!(RedisModule_LoadUnsigned)(self.io) };
        self.check().map(|()| number)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// When the file is cut short.
    pub fn bytes(&self) -> Result<Vec<u8>, Refused> {
        let mut length = 0;
        // SAFETY: the file is alive. The buffer has this length, and is ours to free.
        unsafe {
            let buffer = api!(RedisModule_LoadStringBuffer)(self.io, &raw mut length);
            if buffer.is_null() {
                return Err(Refused);
            }
            let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec();
            api!(RedisModule_Free)(buffer.cast::<c_void>());
            self.check().map(|()| bytes)
        }
    }

    fn check(&self) -> Result<(), Refused> {
        // SAFETY: the file is alive.
        checked(unsafe { api!(RedisModule_IsIOError)(self.io) })
    }
}

/// # Safety
/// `io` is alive for `'a`.
unsafe fn context_of<'a>(io: *mut raw::RedisModuleIO) -> Context<'a> {
    // SAFETY: the caller's promise.
    unsafe { Context::new(api!(RedisModule_GetContextFromIO)(io)) }
}
