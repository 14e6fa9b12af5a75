//! Libraries in snapshots.
//!
//! A data type of the module, which no key ever has, brings a field of its own to the RDB file: the sources of the
//! libraries, before the keys. The same field is what a replica gets in a full synchronisation, and it is in the
//! preamble of a rewritten append-only file.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw;

use super::api::{Context, State, api, log};
use super::module::{self, loading};
use super::{guard, rewrite};
use crate::error::Error;

/// The name of the data type: nine characters, as the API wants it.
const TYPE_NAME: &std::ffi::CStr = c"shadow-fn";

/// The layout of the field: the number of libraries, then the source of each.
const ENCODING_VERSION: c_int = 1;

/// From this version of the type's methods on a field may be left out when there is nothing to save (Redis 7.2).
const OMITTABLE: c_int = 5;

/// Registers the data type.
///
/// # Errors
/// A sentence for the log.
pub fn register(context: &Context) -> Result<(), String> {
    // SAFETY: takes nothing.
    let version = unsafe { api!(RedisModule_GetTypeMethodVersion)() }.min(OMITTABLE);
    let omittable = version >= OMITTABLE;
    // SAFETY: all-zero bytes are valid methods: none of them is there.
    let mut methods: raw::RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = version as u64;
    methods.aux_load = Some(load);
    methods.aux_save_triggers = raw::REDISMODULE_AUX_BEFORE_RDB as c_int;
    if omittable {
        methods.aux_save2 = Some(save_unless_empty);
    } else {
        methods.aux_save = Some(save);
    }
    // SAFETY: the context is that of the module's entry point; the server copies the methods.
    let created = unsafe {
        api!(RedisModule_CreateDataType)(context.raw(), TYPE_NAME.as_ptr(), ENCODING_VERSION, &raw mut methods)
    };
    if created.is_null() { Err("the server refused the data type shadow-fn".to_owned()) } else { Ok(()) }
}

unsafe extern "C" fn save(io: *mut raw::RedisModuleIO, _when: c_int) {
    write_or_refuse(io, false);
}

unsafe extern "C" fn save_unless_empty(io: *mut raw::RedisModuleIO, _when: c_int) {
    write_or_refuse(io, true);
}

/// Writes the field. A file that cannot hold the libraries must not take the place of one that does: the process that
/// writes it fails, as one that rewrites an append-only file does. Only where that is the server itself (SAVE) there is no
/// way to fail, and the log has to do.
fn write_or_refuse(io: *mut raw::RedisModuleIO, omit_empty: bool) {
    let written = guard::callback(std::ptr::null_mut(), || write(io, omit_empty));
    let reason = match written {
        Some(Ok(())) => return,
        Some(Err(error)) => error,
        None => Error::new("an internal error of the module"),
    };
    guard::callback(std::ptr::null_mut(), || {
        // SAFETY: `io` is alive during the callback, and its context as long.
        let context = unsafe { Context::new(context_of(io)) };
        context.log(c"warning", &[b"libraries are missing from the file: ", reason.text()].concat());
        if context.state().contains(State::IS_CHILD) {
            rewrite::fail();
        }
    });
}

/// Whether the next field is not written but panicked at, for the tests.
static PANICS: AtomicBool = AtomicBool::new(false);

/// Has the process that writes the next field panic.
pub fn panic_at_next_save() {
    PANICS.store(true, Ordering::Relaxed);
}

/// Writes the field. Runs in the process that writes the file, often a fork: no lock of the worker is touched.
fn write(io: *mut raw::RedisModuleIO, omit_empty: bool) -> Result<(), Error> {
    rewrite::note_snapshot();
    assert!(!PANICS.swap(false, Ordering::Relaxed), "a panic of the process that saves was asked for");
    let module = module::read()?;
    let registry = module.generation().registry();
    if omit_empty && registry.is_empty() {
        return Ok(());
    }
    // SAFETY: `io` is alive during the callback; the server copies the bytes.
    unsafe {
        api!(RedisModule_SaveUnsigned)(io, registry.library_count() as u64);
        for library in registry.libraries() {
            api!(RedisModule_SaveStringBuffer)(io, library.code.as_ptr().cast::<c_char>(), library.code.len());
        }
    }
    Ok(())
}

unsafe extern "C" fn load(io: *mut raw::RedisModuleIO, encoding: c_int, _when: c_int) -> c_int {
    let result = guard::callback(std::ptr::null_mut(), || read(io, encoding));
    let status = match result {
        Some(Ok(())) => raw::REDISMODULE_OK,
        Some(Err(reason)) => {
            log(context_of(io), c"warning", reason.text());
            raw::REDISMODULE_ERR
        }
        None => raw::REDISMODULE_ERR,
    };
    status as c_int
}

/// The context that belongs to `io`; it lives as long.
fn context_of(io: *mut raw::RedisModuleIO) -> *mut raw::RedisModuleCtx {
    // SAFETY: `io` is alive during the callback.
    unsafe { api!(RedisModule_GetContextFromIO)(io) }
}

/// Reads the field and loads the libraries.
fn read(io: *mut raw::RedisModuleIO, encoding: c_int) -> Result<(), Error> {
    if encoding > ENCODING_VERSION {
        return Err(Error::new(format!(
            "the file holds libraries in format {encoding}, and this version of the module reads formats up to \
             {ENCODING_VERSION}: load a newer version of the module"
        )));
    }
    let sources = read_sources(io)?;
    // SAFETY: `io` is alive during the callback, and its context as long.
    let context = unsafe { Context::new(context_of(io)) };
    loading::load(&context, &sources)
}

fn read_sources(io: *mut raw::RedisModuleIO) -> Result<Vec<Vec<u8>>, Error> {
    const CUT: &str = "the libraries in the file are cut short";
    // SAFETY: `io` is alive during the callback. A buffer that is read is ours to free.
    unsafe {
        let count = api!(RedisModule_LoadUnsigned)(io);
        let mut sources = Vec::new();
        for _ in 0..count {
            let mut length = 0;
            let buffer = api!(RedisModule_LoadStringBuffer)(io, &raw mut length);
            if buffer.is_null() || api!(RedisModule_IsIOError)(io) != 0 {
                return Err(CUT.into());
            }
            sources.push(std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec());
            api!(RedisModule_Free)(buffer.cast::<c_void>());
        }
        if api!(RedisModule_IsIOError)(io) != 0 { Err(CUT.into()) } else { Ok(sources) }
    }
}
