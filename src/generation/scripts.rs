//! Scripts: caching, evicting and calling them.

use std::sync::Arc;

use super::Scripts;
use crate::clock::Milliseconds;
use crate::engine::{Engine, Host, Sink};
use crate::error::Error;
use crate::registry::declaration::{self, Declaration};
use crate::registry::{Callback, Digest, FunctionFlags, Origin, Script, Slot};

/// How much of what EVAL brings may be cached. What SCRIPT LOAD brings stays in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The most scripts; None for any number.
    pub scripts: Option<usize>,
    /// The most bytes that all scripts may take, those of SCRIPT LOAD included; None for any.
    pub bytes: Option<usize>,
}

impl Scripts {
    /// The flags that `code` declares; None without a first line that does.
    ///
    /// # Errors
    /// The server's text for what is wrong with its first line.
    pub fn flags_of(&self, code: &[u8]) -> Result<Option<FunctionFlags>, Error> {
        Ok(self.declaration(code)?.flags)
    }

    fn declaration(&self, code: &[u8]) -> Result<Declaration, Error> {
        let dialect = self.engine.vm().dialect();
        Ok(declaration::parse(code, dialect.quoting(), dialect.engines())?)
    }

    /// Caches a script as the one that was used last. One that is there already stays, from now on for good if this
    /// comes by SCRIPT LOAD and `promotes`.
    ///
    /// # Errors
    /// The server's text for what is wrong with its first line or its code. Nothing has changed then.
    pub fn add(&mut self, code: &[u8], origin: Origin, promotes: bool) -> Result<Arc<Script>, Error> {
        if let Some(known) = self.registry.script_of(code).cloned() {
            if promotes && origin == Origin::Load {
                self.registry.keep(known.digest.as_bytes());
            }
            return Ok(known);
        }
        let Declaration { flags, body } = self.declaration(code)?;
        let compiled = self.engine.load(&code[body..])?;
        let callback = Callback::new(Slot(compiled.slot));
        let script = Script::new(code, flags, Ok(callback), compiled.bytes, origin);
        Ok(self.registry.insert(script, Milliseconds::now()))
    }

    /// Evicts what goes beyond `bounds`, the least recently used first, but never the one that was added last. Gives
    /// the digests of what went.
    pub fn evict(&mut self, bounds: Bounds) -> Vec<Digest> {
        let mut evicted = Vec::new();
        while self.exceeds(bounds)
            && self.registry.evictable() > 1
            && let Some(digest) = self.registry.least_recently_used()
        {
            self.remove(digest.as_bytes());
            evicted.push(digest);
        }
        evicted
    }

    fn exceeds(&self, bounds: Bounds) -> bool {
        bounds.scripts.is_some_and(|most| self.registry.evictable() > most)
            || bounds.bytes.is_some_and(|most| self.registry.all_bytes() > most)
    }

    /// Takes a script out of the cache. Whether it was there.
    pub fn remove(&mut self, digest: &[u8]) -> bool {
        let Some(script) = self.registry.remove(digest) else { return false };
        if script.refusal.is_none() {
            self.engine.release([script.callback.slot.0]);
        }
        true
    }

    /// Runs a script of this generation and writes what it returns to `sink`.
    ///
    /// # Errors
    /// What the script raised, or why it cannot be called. Nothing was written to `sink` then.
    pub fn call<'a>(
        &self,
        script: &Script,
        keys: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        arguments: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        host: &mut dyn Host,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        if let Some(refusal) = &script.refusal {
            return Err(Error::new(refusal.clone()));
        }
        self.hotness.compile_if_due(self.engine.vm(), &script.callback, || script.code.len());
        let slot = script.callback.slot.0;
        Ok(self.engine.call(slot, &script.name, keys, arguments, host, sink)?)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::engine::{CallMode, Dialect, Item};

    /// Keeps the last string or error of a reply.
    #[derive(Default)]
    struct Last(Vec<u8>);

    impl Sink for Last {
        fn put(&mut self, item: Item<'_>) {
            self.0 = match item {
                Item::Bulk(text) | Item::Status(text) | Item::Error(text) => text.to_vec(),
                Item::Integer(number) => number.to_string().into_bytes(),
                other => format!("{other:?}").into_bytes(),
            };
        }
    }

    /// Answers every command with its name.
    struct Named(Vec<u8>);

    impl Host for Named {
        fn call(&mut self, name: &CStr, _: &[&[u8]], _: CallMode) -> &[u8] {
            self.0 = [b"+", name.to_bytes(), b"\r\n"].concat();
            &self.0
        }
    }

    fn scripts() -> Scripts {
        Scripts::new(Dialect::default()).unwrap()
    }

    fn eval(scripts: &mut Scripts, code: &str, keys: &[&str], arguments: &[&str]) -> String {
        let result = scripts.add(code.as_bytes(), Origin::Eval, false).and_then(|script| {
            let mut last = Last::default();
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            let arguments: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
            let mut host = Named(Vec::new());
            scripts.call(&script, keys.into_iter(), arguments.into_iter(), &mut host, &mut last)?;
            Ok(last.0)
        });
        String::from_utf8(result.unwrap_or_else(|error| error.text().to_vec())).unwrap()
    }

    #[test]
    fn a_script_finds_its_keys_and_arguments_in_globals() {
        let mut scripts = scripts();
        let code =
            "return KEYS[1] .. ARGV[2] .. #KEYS .. #ARGV .. tostring(_G.KEYS == KEYS and rawget(_G, 'ARGV') == ARGV)";
        for (key, argument) in [("a", "b"), ("c", "d")] {
            let expected = format!("{key}{argument}12true");
            assert_eq!(eval(&mut scripts, code, &[key], &["x", argument]), expected);
        }
        assert_eq!(eval(&mut scripts, "return loadstring('return KEYS[1]')()", &["k"], &[]), "k");
    }

    #[test]
    fn nothing_is_left_from_call_to_call() {
        let mut scripts = scripts();
        assert_eq!(eval(&mut scripts, "KEYS[5] = 'x' KEYS.y = 1 return #ARGV", &["a"], &["b"]), "1");
        assert_eq!(eval(&mut scripts, "return tostring(KEYS[5]) .. tostring(KEYS.y) .. #KEYS", &[], &[]), "nilnil0");
        for code in ["KEYS = {}", "x = 1", "_G.x = 1", "redis.x = 1"] {
            let refused = eval(&mut scripts, code, &[], &[]);
            assert!(refused.contains("Attempt to modify a readonly table"), "{code}: {refused}");
        }
    }

    #[test]
    fn errors_name_the_script_and_its_line() {
        let mut scripts = scripts();
        let code = "local x = 1\nerror('no')";
        let digest = Digest::of(code.as_bytes());
        let expected = format!("ERR user_script:2: no script: {digest}, on @user_script:2.");
        assert_eq!(eval(&mut scripts, code, &[], &[]), expected);
        assert!(scripts.registry().script(digest.as_bytes()).is_some());
        let refused = eval(&mut scripts, "return (", &[], &[]);
        assert!(refused.starts_with("ERR Error compiling script (new function): user_script:1: "), "{refused}");
        assert_eq!(scripts.registry().count(), 1);
        let declared = "#!lua flags=no-writes\nerror('no')";
        assert!(eval(&mut scripts, declared, &[], &[]).starts_with("ERR user_script:2: no"));
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_is_evicted() {
        let mut scripts = scripts();
        let bounds = Bounds { scripts: Some(2), bytes: None };
        let kept = scripts.add(b"return 'kept'", Origin::Load, false).unwrap();
        let added =
            ["return 1", "return 2", "return 3"].map(|code| scripts.add(code.as_bytes(), Origin::Eval, false).unwrap());
        scripts.registry().note_use(&added[0], Milliseconds(0));
        assert_eq!(scripts.evict(bounds), [added[1].digest]);
        assert!(scripts.evict(bounds).is_empty());
        let none = Bounds { scripts: Some(0), bytes: Some(1) };
        assert_eq!(scripts.evict(none), [added[2].digest]);
        assert!(scripts.registry().script(kept.digest.as_bytes()).is_some());
        assert_eq!(eval(&mut scripts, "return 2", &[], &[]), "2");
    }

    #[test]
    fn a_script_of_eval_stays_once_it_is_loaded_where_the_server_has_it_so() {
        for promotes in [false, true] {
            let mut scripts = scripts();
            let script = scripts.add(b"return 1", Origin::Eval, promotes).unwrap();
            scripts.add(b"return 1", Origin::Load, promotes).unwrap();
            assert_eq!(script.origin() == Origin::Load, promotes);
        }
    }
}
