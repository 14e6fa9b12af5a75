//! `shadow.undeclared-keys`: the keys of a call's commands beside those that it declares.

use std::cell::OnceCell;

use hashbrown::HashSet;

use super::api::Context;
use super::excerpt::{excerpt, excerpts};
use super::module::Module;
use super::running::Running;
use super::settings::{HIDE_USER_DATA, UNDECLARED_KEYS, Undeclared};
use crate::clock::unix_milliseconds;
use crate::engine::Caller;
use crate::registry::Case;

/// With more keys than this a call gets a table of them.
const FEW: usize = 8;

/// Holds the commands of one call to the keys that it declares.
pub struct DeclaredKeys<'a> {
    denies: bool,
    running: &'a Running<'a>,
    /// The keys of a call that declares many, once one is looked for.
    table: OnceCell<HashSet<&'a [u8]>>,
}

impl<'a> DeclaredKeys<'a> {
    /// What the setting, or the library itself, asks for; None for nothing. What comes from the master or out of a file
    /// was looked at where it came from.
    #[inline]
    pub fn of(running: &'a Running<'a>) -> Option<Self> {
        let library = running.callee.library.is_some_and(|library| library.keys_declared);
        let setting = UNDECLARED_KEYS.get();
        if (setting == Undeclared::Off as u64 && !library) || running.obeys {
            return None;
        }
        let denies = library || setting == Undeclared::Deny as u64;
        Some(Self { denies, running, table: OnceCell::new() })
    }

    /// Looks at the keys of a command. Returns the error of one that is refused.
    #[inline]
    pub fn check(&self, context: &Context, module: &Module, words: &[&[u8]], caller: Caller) -> Option<Vec<u8>> {
        let places = module.command_keys.places(context, words);
        let undeclared = places.iter().map(|&at| words[at]).find(|key| !self.has(key))?;
        self.note(words[0], undeclared, caller)
    }

    fn has(&self, key: &[u8]) -> bool {
        let mut keys = self.running.keys();
        if keys.len() <= FEW { keys.any(|known| known == key) } else { self.table().contains(key) }
    }

    #[cold]
    fn table(&self) -> &HashSet<&'a [u8]> {
        self.table.get_or_init(|| self.running.keys().collect())
    }

    /// Notes that `command` reaches `key`. Returns its error if it is refused.
    #[cold]
    fn note(&self, command: &[u8], key: &[u8], caller: Caller) -> Option<Vec<u8>> {
        let callee = &self.running.callee;
        let hides = HIDE_USER_DATA.is_on();
        let (command, shown) = (command.to_ascii_lowercase(), excerpt(key, hides));
        callee.totals.undeclared_keys.count();
        let refusal = self.denies.then(|| {
            callee.totals.undeclared_keys_denied.count();
            // Bytes that would break the line of an error are written as escapes.
            let (command, key) = (command.escape_ascii(), shown.escape_ascii());
            format!("ERR The command '{command}' reaches the key '{key}', which the call does not declare").into_bytes()
        });
        callee.callback.note_undeclared(Case {
            command: command.into(),
            line: caller.line().unwrap_or_default(),
            key: shown,
            declared: excerpts(self.running.keys(), hides),
            time: unix_milliseconds(),
            denied: self.denies,
            count: 0,
        });
        refusal
    }
}
