//! The words of a command.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::slice;

use redis_module::raw;

use super::{ServerString, string_bytes};

/// The words of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(&'a [*mut raw::RedisModuleString]);

impl<'a> Arguments<'a> {
    /// # Safety
    /// `argv` and `argc` are what the server gave the callback that is running.
    pub(super) unsafe fn new(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Self {
        let count = usize::try_from(argc).unwrap_or(0);
        if count == 0 {
            return Self(&[]);
        }
        // SAFETY: the server keeps the array and its strings alive while the callback runs.
        Self(unsafe { slice::from_raw_parts(argv, count) })
    }

    /// The number of words.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the command's name is the string `name` itself, and not another one with the same bytes.
    pub fn is_named_by(&self, name: &ServerString) -> bool {
        self.0.first() == Some(&name.raw())
    }

    /// The words with another name.
    pub fn with_name<'b>(&self, name: &'b ServerString) -> Words<'b>
    where
        'a: 'b,
    {
        let words = std::iter::once(name.raw()).chain(self.0.iter().skip(1).copied());
        // SAFETY: the name lives for `'b`, and the words for `'a`, which is as long.
        unsafe { Words::of(words) }
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

/// The words of a command that the server is asked about and does not run.
pub struct Words<'a> {
    strings: Vec<*mut raw::RedisModuleString>,
    /// The word that pads them.
    empty: Option<ServerString>,
    lifetime: PhantomData<&'a ServerString>,
}

impl<'a> Words<'a> {
    /// These words.
    pub fn new(texts: impl IntoIterator<Item = &'a ServerString>) -> Self {
        // SAFETY: the strings are borrowed for `'a`.
        unsafe { Self::of(texts.into_iter().map(ServerString::raw)) }
    }

    /// # Safety
    /// The strings live for `'a`.
    unsafe fn of(strings: impl Iterator<Item = *mut raw::RedisModuleString>) -> Self {
        Self { strings: strings.collect(), empty: None, lifetime: PhantomData }
    }

    /// The number of words.
    pub const fn len(&self) -> usize {
        self.strings.len()
    }

    /// The word at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: the strings live for `'a`, which this value does not outlive.
        self.strings.get(index).map(|&string| unsafe { string_bytes(string) })
    }

    /// Adds this number of empty words.
    pub fn pad(&mut self, count: usize) {
        let empty = self.empty.get_or_insert_with(|| ServerString::new(b""));
        self.strings.extend(std::iter::repeat_n(empty.raw(), count));
    }

    /// Their array, as the API takes it.
    pub(super) const fn as_mut_ptr(&mut self) -> *mut *mut raw::RedisModuleString {
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
    pub(super) const fn raw(self) -> *mut raw::RedisModuleString {
        self.raw
    }

    /// Its bytes.
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}
