//! What the server says of a command.

use super::{CallReply, Context, Flags, call};

/// The entry of a command, or of a subcommand, in COMMAND INFO.
pub struct CommandInfo(CallReply);

/// Where the entry has the arity, the first of the legacy key positions, and the subcommands.
const ARITY: usize = 1;
const KEYS: usize = 3;
const SUBCOMMANDS: usize = 9;

/// Keys in fixed places: from `first` to `last`, which counts from the end if it is negative, each `step`th word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub first: i64,
    pub last: i64,
    pub step: i64,
}

impl CommandInfo {
    /// That of a command or, as `command|subcommand`, of a subcommand; None where COMMAND was renamed away.
    pub fn of(context: &Context, name: &[u8]) -> Option<Self> {
        call(context, c"COMMAND", &[b"INFO", name], None, Flags::new(b"")).0.map(Self)
    }

    /// Whether there is such a command.
    pub fn exists(&self) -> bool {
        self.0.len(&[0]) > 0
    }

    /// Whether a flag of it, or of one of its subcommands, is `word`.
    pub fn mentions(&self, word: &str) -> bool {
        self.0.mentions(word)
    }

    /// Whether it has subcommands.
    pub fn is_container(&self) -> bool {
        self.0.len(&[0, SUBCOMMANDS]) > 0
    }

    /// The number of words that it takes, its name included; negative: at least this number.
    pub fn arity(&self) -> Option<i64> {
        self.0.integer(&[0, ARITY])
    }

    /// The least number of words that it takes.
    pub fn least_words(&self) -> Option<usize> {
        usize::try_from(self.arity()?.unsigned_abs()).ok()
    }

    /// Where its keys are, if that depends on nothing but the number of words.
    pub fn keys(&self) -> Option<KeyRange> {
        let moves = self.is_container() || self.mentions("movablekeys") || self.mentions("not_key");
        let at = |index| self.0.integer(&[0, KEYS + index]);
        if moves { None } else { Some(KeyRange { first: at(0)?, last: at(1)?, step: at(2)? }) }
    }
}
