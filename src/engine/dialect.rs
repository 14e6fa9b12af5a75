//! What differs between servers and their versions and shows in scripts.

use super::words::{self, Words};
use crate::registry::declaration::Engines;
use crate::registry::shebang::Quoting;

/// A version of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As the server spells it.
    pub text: String,
    /// major << 16 | minor << 8 | patch.
    pub number: u32,
}

impl Version {
    /// Reads `major.minor.patch`.
    pub fn new(text: &str) -> Self {
        let parts = text.split('.').map(|part| part.parse().unwrap_or(0)).chain([0; 3]).take(3);
        Self { text: text.to_owned(), number: parts.fold(0, |number, part: u32| number << 8 | part & 0xFF) }
    }

    const fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.number >= (major << 16 | minor << 8)
    }
}

/// What differs between servers and their versions and shows in scripts.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The version of Redis that the server is, or says that it is like.
    pub redis: Version,
    /// Valkey's own version. It is like a Redis 7.2 and has some of what came later.
    pub valkey: Option<Version>,
    /// The server's texts.
    pub words: &'static Words,
}

impl Default for Dialect {
    /// That of the oldest server that the module serves.
    fn default() -> Self {
        Self::redis("7.0.15")
    }
}

impl Dialect {
    /// That of a Redis.
    pub fn redis(version: &str) -> Self {
        let redis = Version::new(version);
        let words = if redis.is_at_least(7, 4) {
            &words::REDIS_7_4
        } else if redis.is_at_least(7, 2) {
            &words::REDIS_7_2
        } else {
            &words::REDIS_7_0
        };
        Self { redis, valkey: None, words }
    }

    /// That of the Valkey of version `own`, which says that it is like this Redis.
    pub fn valkey(redis: &str, own: &str) -> Self {
        let own = Version::new(own);
        let words = if own.is_at_least(9, 1) { &words::VALKEY_9_1 } else { &words::VALKEY };
        Self { redis: Version::new(redis), valkey: Some(own), words }
    }

    /// Whether the server is a Valkey.
    pub const fn is_valkey(&self) -> bool {
        self.valkey.is_some()
    }

    /// Whether this is 7.0, which differs in a few texts from all later servers.
    pub const fn is_7_0(&self) -> bool {
        !self.redis.is_at_least(7, 2)
    }

    /// Whether this is Redis 7.4 or later, or a Valkey, which has this of it.
    const fn is_like_7_4(&self) -> bool {
        self.redis.is_at_least(7, 4) || self.is_valkey()
    }

    /// Whether the server looks for every key in the slot of the client whose command is running, if that has one: what
    /// a module's command does with keys of another slot would go to the wrong place.
    pub const fn looks_in_the_slot_of_the_client(&self) -> bool {
        self.is_like_7_4()
    }

    /// Whether the server's functions are run by a module as well: what the module API says of a command reaches
    /// scripts as it is, but for a few texts, and texts end at a NUL.
    pub fn runs_functions_by_module(&self) -> bool {
        self.valkey.as_ref().is_some_and(|own| own.is_at_least(9, 1))
    }

    /// 7.0 prints numbers with 17 digits; later servers as short as reads back, integers first.
    pub const fn short_numbers(&self) -> bool {
        !self.is_7_0()
    }

    /// Whether a refusal of keys in a cluster says what is wrong with them.
    pub fn details_cluster_refusals(&self) -> bool {
        self.is_like_7_4() && !self.runs_functions_by_module()
    }

    /// Whether `cjson` marks the arrays that it decodes, and writes marked tables as arrays.
    pub const fn marks_json_arrays(&self) -> bool {
        self.redis.is_at_least(8, 4)
    }

    /// Whether RESTORE takes payloads without a checksum.
    pub const fn takes_unsealed_payloads(&self) -> bool {
        self.redis.is_at_least(8, 4)
    }

    /// Whether the server, once it has refused a module's command for keys in several slots, takes every later one for
    /// such a command (Valkey from 9.0 on).
    pub fn keeps_refusing_scattered_keys(&self) -> bool {
        self.valkey.as_ref().is_some_and(|own| own.is_at_least(9, 0))
    }

    /// Whether the server looks for a client by its number among the callers without a connection as well, which other
    /// modules are (Valkey from 9.0 on): asked for the address of one, it ends itself.
    pub fn finds_callers_without_connection(&self) -> bool {
        self.valkey.as_ref().is_some_and(|own| own.is_at_least(9, 0))
    }

    /// Whether the server remembers for client-side caching what a client read by the flag of its command alone, rather
    /// than by those of inner commands.
    pub const fn tracks_by_the_outer_command(&self) -> bool {
        self.is_7_0()
    }

    /// Whether scripts see `os.clock`.
    pub const fn has_os_clock(&self) -> bool {
        self.is_like_7_4()
    }

    /// Whether an error that leaves a function is followed by the function's name.
    pub fn names_functions_in_errors(&self) -> bool {
        !self.runs_functions_by_module()
    }

    /// Whether names of functions are checked when the body of their library has ended, rather than when they are
    /// registered.
    pub const fn checks_names_at_the_end(&self) -> bool {
        self.is_valkey()
    }

    /// Whether an error of one word keeps the ends of lines around it.
    pub fn keeps_line_ends_of_one_word(&self) -> bool {
        self.runs_functions_by_module()
    }

    /// What quotes may enclose in a library's first line.
    pub fn quoting(&self) -> Quoting {
        if self.valkey.as_ref().is_some_and(|own| own.is_at_least(9, 1)) { Quoting::Parts } else { Quoting::Ends }
    }

    /// Which engines the first line of a script may name.
    pub const fn engines(&self) -> Engines {
        if self.is_valkey() { Engines::Any } else { Engines::Lua }
    }

    /// How many scripts the server keeps that EVAL has brought; None for any number.
    pub const fn evaluated_scripts_kept(&self) -> Option<usize> {
        const MOST: usize = 500;
        if self.is_like_7_4() { Some(MOST) } else { None }
    }

    /// Whether SCRIPT LOAD makes a script stay that EVAL has brought.
    pub const fn loading_keeps_scripts(&self) -> bool {
        self.is_valkey()
    }

    /// Whether the source of a library ends at its first NUL, though all of it is shown and kept.
    pub const fn cuts_libraries(&self) -> bool {
        self.is_valkey()
    }

    /// Whether the description of a function is shown up to its first NUL.
    pub const fn cuts_descriptions(&self) -> bool {
        self.is_valkey()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_speaks_by_its_own_table() {
        for (dialect, words) in [
            (Dialect::redis("7.0.15"), &words::REDIS_7_0),
            (Dialect::redis("7.2.4"), &words::REDIS_7_2),
            (Dialect::redis("8.6.2"), &words::REDIS_7_4),
            (Dialect::valkey("7.2.4", "8.1.1"), &words::VALKEY),
            (Dialect::valkey("7.2.4", "9.1.2"), &words::VALKEY_9_1),
        ] {
            assert!(std::ptr::eq(dialect.words, words), "{dialect:?}");
        }
    }

    #[test]
    fn a_version_is_three_numbers_and_what_is_missing_is_zero() {
        for (text, number) in [("7.0.15", 0x7_000F), ("255.255.255", 0xFF_FFFF), ("8.6", 0x8_0600), ("", 0)] {
            assert_eq!(Version::new(text).number, number, "{text}");
        }
    }
}
