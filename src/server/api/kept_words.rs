//! Strings of the server for the words of inner commands, kept for the next command with the same word.
//!
//! To make a string and to free it is a good part of what a call costs, and the names of commands and fields and small
//! numbers come again and again. A command that is called by `VM_CallArgv` borrows its words: what the server needs for
//! longer it copies, or shares, and it changes nothing that it shares.

use std::cell::Cell;
use std::ptr;

use redis_module::raw;

use super::{ServerString, Word};

/// The longest word that is kept.
const LONGEST: usize = 24;

/// How many words are kept at most.
const PLACES: usize = 64;

/// The words that are kept.
pub struct KeptWords([Place; PLACES]);

/// A place for a word.
struct Place {
    /// None while a command has it. The command may run others meanwhile, so it keeps its place.
    string: Cell<Option<ServerString>>,
    /// The bytes of the word, and how many these are; None where there never was a word.
    bytes: Cell<[u8; LONGEST]>,
    length: Cell<Option<usize>>,
}

impl Place {
    const fn new() -> Self {
        Self { string: Cell::new(None), bytes: Cell::new([0; LONGEST]), length: Cell::new(None) }
    }

    fn has(&self, word: &[u8]) -> bool {
        self.length.get() == Some(word.len()) && self.bytes.get()[..word.len()] == *word
    }
}

/// A word of a command that runs.
#[derive(Clone, Copy)]
pub struct HeldWord {
    string: *mut raw::RedisModuleString,
    owner: Owner,
}

/// To whom the string of a word belongs.
#[derive(Clone, Copy)]
enum Owner {
    /// To the place of this number, which gets it back.
    Place(u8),
    /// To the command alone.
    Command,
    /// To somebody else.
    Other,
}

impl HeldWord {
    /// In place of a word.
    pub const NONE: Self = Self { string: ptr::null_mut(), owner: Owner::Other };

    /// A word of the command around it.
    pub const fn borrowed(word: Word) -> Self {
        Self { string: word.raw(), owner: Owner::Other }
    }

    /// The string.
    pub const fn raw(self) -> *mut raw::RedisModuleString {
        self.string
    }
}

impl Default for KeptWords {
    fn default() -> Self {
        Self([const { Place::new() }; PLACES])
    }
}

impl KeptWords {
    /// A string with these bytes, for a command. It is to be given back, and lives until then.
    #[inline]
    pub fn take(&self, word: &[u8]) -> HeldWord {
        let number = number_of_place(word);
        let place = &self.0[usize::from(number)];
        match place.string.take() {
            Some(string) if place.has(word) => HeldWord { string: string.give(), owner: Owner::Place(number) },
            other => self.make(word, number, other),
        }
    }

    /// Makes the string. It gets the place, unless that is another word's which a command has. `other`: the string that
    /// was there.
    fn make(&self, word: &[u8], number: u8, other: Option<ServerString>) -> HeldWord {
        let string = ServerString::new(word).give();
        let place = &self.0[usize::from(number)];
        let is_lent = other.is_none() && place.length.get().is_some();
        if is_lent || word.len() > LONGEST {
            place.string.set(other);
            return HeldWord { string, owner: Owner::Command };
        }
        let mut bytes = [0; LONGEST];
        bytes[..word.len()].copy_from_slice(word);
        place.bytes.set(bytes);
        place.length.set(Some(word.len()));
        HeldWord { string, owner: Owner::Place(number) }
    }

    /// Takes back what a command had.
    ///
    /// # Safety
    /// The word comes from here, if it is not borrowed, and is not used any more.
    #[inline]
    pub unsafe fn give_back(&self, word: HeldWord) {
        // SAFETY: the string is ours, by the caller's promise.
        let string = || unsafe { ServerString::own(word.string) };
        match word.owner {
            Owner::Place(number) => self.0[usize::from(number)].string.set(string()),
            Owner::Command => drop(string()),
            Owner::Other => {}
        }
    }
}

/// The number of the place for a word.
#[inline]
fn number_of_place(word: &[u8]) -> u8 {
    let [first, last] = [word.first(), word.last()].map(|byte| byte.map_or(0, |&byte| usize::from(byte)));
    ((first * 3 + last * 5 + word.len() * 7) % PLACES) as u8
}
