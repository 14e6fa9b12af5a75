//! `RM_Call` with the words of a command that is known at run time only.
//!
//! The call takes its words as C arguments, or all of them as an array of strings. With the array, the server holds
//! each word twice while the command runs, once for the command and once for us, and stores a word that is held twice
//! as it is: `SET key 1` would not store an integer. So the words are passed one by one, as addresses with lengths.
//! C lets a call pass more arguments than its format names; therefore a few sizes do.

use std::ffi::{CStr, c_int};
use std::ptr;

use redis_module::raw;

use super::api::{CallReply, Context, Text, Word, api};

/// The most words that are passed one by one. A command with more passes an array.
const ONE_BY_ONE: usize = 32;

/// Calls with the words at the given positions, after a string in the brackets.
macro_rules! call {
    ($context:expr, $name:expr, $format:expr, [$($first:expr)?] $words:expr, $($at:literal)*) => {
        api!(RedisModule_Call)($context, $name, $format, $($first,)? $(address($words, $at), length($words, $at)),*)
    };
}

fn address(words: &[&[u8]], at: usize) -> *const u8 {
    words.get(at).map_or(ptr::null(), |word| word.as_ptr())
}

fn length(words: &[&[u8]], at: usize) -> usize {
    words.get(at).map_or(0, |word| word.len())
}

/// The flags of a call, the first characters of its format; the first is the lowest byte.
#[derive(Clone, Copy)]
pub struct Flags {
    letters: u64,
    count: u32,
}

/// The most flags there are at once.
const FLAGS: usize = 8;
/// The most words whose format is made in one piece.
const FEW: usize = 4;
/// Room for flags, the letters of a few words, and zeros: the format ends at the first.
const SHORT_FORMAT: usize = 16;
/// The same for all words that are passed one by one.
const FORMAT: usize = FLAGS + ONE_BY_ONE + 1;

impl Flags {
    pub const fn new(flags: &[u8]) -> Self {
        let mut these = Self { letters: 0, count: 0 };
        let mut at = 0;
        while at < flags.len() {
            these.push(flags[at]);
            at += 1;
        }
        these
    }

    pub const fn push(&mut self, flag: u8) {
        self.letters |= (flag as u64) << (8 * self.count);
        self.count += 1;
    }

    /// The format of a call with few words: `letters` names them, the first in its lowest byte.
    const fn before(self, letters: u32) -> [u8; SHORT_FORMAT] {
        (self.letters as u128 | (letters as u128) << (8 * self.count)).to_le_bytes()
    }

    /// The format of a call with so many words.
    fn with_words(self, words: usize) -> [u8; FORMAT] {
        let mut format = [0; FORMAT];
        let count = self.count as usize;
        format[..FLAGS].copy_from_slice(&self.letters.to_le_bytes());
        if words > ONE_BY_ONE {
            format[count] = b'v';
        } else {
            format[count..count + words].fill(b'b');
        }
        format
    }
}

/// The letters of so many words, at most [`FEW`].
const fn few(words: usize) -> u32 {
    u32::from_le_bytes([b'b'; FEW]).unbounded_shr(8 * (FEW - words) as u32)
}

/// The letters of so many words, 1 to [`FEW`], of which the first is a string of the server.
const fn few_after_string(words: usize) -> u32 {
    few(words) & !0xff | b's' as u32
}

/// Runs the command `name` with `words` under `flags` of `RM_Call`. The reply, and the errno that the call left: what it
/// refuses by itself shows there. `first`: a string of the server that reads as the first word and is passed as it is; it
/// must be a word that no command stores.
pub fn call(
    context: &Context,
    name: &CStr,
    words: &[&[u8]],
    first: Option<Word>,
    flags: Flags,
) -> (Option<CallReply>, c_int) {
    let (context, name) = (context.raw(), name.as_ptr());
    // SAFETY: the thread's own errno. Name and format end in a NUL. The format asks for an address and a length for each
    // word, and at least so many are passed; before them for a string, which lives as long as the command that it is a
    // word of; or for an array of strings and its length, which live until the call returns.
    unsafe {
        *libc::__errno_location() = 0;
        let reply = match (words.len(), first) {
            (count @ 1..=FEW, Some(first)) => {
                let format = flags.before(few_after_string(count));
                call!(context, name, format.as_ptr().cast(), [first.raw()] words, 1 2 3)
            }
            (count @ 0..=FEW, _) => {
                let format = flags.before(few(count));
                call!(context, name, format.as_ptr().cast(), [] words, 0 1 2 3)
            }
            (count, _) => {
                let format = flags.with_words(count);
                let format = format.as_ptr().cast();
                match count {
                    0..=8 => call!(context, name, format, [] words, 0 1 2 3 4 5 6 7),
                    9..=16 => call!(context, name, format, [] words, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
                    17..=ONE_BY_ONE => call!(
                        context, name, format, [] words,
                        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
                    ),
                    _ => {
                        let texts: Vec<Text> = words.iter().map(|word| Text::new(word)).collect();
                        let mut strings: Vec<*mut raw::RedisModuleString> = texts.iter().map(Text::raw).collect();
                        api!(RedisModule_Call)(context, name, format, strings.as_mut_ptr(), strings.len())
                    }
                }
            }
        };
        let errno = *libc::__errno_location();
        (CallReply::own(reply), errno)
    }
}
