//! The words of a command.

use std::ffi::c_int;
use std::marker::PhantomData;
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

    /// The words with another name.
    pub fn with_name<'b>(&self, name: &'b Text) -> Words<'b>
    where
        'a: 'b,
    {
        Words::of(std::iter::once(name.raw()).chain(self.0.iter().skip(1).copied()))
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

/// The words of a command that is only asked about.
pub struct Words<'a> {
    strings: Vec<*mut raw::RedisModuleString>,
    lifetime: PhantomData<&'a Text>,
}

impl<'a> Words<'a> {
    pub fn new(texts: &'a [Text]) -> Self {
        Self::of(texts.iter().map(Text::raw))
    }

    fn of(strings: impl Iterator<Item = *mut raw::RedisModuleString>) -> Self {
        Self { strings: strings.collect(), lifetime: PhantomData }
    }

    pub const fn len(&self) -> usize {
        self.strings.len()
    }

    /// The word at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: the strings live for `'a`, which this value does not outlive.
        self.strings.get(index).map(|&string| unsafe { string_bytes(string) })
    }

    /// Adds `word` so many times.
    pub fn extend(&mut self, word: &'a Text, times: usize) {
        self.strings.extend(std::iter::repeat_n(word.raw(), times));
    }

    /// Their array, as the API takes it.
    pub const fn as_mut_ptr(&mut self) -> *mut *mut raw::RedisModuleString {
        self.strings.as_mut_ptr()
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
