//! What a command says about itself: to the server, to HELP, and to ACL rules for the server's own commands.

use std::ffi::{CStr, c_int};

use redis_module::raw;

use super::super::api::KeyAccess;

/// The C function of a command.
pub type Handler = extern "C" fn(*mut raw::RedisModuleCtx, *mut *mut raw::RedisModuleString, c_int) -> c_int;

/// A command or subcommand.
pub struct Spec {
    pub name: &'static CStr,
    /// None for a container.
    pub handler: Option<Handler>,
    /// The version of the module that it came with.
    pub since: &'static CStr,
    /// The words that the command takes, its names included; negative: at least so many.
    pub arity: c_int,
    /// The arity of the server's own command of that name, less the prefix; None where there is none.
    pub stock: Option<c_int>,
    /// Flags in the API's words.
    pub flags: &'static CStr,
    /// Its ACL categories, in full: servers that let modules choose derive none from the flags then.
    pub acl: &'static CStr,
    pub summary: &'static CStr,
    pub complexity: &'static CStr,
    pub tips: Option<&'static CStr>,
    /// What is done with its keys, which follow their number, word 2. None without keys.
    pub keys: Option<KeyAccess>,
    pub arguments: &'static [Argument],
    pub subcommands: &'static [Spec],
    /// Its part of HELP: a line with the syntax, then lines of explanation. Empty when HELP does not list it.
    pub help: &'static [Line],
}

/// What the names of the module's commands have before the server's.
const PREFIX: &str = "shadow.";

impl Spec {
    /// The name of the server's own command that it stands beside; None where there is none.
    pub fn stock_name(&self) -> Option<&'static str> {
        let name = self.name.to_str().ok()?;
        self.stock.map(|_| name.strip_prefix(PREFIX).unwrap_or(name))
    }

    /// Whether the server's own command takes so many words.
    pub fn stock_takes(&self, words: usize) -> bool {
        let fits = |arity: c_int| {
            let least = arity.unsigned_abs() as usize;
            if arity < 0 { words >= least } else { words == least }
        };
        self.stock.is_some_and(fits)
    }

    /// Whether it is in the ACL category of that name, which has no `@`.
    pub fn is_in(&self, category: &[u8]) -> bool {
        self.acl.to_bytes().split(|&byte| byte == b' ').any(|own| own == category)
    }

    /// What ACL rules call what of it is in a category: the command, or those of its subcommands that are.
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
    /// Only on 7.0; later servers dropped it.
    Only70(&'static str),
    /// On 7.0 in the first form, later in the second.
    Since72(&'static str, &'static str),
}

/// An argument in COMMAND DOCS.
pub struct Argument {
    pub name: &'static CStr,
    pub kind: Kind,
    pub token: Option<&'static CStr>,
    pub optional: bool,
    pub multiple: bool,
    pub parts: &'static [Argument],
}

/// The type of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    /// A key of the command's only key spec.
    Key,
    PureToken,
    OneOf,
}

impl Argument {
    pub const fn new(name: &'static CStr, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, multiple: false, parts: &[] }
    }

    pub const fn token(self, token: &'static CStr) -> Self {
        Self { token: Some(token), ..self }
    }

    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    pub const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }

    pub const fn of(self, parts: &'static [Argument]) -> Self {
        Self { parts, ..self }
    }
}
