//! `RM_Call`: every command that the module runs.
//!
//! The call takes its words as C arguments, or all of them as one array of strings. Strings of an array have two owners
//! while the command runs, and the server stores a string with two owners as it is: `SET key 1` would store text
//! instead of an integer. So the words are passed one by one, each as an address and a length. C allows a call to pass
//! more arguments than its format names, so a few fixed sizes cover every number of words.

use std::ffi::{CStr, c_int};
use std::ptr;

use redis_module::raw;

use super::{CallReply, Context, ServerString, Word, api};

/// The most words that are passed one by one. A command with more passes an array.
const ONE_BY_ONE: usize = 32;

/// Calls with the words at the given positions, after the string in the brackets.
macro_rules! call_with {
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

/// The flags of a call: the first letters of its format. The first letter is the lowest byte.
#[derive(Clone, Copy)]
pub struct Flags {
    letters: u64,
    count: u32,
    /// The same as `VM_CallArgv` takes them.
    bits: c_int,
}

/// The flag of `VM_CallArgv` that a letter stands for.
const fn bit(letter: u8) -> c_int {
    match letter {
        b'!' => 1 << 0,
        b'A' => 1 << 1,
        b'R' => 1 << 2,
        b'3' => 1 << 3,
        b'C' => 1 << 5,
        b'S' => 1 << 6,
        b'W' => 1 << 7,
        b'E' => 1 << 8,
        b'M' => 1 << 9,
        b'D' => 1 << 10,
        _ => panic!("a letter that has no flag"),
    }
}

/// The most flags of one call.
const FLAGS: usize = 8;
/// The most words whose format is made as one integer.
const FEW: usize = 4;
/// Room for the flags, the letters of a few words, and at least one NUL.
const SHORT_FORMAT: usize = 16;
/// The same for the most words that are passed one by one.
const FORMAT: usize = FLAGS + ONE_BY_ONE + 1;

impl Flags {
    /// The flags that these letters stand for, at most eight.
    pub const fn new(flags: &[u8]) -> Self {
        let mut these = Self { letters: 0, count: 0, bits: 0 };
        let mut at = 0;
        while at < flags.len() {
            these.push(flags[at]);
            at += 1;
        }
        these
    }

    /// Adds a flag.
    pub const fn push(&mut self, flag: u8) {
        self.letters |= (flag as u64) << (8 * self.count);
        self.count += 1;
        self.bits |= bit(flag);
    }

    /// The flags as `VM_CallArgv` takes them.
    pub(super) const fn bits(self) -> c_int {
        self.bits
    }

    /// The format of a call with few words. `letters` stands for them, the first in the lowest byte.
    const fn before(self, letters: u32) -> [u8; SHORT_FORMAT] {
        (self.letters as u128 | (letters as u128) << (8 * self.count)).to_le_bytes()
    }

    /// The format of a call with this number of words.
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

/// The letters of this number of words, at most [`FEW`].
const fn few(words: usize) -> u32 {
    u32::from_le_bytes([b'b'; FEW]).unbounded_shr(8 * (FEW - words) as u32)
}

/// The letters of this number of words, 1 to [`FEW`], the first of which is a string of the server.
const fn few_after_string(words: usize) -> u32 {
    few(words) & !0xff | b's' as u32
}

/// Runs the command `name` with `words` after it, under `flags`. Returns the reply and the errno that the call left,
/// which tells why the server itself refused the command. The reply is None only without the flag E.
///
/// `first` is a string of the server with the bytes of the first word. It is passed as it is, so the command must be
/// one that does not store its first word.
pub fn call(
    context: &Context,
    name: &CStr,
    words: &[&[u8]],
    first: Option<Word>,
    flags: Flags,
) -> (Option<CallReply>, c_int) {
    let (context, name) = (context.raw(), name.as_ptr());
    // SAFETY: errno is the thread's own. Name and format end in a NUL. For each word the format asks for an address and
    // a length, and at least as many are passed; for `first` it asks for a string, which lives as long as the command
    // that it is a word of; for an array it asks for strings and their number, which live until the call returns. The
    // reply is ours.
    unsafe {
        *libc::__errno_location() = 0;
        let reply = match (words.len(), first) {
            (count @ 1..=FEW, Some(first)) => {
                let format = flags.before(few_after_string(count));
                call_with!(context, name, format.as_ptr().cast(), [first.raw()] words, 1 2 3)
            }
            (count @ 0..=FEW, _) => {
                let format = flags.before(few(count));
                call_with!(context, name, format.as_ptr().cast(), [] words, 0 1 2 3)
            }
            (count, _) => {
                let format = flags.with_words(count);
                let format = format.as_ptr().cast();
                match count {
                    0..=8 => call_with!(context, name, format, [] words, 0 1 2 3 4 5 6 7),
                    9..=16 => call_with!(context, name, format, [] words, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
                    17..=ONE_BY_ONE => call_with!(
                        context, name, format, [] words,
                        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
                    ),
                    _ => {
                        let texts: Vec<ServerString> = words.iter().map(|word| ServerString::new(word)).collect();
                        let mut strings: Vec<*mut raw::RedisModuleString> =
                            texts.iter().map(ServerString::raw).collect();
                        api!(RedisModule_Call)(context, name, format, strings.as_mut_ptr(), strings.len())
                    }
                }
            }
        };
        let errno = *libc::__errno_location();
        (CallReply::own(reply), errno)
    }
}
