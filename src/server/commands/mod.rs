//! The module's commands: a file each, and the table that registers them.

mod call;
mod debug;
mod delete;
mod deploy;
mod dump;
mod entry;
mod eval;
mod fcall;
mod flush;
mod help;
mod histogram;
mod kept;
mod keys;
mod kill;
mod list;
mod load;
mod metrics;
mod profile;
mod registration;
mod resetstat;
mod restore;
mod script;
mod slowlog;
pub mod spec;
mod stats;
mod table;
mod versions;

pub use registration::register;
pub use restore::replicate_restore;
pub use table::registered;

use super::api::Arguments;
use super::intercept::typed_name;
use crate::c_string::to_nul;
use crate::error::Error;

/// The server's text for a subcommand with too many words.
fn wrong_arguments(arguments: Arguments) -> Error {
    unknown_subcommand(arguments.get(1), &typed_name(arguments))
}

/// The server's text for a `word` that is no subcommand of `command`, or has too many words after it.
fn unknown_subcommand(word: &[u8], command: &[u8]) -> Error {
    Error::new(
        [
            b"ERR unknown subcommand or wrong number of arguments for '",
            word,
            b"'. Try ",
            &command.to_ascii_uppercase(),
            b" HELP.",
        ]
        .concat(),
    )
}

/// The server's text for a word that is no option, or one that was given before.
fn unknown_argument(word: &[u8]) -> Error {
    Error::new([b"ERR Unknown argument ", word].concat())
}

/// The server's text for a subcommand with a wrong number of words.
fn wrong_arity(arguments: Arguments) -> Error {
    let subcommand = arguments.get(1).to_ascii_lowercase();
    Error::new(
        [
            b"ERR wrong number of arguments for '",
            typed_name(arguments).as_slice(),
            b"|",
            subcommand.as_slice(),
            b"' command",
        ]
        .concat(),
    )
}

/// Whether a word of a command is `option`, in any case. The server reads such words up to the first NUL.
fn is_option(word: &[u8], option: &str) -> bool {
    to_nul(word).eq_ignore_ascii_case(option.as_bytes())
}
