//! The memory limit of a VM.
//!
//! The VM's allocator refuses what goes over the limit, and the VM raises then. Two things are left to do. The
//! collector does not know the limit, and garbage would count until it runs: here it is told to collect before garbage
//! takes half of the room that is left. And natives keep bytes outside of the VM while they build a string: they ask
//! here how many they may keep.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::callable::Callable;
use super::stack::{Collect, REFUSED, Raise, Stack};

/// How a call or a load ends that would take the VM over its limit.
pub const fn out_of_memory(callable: Callable) -> &'static [u8] {
    match callable {
        Callable::Function => b"OOM functions are not allowed to use more memory than 'shadow.memory-limit'.",
        Callable::Script => b"OOM scripts are not allowed to use more memory than 'shadow.memory-limit'.",
    }
}

/// What the VM raises when the error handler of a call fails.
const HANDLER_FAILED: &[u8] = b"error in error handling";

/// Less garbage than this is not worth a collection.
pub const LEAST_GARBAGE: usize = 16 * 1024;

/// Nor is less than one part in this many of what is alive, however little room is left: a collection goes through all
/// of it.
const LEAST_PART: usize = 64;

/// Calls and loads that ended for want of memory, in all VMs.
static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// How many calls and loads have ended for want of memory.
pub fn refusals() -> u64 {
    REFUSALS.load(Ordering::Relaxed)
}

/// Counts them from 0 again.
pub fn reset_refusals() {
    REFUSALS.store(0, Ordering::Relaxed);
}

/// The limit of one VM and when its garbage is to be collected, in bytes.
#[derive(Default)]
pub struct Memory {
    /// 0 for none.
    limit: Cell<usize>,
    /// What counts against the limit and is not the VM's: its machine code.
    elsewhere: Cell<usize>,
    /// How much the VM may hold before its garbage is collected.
    collect_at: Cell<usize>,
    /// What was alive after the last collection for which nothing ran.
    idle: Cell<usize>,
    /// The memory category of the last load.
    category: Cell<u8>,
}

impl Memory {
    /// Bytes; 0 for no limit.
    pub fn limit(&self) -> usize {
        self.limit.get()
    }

    /// What is left of `limit` (0 for none) for the VM itself.
    pub fn bound(&self, limit: usize) -> usize {
        if limit == 0 { 0 } else { limit.saturating_sub(self.elsewhere.get()).max(1) }
    }

    /// Notes how many bytes outside of the VM count against the limit. The limit is to be set again then.
    pub fn set_elsewhere(&self, bytes: usize) {
        self.elsewhere.set(bytes);
    }

    /// Notes the limit that the allocator was given. `collect`: garbage that counts against it is collected first.
    pub fn set_limit(&self, stack: &Stack, limit: usize, collect: bool) {
        self.limit.set(limit);
        if limit == 0 {
            return;
        }
        if collect && stack.memory() > self.bound(limit) / 2 {
            stack.collect(Collect::Full, 0);
        }
        self.idle.set(stack.memory());
        self.plan(stack);
    }

    /// Runs `body`, a load, and measures the bytes that it leaves in the VM: what it took, less what it gave back.
    ///
    /// What the collector frees meanwhile of other things is left out: the load has a memory category of its own. There
    /// are few of them, so each is used again after 254 loads; only what such an earlier load has left may be missing.
    pub fn measured<T>(&self, stack: &Stack, body: impl FnOnce() -> T) -> (T, usize) {
        /// Goes back to the category of all else however `body` ends.
        struct Leave<'a>(&'a Stack);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.set_memory_category(0);
            }
        }
        let category = self.category.get() % Stack::LAST_CATEGORY + 1;
        self.category.set(category);
        let before = stack.memory_of(category);
        stack.set_memory_category(category);
        let leave = Leave(stack);
        let result = body();
        drop(leave);
        (result, stack.memory_of(category).saturating_sub(before))
    }

    /// How many bytes the VM may still take.
    pub fn room(&self, stack: &Stack) -> usize {
        match self.bound(self.limit.get()) {
            0 => usize::MAX,
            bound => bound.saturating_sub(stack.memory()),
        }
    }

    /// Refuses bytes outside of the VM that alone are more than the limit.
    #[inline]
    pub fn check(&self, bytes: usize) -> Result<(), Raise> {
        let bound = self.bound(self.limit.get());
        if bound > 0 && bytes > bound { Err(Raise::Memory) } else { Ok(()) }
    }

    /// Whether the VM holds so much that its garbage is to be collected.
    pub fn is_full(&self, stack: &Stack) -> bool {
        stack.memory() >= self.collect_at.get()
    }

    /// Collects, at a safepoint, if it is time.
    pub fn relieve(&self, stack: &Stack) {
        if self.limit.get() > 0 && self.is_full(stack) {
            self.collect(stack);
        }
    }

    /// Whether `text`, with which a call or load ended, means that the VM was refused memory. The VM keeps no other
    /// sign of it where a coroutine or a script had the error in its hands: it is its own words and nothing else, a
    /// place before them for each coroutine that they have left. The engine's error handler fails for nothing else.
    pub fn is_refusal(&self, text: &[u8]) -> bool {
        let text = text.strip_prefix(b"ERR ").unwrap_or(text);
        let refused = || text.strip_suffix(REFUSED).is_some_and(are_places);
        self.limit.get() > 0 && (refused() || text == HANDLER_FAILED)
    }

    /// Counts a refusal and, if there is garbage that the next call could be refused for, collects it. Nothing runs.
    pub fn end_refused(&self, stack: &Stack) {
        REFUSALS.fetch_add(1, Ordering::Relaxed);
        let idle = self.idle.get();
        let room = self.bound(self.limit.get()).saturating_sub(idle);
        let garbage = stack.memory().saturating_sub(idle);
        if garbage >= (room / 2).min(idle / LEAST_PART).max(LEAST_GARBAGE) {
            self.collect(stack);
            self.idle.set(stack.memory());
        }
    }

    fn collect(&self, stack: &Stack) {
        stack.collect(Collect::Full, 0);
        self.plan(stack);
    }

    /// Plans the next collection for when half of the room that is left is taken.
    fn plan(&self, stack: &Stack) {
        let live = stack.memory();
        let room = self.bound(self.limit.get()).saturating_sub(live);
        self.collect_at.set(live + (room / 2).max(live / LEAST_PART).max(LEAST_GARBAGE));
    }
}

/// Whether `text` is places alone, as the VM puts them before a message: `chunk:line: `, or none of them.
fn are_places(text: &[u8]) -> bool {
    let mut left = text;
    while !left.is_empty() {
        let Some(place) = left.strip_suffix(b": ") else { return false };
        let digits = place.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let name = place[..place.len() - digits].strip_suffix(b":");
        let Some(name) = name.filter(|_| digits > 0) else { return false };
        // The next place ends where this chunk's name begins.
        let begin = name.windows(2).rposition(|end| end == b": ").map_or(0, |end| end + 2);
        if begin == name.len() {
            return false;
        }
        left = &name[..begin];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Echo, call, engine, load};
    use super::super::{Engine, FunctionEngine};
    use super::*;

    const LIMIT: usize = 2 << 20;
    const TEXT: &str = "OOM functions are not allowed to use more memory than 'shadow.memory-limit'.";

    /// Expressions that take memory: what `keep` holds of them grows without end.
    const KEPT: [&str; 40] = [
        "('x'):rep(1000) .. i",
        "string.format('%d %s', i, 'y')",
        "string.format('%q', 'y' .. i)",
        "('abc'):gsub('b', i)",
        "('abc'):gsub('b', function() return i end)",
        "('abc'):gsub('b', {b = i .. ''})",
        "('abc'):upper() .. i",
        "('abc'):reverse() .. i",
        "('abc'):sub(2) .. i",
        "string.char(65, 66) .. i",
        "('abc'):gmatch('b')",
        "tostring(i)",
        "table.concat({'a', i, 'b'})",
        "{i}",
        "{[i] = i}",
        "{('abc'):byte(1, -1)}",
        "{unpack({1, 2, 3})}",
        "setmetatable({}, {})",
        "setmetatable({}, {__index = function() return i end}).x",
        "function() return i end",
        "coroutine.create(function() end)",
        "coroutine.wrap(function() return {} end)",
        "coroutine.wrap(function() return {} end)()",
        "cjson.encode({i, 'x'})",
        "cjson.encode({['x' .. i] = i})",
        "cjson.decode('[1,{\"a\":2},[3]]')",
        "cjson.new()",
        "cmsgpack.pack(i, 'x')",
        "cmsgpack.unpack('\\147\\1\\2\\3')",
        "struct.pack('ii', i, i)",
        "bit.tohex(i)",
        "redis.call('GET', i)",
        "redis.pcall('ERROR', i)",
        "redis.sha1hex(i)",
        "redis.error_reply('x ' .. i)",
        "redis.status_reply('x' .. i)",
        "assert(loadstring('return ' .. i))",
        "assert(load(function() return nil end))",
        "{pcall(error, {i})}",
        "{xpcall(error, function(e) return {e} end, 'e' .. i)}",
    ];

    /// Functions that ask for more than the limit at once, or in their own way.
    const BODIES: [&str; 34] = [
        "return ('x'):rep(1e8)",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(1e6) return s .. s .. s .. s .. s",
        "local s = ('x'):rep(1e6) return ('%s%s%s%s%s'):format(s, s, s, s, s)",
        "return (('x'):rep(1e5):gsub('x', ('y'):rep(1000)))",
        "return (('x'):rep(1e5):gsub('x', function() return ('y'):rep(1000) end))",
        "local s = ('x'):rep(1e6) return table.concat({s, s, s, s, s})",
        "local s, t = ('x'):rep(1e6), {} for i = 1, 20 do t[i] = s end return table.concat(t)",
        "return {cmsgpack.unpack(('\\1'):rep(7000)), ('x'):rep(5e6)}",
        "local function f(...) return 1 + f(1, 2, 3, ...) end f()",
        "local function f() return 1 + f() end f()",
        "local t = {} for i = 1, 1e7 do t[i] = i end",
        "local t = {} for i = 1, 1e7 do t['k' .. i] = i end",
        "local t = {} for i = 1, 1e7 do rawset(t, i, i) end",
        "local t = {} for i = 1, 1e7 do table.insert(t, i) end",
        "local t = {} for i = 1, 1e7 do table.insert(t, 1, i) if i % 100 == 0 then t[i * 1000] = {t[i]} end \
         t['x' .. i] = i end",
        "local t = {} ('x'):rep(1e6):gsub('.', function() t[#t + 1] = {} end)",
        "local t, u = {3, 2, 1}, {} while true do table.sort(t, function(a, b) u[#u + 1] = {} return a < b end) end",
        "local t, f = {}, coroutine.wrap(function() while true do coroutine.yield({}) end end) \
         while true do t[#t + 1] = f() end",
        "coroutine.wrap(function() return ('x'):rep(1e8) end)()",
        "local ok, e = coroutine.resume(coroutine.create(function() return ('x'):rep(1e8) end)) error(e, 0)",
        "local ok, e = pcall(string.rep, 'x', 1e8) error(e, 0)",
        "local ok, e = xpcall(function() return ('x'):rep(1e8) end, function(e) return e end) error(e, 0)",
        "error(('x'):rep(1e6) .. ('y'):rep(1e6) .. ('z'):rep(2e6))",
        "error({err = ('x'):rep(1e8)})",
        "return setmetatable({}, {__index = function() return ('x'):rep(1e8) end}).x",
        "return setmetatable({}, {__concat = function() return ('x'):rep(1e8) end}) .. 'x'",
        "local t = {('x'):rep(1e5)} for i = 1, 15 do t = {t, t} end return cjson.encode(t)",
        "local t = {('x'):rep(1e5)} for i = 1, 15 do t = {t, t} end return cmsgpack.pack(t)",
        "local s = ('x'):rep(1e6) return struct.pack('ssssss', s, s, s, s, s, s)",
        "local s = ('x'):rep(1e6) return redis.call('SET', s, s, s, s, s)",
        "local s = ('x'):rep(1e6) return load(function() return s end)",
        "return loadstring('return {' .. ('{},'):rep(5e5) .. '}')()",
        "local s = ('[1],'):rep(2e5) return cjson.decode('[' .. s .. s .. '1]')",
    ];

    fn limited(limit: usize) -> (FunctionEngine, Echo) {
        let engine = engine();
        engine.vm().set_memory_limit(limit);
        (engine, Echo::default())
    }

    /// Calls `f` with this body: the text of its refusal, and that the VM goes on below the limit.
    fn refused(body: &str) -> String {
        let (mut engine, mut host) = limited(LIMIT);
        let fine = load(&mut engine, "return ('x'):rep(3e5):sub(1, 3) .. cjson.encode({KEYS[1]})", &mut host);
        let slot = load(&mut engine, body, &mut host);
        let before = refusals();
        let text = call(&engine, slot, &mut host).expect_err(body);
        assert!(engine.vm().memory() <= LIMIT, "{body}");
        assert!(refusals() > before, "{body}");
        assert_eq!(call(&engine, fine, &mut host), Ok("xxx[\"key\"]".to_owned()), "after {body}");
        engine.vm().stack.collect(Collect::Full, 0);
        assert!(engine.vm().memory() < LIMIT * 2 / 3, "{body}: {}", engine.vm().memory());
        text
    }

    #[test]
    fn what_is_kept_without_end_is_refused_and_others_go_on() {
        for kept in KEPT {
            let text = refused(&format!("local keep = {{}} for i = 1, 1e9 do keep[i] = {kept} end"));
            assert_eq!(text, format!("{TEXT} script: f, on @user_function:2."), "{kept}");
        }
    }

    #[test]
    fn what_asks_for_too_much_at_once_is_refused_and_others_go_on() {
        for body in BODIES {
            let text = refused(body);
            assert!(text.starts_with(TEXT), "{body}: {text}");
        }
    }

    #[test]
    fn what_a_script_says_itself_is_not_taken_for_a_refusal() {
        let (mut engine, mut host) = limited(LIMIT);
        let before = refusals();
        for (said, level, answer) in [
            ("the disk driver says: not enough memory", 0, "ERR the disk driver says: not enough memory"),
            (
                "the disk driver says: not enough memory",
                1,
                "ERR user_function:2: the disk driver says: not enough memory",
            ),
            ("7: not enough memory", 0, "ERR 7: not enough memory"),
            (":7: not enough memory", 0, "ERR :7: not enough memory"),
            ("x: 7: not enough memory", 0, "ERR x: 7: not enough memory"),
            ("there is not enough memory", 0, "ERR there is not enough memory"),
            ("not enough memory: none", 0, "ERR not enough memory: none"),
        ] {
            let slot = load(&mut engine, &format!("error('{said}', {level})"), &mut host);
            let text = call(&engine, slot, &mut host).unwrap_err();
            assert_eq!(text, format!("{answer} script: f, on @user_function:2."));
        }
        let slot = load(&mut engine, "error({err = 'MINE the cache has not enough memory'})", &mut host);
        assert!(call(&engine, slot, &mut host).unwrap_err().starts_with("MINE the cache"));
        assert_eq!(refusals(), before);
    }

    #[test]
    fn places_are_told_from_other_words() {
        for places in ["", "user_function:2: ", "a:1: b:22: ", "[string \"x\"]:3: "] {
            assert!(are_places(places.as_bytes()), "{places:?}");
        }
        for other in [": ", "2: ", ":2: ", "a: ", "a:2:", "a:2", "a:b: ", "says: a:2: ", "a:2: says: "] {
            assert!(!are_places(other.as_bytes()), "{other:?}");
        }
    }

    /// The VM has words of its own where a stack cannot grow.
    #[test]
    fn a_stack_that_cannot_grow_is_an_error_of_the_vm() {
        let (mut engine, mut host) = limited(LIMIT);
        for (body, words) in [
            ("return select('#', unpack({}, 1, 900000))", "too many results to unpack"),
            ("return select('#', ('x'):rep(5e5):byte(1, -1))", "string slice too long"),
        ] {
            let slot = load(&mut engine, body, &mut host);
            let text = call(&engine, slot, &mut host).unwrap_err();
            assert!(text.starts_with("ERR user_function:2: ") && text.contains(words), "{text}");
            assert!(engine.vm().memory() <= LIMIT);
        }
    }

    /// A refusal at every point of the way: the limit is raised by little until the call goes through.
    #[test]
    fn a_refusal_at_any_moment_leaves_the_vm_whole() {
        for kept in KEPT {
            let (mut engine, mut host) = limited(0);
            let body = format!("local keep = {{}} for i = 1, 100 do keep[i] = {kept} end return #keep");
            let slot = load(&mut engine, &body, &mut host);
            let fine = load(&mut engine, "return cjson.encode({KEYS[1]})", &mut host);
            let expected = call(&engine, slot, &mut host);
            let mut refusals = 0;
            for room in (0..).step_by(4_000) {
                engine.vm().set_memory_limit(0);
                engine.vm().stack.collect(Collect::Full, 0);
                engine.vm().set_memory_limit(engine.vm().memory() + room);
                let result = call(&engine, slot, &mut host);
                let refused = result.as_ref().is_err_and(|text| text.starts_with(TEXT));
                assert!(refused || result == expected, "{kept}: {result:?}");
                refusals += usize::from(refused);
                engine.vm().set_memory_limit(0);
                assert_eq!(call(&engine, fine, &mut host), Ok("[\"key\"]".to_owned()), "{kept}");
                if !refused {
                    break;
                }
            }
            assert!(refusals > 0, "{kept}");
        }
    }

    #[test]
    fn garbage_is_not_held_against_a_call() {
        let (mut engine, mut host) = limited(4 << 20);
        for body in [
            "for i = 1, 100 do local s = ('x'):rep(5e5) .. i end return 'done'",
            "for i = 1, 2e5 do local t = {i} end return 'done'",
            "for i = 1, 50 do pcall(string.rep, 'x', 3e6) pcall(string.rep, 'x', 1e6) end return 'done'",
            "collectgarbage('stop') for i = 1, 100 do local s = ('x'):rep(5e5) .. i end return 'done'",
        ] {
            let slot = load(&mut engine, body, &mut host);
            for _ in 0..3 {
                assert_eq!(call(&engine, slot, &mut host), Ok("done".to_owned()), "{body}");
            }
        }
    }

    #[test]
    fn a_library_over_the_limit_is_refused_and_leaves_nothing() {
        let (mut engine, mut host) = limited(LIMIT);
        let slot = load(&mut engine, "return 'here'", &mut host);
        let before = engine.vm().memory();
        for body in [
            "local t = {} for i = 1, 1e7 do t[i] = {} end".to_owned(),
            "for i = 1, 1e6 do redis.register_function('f' .. i, function() return i end) end".to_owned(),
            format!(
                "redis.register_function('g', function() return {{ {} }} end)",
                (0..100_000).map(|number| format!("'{number}',")).collect::<String>()
            ),
        ] {
            let refused = engine.load(format!("\n{body}").as_bytes(), None, &mut host).unwrap_err();
            assert_eq!(String::from_utf8(refused.0).unwrap(), TEXT);
            assert_eq!(call(&engine, slot, &mut host), Ok("here".to_owned()));
        }
        engine.vm().stack.collect(Collect::Full, 0);
        assert!(engine.vm().memory() < before + (256 << 10), "{before} {}", engine.vm().memory());
        assert_eq!(load(&mut engine, "return 1", &mut host), slot + 1);
    }

    #[test]
    fn a_source_whose_compilation_could_take_too_much_is_refused() {
        let (mut engine, mut host) = limited(LIMIT);
        for (function, argument) in [("loadstring", "s"), ("load", "function() s, t = nil, s return t end")] {
            for (length, fits) in [(60_000, true), (120_000, false)] {
                let body = format!("local s, t = 'return 1 ' .. (' '):rep({length}) return {function}({argument})()");
                let slot = load(&mut engine, &body, &mut host);
                let result = call(&engine, slot, &mut host);
                assert_eq!(result.is_ok(), fits, "{body}: {result:?}");
                assert!(fits || result.unwrap_err().starts_with(TEXT));
            }
        }
    }

    #[test]
    fn arguments_over_the_limit_are_refused() {
        let (mut engine, mut host) = limited(LIMIT);
        let slot = load(&mut engine, "return #ARGV", &mut host);
        let large: Vec<Vec<u8>> = (0..5).map(|number| vec![number; LIMIT / 4]).collect();
        let mut last = super::super::tests::Last::default();
        let mut call = |count: usize| {
            let arguments = large[..count].iter().map(Vec::as_slice);
            engine.call(slot, "f", [].into_iter(), arguments, &mut host, &mut last)
        };
        assert_eq!(String::from_utf8(call(5).unwrap_err().0).unwrap(), TEXT);
        assert_eq!(call(1), Ok(()));
    }

    #[test]
    fn a_limit_below_what_is_used_takes_nothing_away() {
        let (mut engine, mut host) = limited(0);
        let body = "\nlocal t = {} for i = 1, 1e5 do t[i] = i end \
                    redis.register_function('f', function() return #t end) \
                    redis.register_function('g', function() return ('x'):rep(1e6) end)";
        let slots: Vec<u32> =
            engine.load(body.as_bytes(), None, &mut host).unwrap().functions.iter().map(|f| f.slot).collect();
        engine.vm().set_memory_limit(1 << 20);
        assert!(engine.vm().memory() > 1 << 20);
        assert_eq!(call(&engine, slots[0], &mut host), Ok("100000".to_owned()));
        assert!(call(&engine, slots[1], &mut host).unwrap_err().starts_with(TEXT));
        engine.vm().set_memory_limit(8 << 20);
        assert_eq!(call(&engine, slots[1], &mut host).map(|text| text.len()), Ok(1_000_000));
    }

    #[test]
    fn a_deep_result_is_written_at_the_limit() {
        let (mut engine, mut host) = limited(0);
        let slot = load(&mut engine, "local t = {} for i = 1, 1500 do t = {t} end return t", &mut host);
        let mut refusals = 0;
        for room in (0..600_000).step_by(4_000) {
            engine.vm().set_memory_limit(0);
            engine.vm().stack.reset();
            engine.vm().fix_slots();
            engine.vm().stack.collect(Collect::Full, 0);
            engine.vm().set_memory_limit(engine.vm().memory() + room);
            match call(&engine, slot, &mut host) {
                Ok(text) => assert_eq!(text, "*0"),
                Err(text) => {
                    assert!(text.starts_with(TEXT), "{text}");
                    refusals += 1;
                }
            }
        }
        assert!(refusals > 0);
    }

    #[test]
    fn a_panic_at_the_limit_leaves_the_vm_usable() {
        let (mut engine, mut host) = limited(LIMIT);
        let body = "local t = {} pcall(function() while true do t[#t + 1] = {} end end) redis.call('PANIC')";
        let slot = load(&mut engine, body, &mut host);
        let fine = load(&mut engine, "return 'fine'", &mut host);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&engine, slot, &mut host)));
        assert!(panicked.is_err());
        engine.vm().stack.collect(Collect::Full, 0);
        assert_eq!(call(&engine, fine, &mut host), Ok("fine".to_owned()));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let (mut engine, mut host) = limited(LIMIT);
        engine.vm().set_memory_limit(0);
        let slot = load(&mut engine, "return ('x'):rep(3e7)", &mut host);
        assert_eq!(call(&engine, slot, &mut host).map(|text| text.len()), Ok(30_000_000));
    }
}
