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
    /// Whether those that are kept stay, too, and do not count: another server decides about them.
    pub spares_kept: bool,
}

/// Of the room under the limit of memory, one part in this many is left to calls: what EVAL brings does not fill it.
const ROOM_OF_CALLS: usize = 4;

impl Scripts {
    /// The flags of a script that is not cached; None for one that declares nothing, or something wrong.
    pub fn flags_of(&self, code: &[u8]) -> Option<FunctionFlags> {
        let dialect = self.engine.vm().dialect();
        declaration::flags(code, dialect.quoting(), dialect.engines())
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
                self.registry.promote(known.digest.as_bytes());
            }
            return Ok(known);
        }
        let Declaration { flags, body } = self.declaration(code)?;
        let compiled = self.engine.load(&code[body..])?;
        let callback = Callback::new(Slot(compiled.slot));
        let script = Script::new(code, flags, Ok(callback), compiled.bytes, origin);
        Ok(self.registry.insert(script, Milliseconds::now()))
    }

    /// Caches a script of a file, as [`add`](Self::add) does. One that cannot be loaded is cached as well: it answers
    /// with the error that is returned.
    pub fn add_from_file(&mut self, code: &[u8], origin: Origin) -> (Digest, Option<Error>) {
        match self.add(code, origin, true) {
            Ok(script) => (script.digest, None),
            Err(error) => {
                let flags = self.flags_of(code);
                let script = Script::new(code, flags, Err(error.text().to_vec()), 0, origin);
                (self.registry.insert(script, Milliseconds::now()).digest, Some(error))
            }
        }
    }

    /// Caches a script for which there was no room under the limit of memory, and evicts for it as many others as it
    /// takes. Gives what went, too.
    ///
    /// # Errors
    /// Those of [`add`](Self::add); `refusal` if there is not enough to evict. Nothing has changed then.
    pub fn add_for_others(
        &mut self,
        code: &[u8],
        origin: Origin,
        spares_kept: bool,
        refusal: Error,
    ) -> Result<(Arc<Script>, Vec<Arc<Script>>), Error> {
        let limit = self.memory_limit();
        let bounds = Bounds { spares_kept, ..Bounds::default() };
        // What it takes is only known when it is there. Sources are bounded, so it is not much more than the limit.
        if limit == 0 || self.evictable(bounds) == 0 {
            return Err(refusal);
        }
        let script = self.without_memory_limit(|scripts| scripts.add(code, origin, false))?;
        self.collect();
        let others = self.registry.evictable_bytes(spares_kept)
            - if script.origin() == Origin::Eval { script.vm_bytes } else { 0 };
        if self.vm_memory().saturating_sub(others) > limit {
            self.remove(script.digest.as_bytes());
            self.collect();
            return Err(refusal);
        }
        let excess = self.vm_memory().saturating_sub(limit - self.room_of_calls());
        let (mut freed, mut evicted) = (0, Vec::new());
        while freed < excess
            && let Some(digest) =
                self.registry.least_recently_used(spares_kept).filter(|&digest| digest != script.digest)
            && let Some(old) = self.take(digest.as_bytes())
        {
            freed += old.vm_bytes;
            evicted.push(old);
        }
        self.collect();
        Ok((script, evicted))
    }

    /// Evicts what goes beyond `bounds` or leaves calls too little of the memory that they may take, the least recently
    /// used first, but never the one that was added last. Gives what went.
    pub fn evict(&mut self, bounds: Bounds) -> Vec<Arc<Script>> {
        let mut evicted = Vec::new();
        while self.exceeds(bounds)
            && let Some(digest) = self.registry.least_recently_used(bounds.spares_kept)
            && let Some(script) = self.take(digest.as_bytes())
        {
            evicted.push(script);
        }
        evicted
    }

    /// Whether there is something to evict.
    pub fn exceeds(&self, bounds: Bounds) -> bool {
        let evictable = self.evictable(bounds);
        evictable > 1
            && (bounds.scripts.is_some_and(|most| evictable > most)
                || bounds.bytes.is_some_and(|most| self.registry.all_bytes() > most)
                || self.memory_limit() > 0 && self.registry.vm_bytes() + self.room_of_calls() > self.room())
    }

    /// How many scripts may be evicted.
    fn evictable(&self, bounds: Bounds) -> usize {
        if bounds.spares_kept { self.registry.evictable_unkept() } else { self.registry.evictable() }
    }

    /// What the limit of memory leaves for scripts and calls.
    fn room(&self) -> usize {
        self.memory_limit().saturating_sub(self.built_bytes())
    }

    fn room_of_calls(&self) -> usize {
        self.room() / ROOM_OF_CALLS
    }

    /// Takes a script out of the cache. Whether it was there.
    pub fn remove(&mut self, digest: &[u8]) -> bool {
        self.take(digest).is_some()
    }

    fn take(&mut self, digest: &[u8]) -> Option<Arc<Script>> {
        let script = self.registry.remove(digest)?;
        if script.refusal.is_none() {
            self.engine.release([script.callback.slot.0]);
        }
        Some(script)
    }

    /// Notes whether the files and replicas have a script as it is.
    pub fn set_kept(&mut self, digest: &[u8], kept: bool) {
        self.registry.set_kept(digest, kept);
    }

    /// Notes that the files and replicas may have none of the scripts from now on.
    pub fn forget_kept(&mut self) {
        self.registry.forget_kept();
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
    use crate::engine::{CallMode, Caller, Dialect, Item};

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
        fn call(&mut self, name: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
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

    fn digests(scripts: Vec<Arc<Script>>) -> Vec<Digest> {
        scripts.into_iter().map(|script| script.digest).collect()
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
        let bounds = Bounds { scripts: Some(2), ..Bounds::default() };
        let kept = scripts.add(b"return 'kept'", Origin::Load, false).unwrap();
        let added =
            ["return 1", "return 2", "return 3"].map(|code| scripts.add(code.as_bytes(), Origin::Eval, false).unwrap());
        scripts.registry().note_use(&added[0], Milliseconds(0));
        assert_eq!(digests(scripts.evict(bounds)), [added[1].digest]);
        assert!(scripts.evict(bounds).is_empty());
        let none = Bounds { scripts: Some(0), bytes: Some(1), ..Bounds::default() };
        assert_eq!(digests(scripts.evict(none)), [added[2].digest]);
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

    #[test]
    fn what_is_kept_neither_counts_nor_goes_where_another_server_decides() {
        let mut scripts = scripts();
        let added =
            ["return 1", "return 2", "return 3"].map(|code| scripts.add(code.as_bytes(), Origin::Eval, false).unwrap());
        scripts.set_kept(added[0].digest.as_bytes(), true);
        let bounds = |spares_kept| Bounds { scripts: Some(1), spares_kept, ..Bounds::default() };
        assert_eq!(digests(scripts.evict(bounds(true))), [added[1].digest]);
        assert!(scripts.evict(bounds(true)).is_empty());
        assert_eq!(digests(scripts.evict(bounds(false))), [added[0].digest]);
    }

    #[test]
    fn a_script_of_a_file_that_does_not_compile_answers_why() {
        let mut scripts = scripts();
        for (code, reason) in [
            ("return (", "ERR Error compiling script (new function): user_script:1: "),
            ("#!lua flags=x\nreturn 1", "ERR Unexpected flag in script shebang: x"),
        ] {
            let (digest, error) = scripts.add_from_file(code.as_bytes(), Origin::Eval);
            assert!(error.unwrap().text().starts_with(reason.as_bytes()), "{code}");
            assert!(eval(&mut scripts, code, &[], &[]).starts_with(reason), "{code}");
            assert!(scripts.remove(digest.as_bytes()));
        }
        assert_eq!(scripts.registry().count(), 0);
        let (_, error) = scripts.add_from_file(b"return 1", Origin::Load);
        assert_eq!((error, scripts.registry().refused()), (None, 0));
    }

    const LIMIT: usize = 2 << 20;

    /// A script with this number whose text takes some 20 KiB in the VM.
    fn large(number: usize) -> String {
        format!("return '{number}{}'", "x".repeat(20_000))
    }

    fn add(scripts: &mut Scripts, code: &str, origin: Origin) -> Result<Arc<Script>, Error> {
        scripts
            .add(code.as_bytes(), origin, false)
            .or_else(|refusal| Ok(scripts.add_for_others(code.as_bytes(), origin, false, refusal)?.0))
    }

    #[test]
    fn a_full_vm_lets_old_scripts_go_for_new_ones() {
        let mut scripts = scripts();
        scripts.set_memory_limit(LIMIT);
        let first = add(&mut scripts, &large(0), Origin::Load).unwrap();
        for number in 1..1_000 {
            let script = add(&mut scripts, &large(number), Origin::Eval).unwrap();
            assert_eq!(eval(&mut scripts, &large(number), &[], &[]).len(), script.code.len() - "return ''".len());
        }
        assert!(scripts.registry().script(first.digest.as_bytes()).is_some());
        assert!(scripts.registry().evictable() > 20, "{}", scripts.registry().evictable());
        assert!(scripts.vm_memory() <= LIMIT);
    }

    #[test]
    fn what_brings_in_scripts_leaves_calls_a_part_of_the_room() {
        let mut scripts = scripts();
        scripts.set_memory_limit(LIMIT);
        let mut evicted = 0;
        for number in 0..1_000 {
            add(&mut scripts, &large(number), Origin::Eval).unwrap();
            evicted += scripts.evict(Bounds::default()).len();
        }
        assert!(evicted > 800, "{evicted}");
        // Half of that part may be garbage when a call begins.
        let part = scripts.room_of_calls() / 2;
        assert!(part > LIMIT / 16, "{part}");
        assert_eq!(eval(&mut scripts, &format!("return #('x'):rep({})", part / 3), &[], &[]), (part / 3).to_string());
    }

    #[test]
    fn a_script_that_never_fits_changes_nothing() {
        let mut scripts = scripts();
        let limit = scripts.vm_memory() + 300_000;
        scripts.set_memory_limit(limit);
        for number in 0..5 {
            add(&mut scripts, &large(number), Origin::Eval).unwrap();
        }
        let code = format!("return '{}'", "y".repeat(500_000));
        for _ in 0..3 {
            let error = add(&mut scripts, &code, Origin::Eval).unwrap_err();
            assert!(error.text().starts_with(b"OOM "), "{error}");
        }
        assert_eq!(scripts.registry().count(), 5);
        assert!(scripts.vm_memory() <= limit);
        assert_eq!(eval(&mut scripts, "return 1", &[], &[]), "1");
    }
}
