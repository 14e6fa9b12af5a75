//! The words of a command.

use std::ffi::c_int;
use std::{ptr, slice};

use redis_module::raw;

use super::{Text, api, string_bytes};

/// The words of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [*mut raw::RedisModuleString]);

impl<'a> Arguments<'a> {
    /// # Safety
    /// `argv` and `argc` are what the server gave the callback that is running.
    pub unsafe fn new(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Self {
        let count = usize::try_from(argc).unwrap_or(0);
        if count == 0 {
            return Self(&[]);
        }
        // SAFETY: the server keeps the array and its strings alive while the callback runs.
        Self(unsafe { slice::from_raw_parts(argv, count) })
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the command's name is the very string `name`, not only one that reads the same.
    pub fn is_named_by(&self, name: &Text) -> bool {
        self.0.first() == Some(&name.raw())
    }

    /// The words as strings of the server, with another name. They live as long as `name` and the command.
    pub fn with_name(&self, name: &Text) -> Vec<*mut raw::RedisModuleString> {
        std::iter::once(name.raw()).chain(self.0.iter().skip(1).copied()).collect()
    }

    /// The word at `index`; empty beyond the end.
    pub fn get(&self, index: usize) -> &'a [u8] {
        // SAFETY: the strings live while the callback runs, which `'a` does not outlive.
        self.0.get(index).map_or(&[], |&string| unsafe { string_bytes(string) })
    }

    /// The word at `index` and the string that holds it.
    pub fn word(&self, index: usize) -> Option<Word<'a>> {
        self.0.get(index).map(|&raw| Word { raw, bytes: self.get(index) })
    }

    /// The words from `start` up to `end`.
    pub fn range(&self, start: usize, end: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let words = self.0.get(start..end).unwrap_or_default();
        // SAFETY: as in `get`.
        words.iter().map(|&string| unsafe { string_bytes(string) })
    }
}

/// A word of the command that is running, as the server holds it.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    raw: *mut raw::RedisModuleString,
    bytes: &'a [u8],
}

impl<'a> Word<'a> {
    /// The string itself. It lives as long as the command, which `'a` does not outlive.
    pub const fn raw(self) -> *mut raw::RedisModuleString {
        self.raw
    }

    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// A command that passes the module's filter, before the server looks it up.
#[derive(Clone, Copy)]
pub struct FilteredCommand(*mut raw::RedisModuleCommandFilterCtx);

impl FilteredCommand {
    /// # Safety
    /// `context` is that of the filter callback that is running, which the result does not outlive.
    pub const unsafe fn new(context: *mut raw::RedisModuleCommandFilterCtx) -> Self {
        Self(context)
    }

    /// The number of words, the name included.
    pub fn len(&self) -> usize {
        // SAFETY: the context is alive during the callback.
        usize::try_from(unsafe { api!(RedisModule_CommandFilterArgsCount)(self.0) }).unwrap_or(0)
    }

    /// The word at `position`; empty beyond the end. It lives until it is replaced.
    pub fn word(&self, position: usize) -> &[u8] {
        // SAFETY: the context is alive during the callback; beyond the end the server answers null.
        unsafe {
            let word = api!(RedisModule_CommandFilterArgGet)(self.0, position as c_int);
            if word.is_null() { &[] } else { string_bytes(word) }
        }
    }

    /// Puts `word` in the place of the one at `position`.
    pub fn replace(&self, position: usize, word: &Text) {
        // SAFETY: the context is alive; the server takes over the reference that is added here.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgReplace)(self.0, position as c_int, word.raw());
        }
    }

    /// Puts `word` before the one at `position`.
    pub fn insert(&self, position: usize, word: &Text) {
        // SAFETY: as in `replace`.
        unsafe {
            api!(RedisModule_RetainString)(ptr::null_mut(), word.raw());
            api!(RedisModule_CommandFilterArgInsert)(self.0, position as c_int, word.raw());
        }
    }
}
