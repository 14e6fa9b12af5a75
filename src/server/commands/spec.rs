//! What a command says about itself: to the server, to HELP, and to ACL rules for the server's own commands.

use std::ffi::{CStr, c_int};

use super::super::api::KeyAccess;
use super::super::api::command::{Argument, Handler};
use crate::engine::{Callable, Dialect};

/// A command or subcommand.
pub struct Spec {
    /// In lower case; a subcommand's without that of its container.
    pub name: &'static CStr,
    /// Whether it is about functions or about scripts. Of a subcommand its container's counts.
    pub callable: Callable,
    /// None for a container.
    pub handler: Option<Handler>,
    /// The version of the module that introduced it.
    pub since: &'static CStr,
    /// The number of words that the command takes, its names included; negative: at least this number.
    pub arity: c_int,
    /// The arity of the server's own command of that name, less the prefix; None where there is none.
    pub stock: Option<c_int>,
    /// Which servers have that one.
    pub stock_on: fn(&Dialect) -> bool,
    /// Its flags, in the words of `RM_CreateCommand`.
    pub flags: &'static CStr,
    /// All its ACL categories: servers that let modules choose do not derive any from the flags.
    pub acl: &'static CStr,
    /// For COMMAND DOCS.
    pub summary: &'static CStr,
    /// For COMMAND DOCS.
    pub complexity: &'static CStr,
    /// Command tips, separated by spaces.
    pub tips: Option<&'static CStr>,
    /// What it may do with its keys, which follow their number. None without keys.
    pub keys: Option<KeyAccess>,
    /// Whether it says why it names all that may be done with them.
    pub explains_keys: bool,
    /// For COMMAND DOCS.
    pub arguments: &'static [Argument],
    /// Of a container.
    pub subcommands: &'static [Spec],
    /// Its part of HELP: a line with the syntax, then lines of explanation. Empty when HELP does not list it.
    pub help: &'static [Line],
}

/// A list of commands, for a command that stands in it itself.
pub trait List {
    /// The commands.
    fn specs() -> impl Iterator<Item = &'static Spec>;
}

/// The prefix of the module's command names.
const PREFIX: &str = "shadow.";

impl Spec {
    /// The name of the server's own command that it stands beside; None where there is none.
    pub fn stock_name(&self) -> Option<&'static str> {
        let name = self.name.to_str().ok()?;
        self.stock.map(|_| name.strip_prefix(PREFIX).unwrap_or(name))
    }

    /// Whether the server has such a command of its own, and it takes this number of words.
    pub fn stock_takes(&self, words: usize, dialect: &Dialect) -> bool {
        let fits = |arity: c_int| {
            let least = arity.unsigned_abs() as usize;
            if arity < 0 { words >= least } else { words == least }
        };
        (self.stock_on)(dialect) && self.stock.is_some_and(fits)
    }

    /// Whether it is in the ACL category of that name, without `@`.
    pub fn is_in(&self, category: &[u8]) -> bool {
        self.acl.to_bytes().split(|&byte| byte == b' ').any(|own| own == category)
    }

    /// What of it is in a category, by the names of ACL rules: the command, or those of its subcommands that are in it.
    pub fn names_in(&self, category: &[u8]) -> Vec<Vec<u8>> {
        let name = self.name.to_bytes();
        if self.subcommands.is_empty() {
            return if self.is_in(category) { vec![name.to_vec()] } else { Vec::new() };
        }
        let members: Vec<&Self> = self.subcommands.iter().filter(|subcommand| subcommand.is_in(category)).collect();
        if members.len() == self.subcommands.len() {
            return vec![name.to_vec()];
        }
        members.iter().map(|member| [name, b"|", member.name.to_bytes()].concat()).collect()
    }
}

/// A line of HELP.
pub enum Line {
    /// On every server.
    Always(&'static str),
    /// As the server has it, if it has it.
    By(fn(&Dialect) -> Option<&'static str>),
}
