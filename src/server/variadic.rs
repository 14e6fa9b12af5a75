//! `RM_Call` with the words of a command that is known at run time only.
//!
//! The call takes its words as C arguments, or all of them as an array of strings. With the array, the server holds
//! each word twice while the command runs, once for the command and once for us, and stores a word that is held twice
//! as it is: `SET key 1` would not store an integer. So the words are passed one by one, as addresses with lengths.
//! C lets a call pass more arguments than its format names; therefore a few sizes do.

use std::ffi::c_int;
use std::ptr;

use redis_module::raw;

use super::api::{CallReply, Context, Text, api};

/// The most words that are passed one by one. A command with more passes an array.
const ONE_BY_ONE: usize = 32;

/// Calls with the words at the given positions.
macro_rules! call {
    ($context:expr, $name:expr, $format:expr, $words:expr, $($at:literal)*) => {
        api!(RedisModule_Call)($context, $name, $format, $(address($words, $at), length($words, $at)),*)
    };
}

fn address(words: &[&[u8]], at: usize) -> *const u8 {
    words.get(at).map_or(ptr::null(), |word| word.as_ptr())
}

fn length(words: &[&[u8]], at: usize) -> usize {
    words.get(at).map_or(0, |word| word.len())
}

/// The flags of a call, the first characters of its format.
#[derive(Clone, Copy)]
pub struct Flags {
    /// Zeros follow the flags.
    format: [u8; FORMAT],
    count: usize,
}

/// Room for the format: all flags there are, a letter for each word, and the NUL.
const FORMAT: usize = 16 + ONE_BY_ONE;

impl Flags {
    pub const fn new(flags: &[u8]) -> Self {
        let mut these = Self { format: [0; FORMAT], count: 0 };
        while these.count < flags.len() {
            these.push(flags[these.count]);
        }
        these
    }

    pub const fn push(&mut self, flag: u8) {
        self.format[self.count] = flag;
        self.count += 1;
    }

    /// The format of a call with so many words.
    fn with_words(mut self, words: usize) -> [u8; FORMAT] {
        if words > ONE_BY_ONE {
            self.push(b'v');
        } else {
            self.format[self.count..self.count + words].fill(b'b');
        }
        self.format
    }
}

/// A command's name as a C string, without an allocation for those that the server has.
struct Name {
    short: [u8; NAME],
    long: Vec<u8>,
}

/// Room for the names of the server's commands, and the NUL.
const NAME: usize = 32;

impl Name {
    fn new(name: &[u8]) -> Self {
        let mut short = [0; NAME];
        if name.len() < NAME {
            short[..name.len()].copy_from_slice(name);
            Self { short, long: Vec::new() }
        } else {
            Self { short, long: [name, b"\0"].concat() }
        }
    }

    fn as_ptr(&self) -> *const u8 {
        if self.long.is_empty() { self.short.as_ptr() } else { self.long.as_ptr() }
    }
}

/// Runs the command `name` with `words` under `flags` of `RM_Call`. The reply, and the errno that the call left: what it
/// refuses by itself shows there. `name` has no NUL.
pub fn call(context: &Context, name: &[u8], words: &[&[u8]], flags: Flags) -> (Option<CallReply>, c_int) {
    let command = Name::new(name);
    let format = flags.with_words(words.len());
    let (context, command, format) = (context.raw(), command.as_ptr().cast(), format.as_ptr().cast());
    // SAFETY: the thread's own errno. Name and format end in a NUL. The format asks for an address and a length for each
    // word, and at least so many are passed; or for an array of strings and its length, which live until the call
    // returns.
    unsafe {
        *libc::__errno_location() = 0;
        let reply = match words.len() {
            0..=4 => call!(context, command, format, words, 0 1 2 3),
            5..=8 => call!(context, command, format, words, 0 1 2 3 4 5 6 7),
            9..=16 => call!(context, command, format, words, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
            17..=ONE_BY_ONE => call!(
                context, command, format, words,
                0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            ),
            _ => {
                let texts: Vec<Text> = words.iter().map(|word| Text::new(word)).collect();
                let mut strings: Vec<*mut raw::RedisModuleString> = texts.iter().map(Text::raw).collect();
                api!(RedisModule_Call)(context, command, format, strings.as_mut_ptr(), strings.len())
            }
        };
        let errno = *libc::__errno_location();
        (CallReply::own(reply), errno)
    }
}
