//! `shadow.undeclared-keys`: the keys of a call's commands beside those that it declares.

use std::cell::OnceCell;

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::api::Context;
use super::command_keys::Rule;
use super::excerpt::{excerpt, excerpts};
use super::module::Module;
use super::running::Running;
use super::settings::{HIDE_USER_DATA, UNDECLARED_KEYS, Undeclared};
use crate::clock::unix_milliseconds;
use crate::engine::Caller;
use crate::registry::Case;

/// How many of the declared keys a finding has. There may be findings of every function.
const SHOWN: usize = 8;

/// With more keys than this a call gets a table of them.
const FEW: usize = 8;

/// Holds the commands of one call to the keys that it declares.
pub struct DeclaredKeys<'a> {
    denies: bool,
    running: &'a Running<'a>,
    keys: SmallVec<[&'a [u8]; 4]>,
    /// The keys of a call that declares many, once one is looked for.
    table: OnceCell<HashSet<&'a [u8]>>,
    /// The last command, and where its keys are: many calls run the same command again and again.
    last: SmallVec<[u8; 16]>,
    rule: Rule,
}

impl<'a> DeclaredKeys<'a> {
    /// What the setting, or the library itself, asks for; None for nothing. What comes from the master or out of a file
    /// was looked at where it came from.
    #[inline]
    pub fn of(running: &'a Running<'a>) -> Option<Self> {
        let library = running.callee.library.is_some_and(|library| library.keys_declared);
        let setting = UNDECLARED_KEYS.get();
        if setting == Undeclared::Off as u64 && !library {
            return None;
        }
        let denies = library || setting == Undeclared::Deny as u64;
        if running.obeys { None } else { Some(Self::new(running, denies)) }
    }

    #[cold]
    fn new(running: &'a Running<'a>, denies: bool) -> Self {
        let keys = running.keys().collect();
        Self { denies, running, keys, table: OnceCell::new(), last: SmallVec::new(), rule: Rule::Asked }
    }

    /// Looks at the keys of a command. Returns the error of one that is refused. `is_key`: its second word is known to
    /// be a declared key.
    #[inline]
    pub fn check(
        &mut self,
        context: &Context,
        module: &Module,
        words: &[&[u8]],
        is_key: bool,
        caller: Caller,
    ) -> Option<Vec<u8>> {
        if self.last.as_slice() != words[0] {
            self.rule = module.command_keys.rule(context, words[0]);
            self.last = SmallVec::from_slice(words[0]);
        }
        if is_key && self.rule.is_second_word() {
            return None;
        }
        let undeclared = self.rule.find(context, words, |key| !self.has(key))?;
        self.note(words[0], undeclared, caller)
    }

    fn has(&self, key: &[u8]) -> bool {
        if self.keys.len() <= FEW { self.keys.contains(&key) } else { self.table().contains(key) }
    }

    fn table(&self) -> &HashSet<&'a [u8]> {
        self.table.get_or_init(|| self.keys.iter().copied().collect())
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
        callee.callback.counters.note_undeclared(Case {
            command: command.into(),
            line: caller.line().unwrap_or_default(),
            key: shown,
            declared: excerpts(self.running.keys(), SHOWN, hides),
            time: unix_milliseconds(),
            denied: self.denies,
            count: 0,
        });
        refusal
    }
}
