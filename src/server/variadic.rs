//! `RM_Call` with the words of a command that is known at run time only.
//!
//! The call takes its words as C arguments, or all of them as an array of strings. With the array, the server holds
//! each word twice while the command runs, once for the command and once for us, and stores a word that is held twice
//! as it is: `SET key 1` would not store an integer. So the words are passed one by one, as addresses with lengths.
//! C lets a call pass more arguments than its format names; therefore a few sizes do.

use std::ffi::c_int;
use std::ptr;

use redis_module::raw;
use smallvec::SmallVec;

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

/// Runs the command `name` with `words` under `flags` of `RM_Call`. The reply, and the errno that the call left: what it
/// refuses by itself shows there. `name` has no NUL.
pub fn call(context: &Context, name: &[u8], words: &[&[u8]], flags: &[u8]) -> (Option<CallReply>, c_int) {
    let mut command: SmallVec<[u8; 32]> = SmallVec::from_slice(name);
    command.push(0);
    let mut format: SmallVec<[u8; 64]> = SmallVec::from_slice(flags);
    if words.len() > ONE_BY_ONE {
        format.push(b'v');
    } else {
        format.extend_from_slice(&[b'b'; ONE_BY_ONE][..words.len()]);
    }
    format.push(0);
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
