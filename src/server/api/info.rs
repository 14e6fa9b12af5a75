//! Sections of the module in INFO.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use redis_module::raw;

use super::{Context, Refused, api, checked, guarded};

/// Who writes the sections.
pub trait Report {
    /// Adds the sections. `crashed`: they are for the report of a crash, on the thread that crashed.
    fn report(info: &Info, crashed: bool);
}

/// Registers the sections, while the module is loaded.
///
/// # Errors
/// When the server refuses them.
pub fn register<R: Report>(context: &Context) -> Result<(), Refused> {
    // SAFETY: Living context; the callback is of the API's type.
    checked(unsafe { api!(RedisModule_RegisterInfoFunc)(context.raw(), Some(report::<R>)) })
}

unsafe extern "C" fn report<R: Report>(info: *mut raw::RedisModuleInfoCtx, crashed: c_int) {
    guarded(|| R::report(&Info { raw: info, lifetime: PhantomData }, crashed != 0));
}

/// The reply to INFO, or what another module or the report of a crash gets in its place. It lives as long as the
/// callback.
pub struct Info<'a> {
    raw: *mut raw::RedisModuleInfoCtx,
    lifetime: PhantomData<&'a ()>,
}

impl Info<'_> {
    /// Begins a section.
    ///
    /// # Errors
    /// When the section was not asked for.
    pub fn section(&self, name: &CStr) -> Result<(), Refused> {
        // SAFETY: the reply is alive during the callback; the server copies the name. The same holds below.
        checked(unsafe { api!(RedisModule_InfoAddSection)(self.raw, name.as_ptr()) })
    }

    /// Adds a number.
    pub fn number(&self, name: &CStr, value: u64) {
        // SAFETY: as in `section`.
        unsafe { api!(RedisModule_InfoAddFieldULongLong)(self.raw, name.as_ptr(), value) };
    }

    /// Adds a text.
    pub fn text(&self, name: &CStr, value: &CStr) {
        // SAFETY: as in `section`.
        unsafe { api!(RedisModule_InfoAddFieldCString)(self.raw, name.as_ptr(), value.as_ptr()) };
    }

    /// Begins a field that is made of others.
    pub fn begin(&self, name: &CStr) {
        // SAFETY: as in `section`.
        unsafe { api!(RedisModule_InfoBeginDictField)(self.raw, name.as_ptr()) };
    }

    /// Ends that field.
    pub fn end(&self) {
        // SAFETY: as in `section`.
        unsafe { api!(RedisModule_InfoEndDictField)(self.raw) };
    }
}
