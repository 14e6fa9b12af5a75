//! Every request of a VM for memory refused once: what a limit can do to each operation.
//!
//! For each operation the first request is refused, then the second, and so on until it gets through. Each time it
//! ends with the words for a refusal, or as it does otherwise (the VM goes without some of what it asks for); other
//! functions go on; and the VM holds what it held before. A VM without a limit is refused nothing: where the server's
//! allocator has nothing, the process ends. So nothing is refused while a VM is built, which has no limit yet.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::stack::{Collect, REFUSED};
use super::vm::ROOT;
use super::*;

/// So much that nothing is refused that is not to be: room for a piece of machine code, too.
const LIMIT: usize = 1 << 30;

/// What a VM may hold more after an operation and a collection than before it, in bytes: tables of strings and stacks
/// keep their sizes for a while.
const SLACK: usize = 4 << 10;

/// What one operation ends with: a reply, or the text of an error.
type End = Result<String, String>;

/// Replies to `REPLY` with the bytes of its argument, and panics at `PANIC`. `RING` rings the alarm, and the call is
/// ended then. To all else it replies with `OK`.
#[derive(Default)]
struct Replies {
    reply: Vec<u8>,
    ends: bool,
}

impl Host for Replies {
    fn call(&mut self, name: &CStr, arguments: &[&[u8]], _: CallMode, caller: Caller) -> &[u8] {
        self.reply = b"+OK\r\n".to_vec();
        match name.to_bytes() {
            b"REPLY" => self.reply = arguments[1].to_vec(),
            b"RING" => {
                self.ends = true;
                alarm::arm(caller.0);
            }
            // Nothing is printed for one that is resumed.
            b"PANIC" => resume_unwind(Box::new("the host panics")),
            _ => {}
        }
        &self.reply
    }

    fn tick(&mut self) -> Tick {
        if self.ends { Tick::Kill("ended as was asked") } else { Tick::Silence }
    }

    fn permits(&mut self, _: &[&[u8]]) -> Permission {
        Permission::Granted
    }
}

/// Keeps all items of a reply, as text.
#[derive(Default)]
struct Items(String);

impl Sink for Items {
    fn put(&mut self, item: Item<'_>) {
        self.0 += &match item {
            Item::Bulk(text) | Item::Status(text) | Item::Error(text) => format!("{} ", String::from_utf8_lossy(text)),
            other => format!("{other:?} "),
        };
    }
}

/// A VM of either kind.
trait Subject: Engine {
    /// Loads the body of one function.
    fn prepare(&mut self, body: &str) -> Result<u32, String>;

    /// Calls it with these keys.
    fn run_with(&self, slot: u32, keys: &[&[u8]]) -> End;

    fn run(&self, slot: u32) -> End {
        self.run_with(slot, &[b"key"])
    }

    fn forget(&mut self, slot: u32);
}

fn text(error: ScriptError) -> String {
    String::from_utf8_lossy(&error.0).into_owned()
}

const ARGUMENTS: [&[u8]; 2] = [b"one", b"two"];

impl Subject for FunctionEngine {
    fn prepare(&mut self, body: &str) -> Result<u32, String> {
        let body = format!("\nredis.register_function('f', function(KEYS, ARGV) {body} end)");
        let loaded = self.load(body.as_bytes(), None, &mut NoServer).map_err(text)?;
        Ok(loaded.functions[0].slot)
    }

    fn run_with(&self, slot: u32, keys: &[&[u8]]) -> End {
        let (mut host, mut items) = (Replies::default(), Items::default());
        let result = self.call(slot, "f", keys.iter().copied(), ARGUMENTS.into_iter(), &mut host, &mut items);
        result.map(|()| items.0).map_err(text)
    }

    fn forget(&mut self, slot: u32) {
        self.release([slot]);
    }
}

impl Subject for ScriptEngine {
    fn prepare(&mut self, body: &str) -> Result<u32, String> {
        self.load(body.as_bytes()).map(|compiled| compiled.slot).map_err(text)
    }

    fn run_with(&self, slot: u32, keys: &[&[u8]]) -> End {
        let (mut host, mut items) = (Replies::default(), Items::default());
        let result = self.call(slot, "f", keys.iter().copied(), ARGUMENTS.into_iter(), &mut host, &mut items);
        result.map(|()| items.0).map_err(text)
    }

    fn forget(&mut self, slot: u32) {
        self.release([slot]);
    }
}

fn functions() -> FunctionEngine {
    let engine = FunctionEngine::new(Dialect::default()).unwrap();
    engine.vm().set_memory_limit(LIMIT);
    engine
}

fn scripts() -> ScriptEngine {
    let engine = ScriptEngine::new(Dialect::default()).unwrap();
    engine.vm().set_memory_limit(LIMIT);
    engine
}

/// What else runs in the VM. It looks at all that is shared, too.
const WITNESS: &str = "
    local names = {}
    for name, value in next, _G do
        names[#names + 1] = name .. ' ' .. type(value)
        if type(value) == 'table' then
            for member, inner in next, value do names[#names + 1] = name .. '.' .. member .. ' ' .. type(inner) end
        end
    end
    table.sort(names)
    return redis.sha1hex(table.concat(names)) .. cjson.encode({('x'):rep(300):sub(1, 3), KEYS[1]})";

/// Bytes that the VM holds and something refers to.
fn held(vm: &Vm) -> usize {
    vm.stack.collect(Collect::Full, 0);
    vm.stack.memory()
}

/// Whether an operation that ends like this was refused memory: it says so, or a script has caught it and says so.
fn tells_refusal(end: &End, callable: Callable) -> bool {
    match end {
        Err(text) if text.as_bytes().starts_with(out_of_memory(callable)) => true,
        Ok(text) | Err(text) => {
            text.contains(std::str::from_utf8(REFUSED).unwrap()) || text.contains("error in error handling")
        }
    }
}

/// [`refuse_each_after`] nothing.
fn refuse_each<S: Subject>(name: &str, subject: &mut S, operation: impl FnMut(&mut S) -> End) -> u64 {
    refuse_each_after(name, subject, |_| {}, operation)
}

/// Runs an operation over and over, each time with another of its requests refused, and then without. What it needs is
/// made before it each time. How many requests there were.
fn refuse_each_after<S: Subject>(
    name: &str,
    subject: &mut S,
    mut before_each: impl FnMut(&mut S),
    mut operation: impl FnMut(&mut S) -> End,
) -> u64 {
    let witness = subject.prepare(WITNESS).unwrap();
    let seen = subject.run(witness).unwrap();
    before_each(subject);
    let expected = operation(subject);
    let before = held(subject.vm());
    for number in 0.. {
        before_each(subject);
        let (end, came) = refusing(number, || operation(subject));
        assert_eq!(subject.vm().stack.top(), ROOT, "{name}, request {number}");
        if !came {
            assert_eq!(end, expected, "{name}: after {number} refusals");
            subject.forget(witness);
            return number;
        }
        assert!(
            end == expected || tells_refusal(&end, S::CALLABLE),
            "{name}, request {number}: {end:?}, not {expected:?}"
        );
        assert_eq!(subject.run(witness).as_ref(), Ok(&seen), "{name}: after request {number} was refused");
        let after = held(subject.vm());
        assert!(after <= before + SLACK, "{name}, request {number}: {before} to {after} bytes");
    }
    unreachable!("numbers do not end")
}

/// [`refuse_each`] of a call of what has this body.
fn refuse_in_call<S: Subject>(body: &str, subject: &mut S) -> u64 {
    let slot = subject.prepare(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    let count = refuse_each(body, subject, |subject| subject.run(slot));
    subject.forget(slot);
    count
}

/// What functions and scripts can do. Each function that they have is named in one of these.
const BODIES: &[&str] = &[
    // The language.
    "local t = {} for i = 1, 100 do t[i] = i .. '' t['k' .. i] = {i} end return #t",
    "local s = '' for i = 1, 20 do s = s .. i .. KEYS[1] end return s",
    "local f = function(...) return select('#', ...), ... end return {f(unpack({1, 2, 3}))}",
    "local function f(n) if n > 0 then return 1 + f(n - 1) end return 0 end return f(150)",
    "local t = setmetatable({}, {__index = function(t, k) return {k .. 'x'} end, __call = function() return 'y' end, \
     __concat = function(a, b) return 'z' .. b end, __eq = function() return true end}) return t.a[1] .. t() .. (t .. 'w')",
    "return `{KEYS[1]} and {1 / 3}`",
    "local up = {} for i = 1, 50 do up[i] = function() return i .. 'up' end end return up[50]()",
    "return nosuch",
    "local n = nil return n.x",
    "local n = {} return n + 1",
    "return {} < 'x'",
    // Globals.
    "assert(true) return assert('x', 'y')",
    "assert(false, 'message ' .. KEYS[1])",
    "collectgarbage() collectgarbage('step', 10) collectgarbage('stop') collectgarbage('restart') \
     collectgarbage('setpause', 100) return collectgarbage('count') > 0",
    "return gcinfo() > 0",
    "error('message ' .. KEYS[1])",
    "error({err = 'MINE ' .. KEYS[1]})",
    "error({}, 2)",
    "return tostring(getmetatable(setmetatable({}, {__metatable = 'x' .. KEYS[1]})))",
    "local s = '' for i, v in ipairs({'a', 'b'}) do s = s .. v end for k, v in pairs({x = 'y'}) do s = s .. k .. v end \
     return s .. next({z = 1})",
    "return assert(loadstring('return ' .. #KEYS[1] .. ' + 1'))()",
    "return select(2, loadstring('return ('))",
    "local parts = {'return ', '\"loaded\"'} local i = 0 return assert(load(function() i = i + 1 return parts[i] end))()",
    "return {pcall(error, {err = 'x' .. KEYS[1]})}",
    "return {pcall(function() return ('y'):rep(100), {1}, KEYS[1] .. 'z' end)}",
    "return {xpcall(function() error('e' .. KEYS[1]) end, function(e) return {e .. 'handled'} end)}",
    "return {xpcall(error, {})}",
    "return rawequal(KEYS, ARGV) or rawget({x = 'y' .. KEYS[1]}, 'x') .. #rawset({}, 'key', 'value')",
    "return tonumber('12') + tonumber('ff', 16) .. tostring(1.5) .. tostring(nil) .. type(KEYS)",
    "return #tostring({}) + #tostring(print or type)",
    "return tostring(setmetatable({}, {__tostring = function() return 'mine ' .. KEYS[1] end}))",
    // Strings.
    "return {string.byte('a longer text', 1, -1)}",
    "return string.char(65, 66, 67, 68, 69) .. KEYS[1]",
    "return string.find('a long text with words', '(w%a+)')",
    "return {string.find('key=value', '(%w+)=(%w+)')}",
    "return string.format('%d %5.2f %s %q %x', 12, 1.5, KEYS[1], 'quoted\\n', 255)",
    "return string.format('%s', ('x'):rep(2000))",
    "local t = {} for word in string.gmatch('one two three', '%a+') do t[#t + 1] = word .. '!' end return t",
    "local t = {} for k, v in string.gfind('a=1, b=2', '(%w+)=(%w+)') do t[#t + 1] = k .. v end return t",
    "return (string.gsub('hello world', 'o', '0'))",
    "return (string.gsub('hello world', '(o)(.?)', '<%2%1>'))",
    "return (string.gsub('hello world', '%a', function(c) return c .. c end))",
    "return (string.gsub('$name is $age', '%$(%w+)', {name = 'x' .. KEYS[1], age = 7}))",
    "return (string.gsub(('x'):rep(3000), 'x', 'yz'))",
    "return string.len(KEYS[1]) .. string.lower('ABC' .. KEYS[1]) .. string.upper('abc' .. KEYS[1])",
    "return string.lower(('X'):rep(2000)) .. string.upper(('x'):rep(2000))",
    "return {string.match('2026-11-29', '(%d+)-(%d+)-(%d+)')}",
    "return string.rep('ab' .. KEYS[1], 40) .. string.rep('x', 5000)",
    "return string.reverse('abc' .. KEYS[1]) .. string.sub('abcdef', 2, 4) .. ('y'):rep(900):reverse():sub(2)",
    "return string.dump(function() end)",
    // Tables.
    "local t = {} for i = 1, 30 do t[i] = 'e' .. i end return table.concat(t, ', ')",
    "local t = {} table.foreach({a = 'b'}, function(k, v) t[#t + 1] = k .. v end) \
     table.foreachi({'c'}, function(i, v) t[#t + 1] = i .. v end) return t",
    "local t = {1, 2, 3} return table.getn(t) + table.maxn(t)",
    "return {pcall(table.setn, {}, 1)}",
    "local t = {} for i = 1, 40 do table.insert(t, i .. '') table.insert(t, 1, {i}) end return #t",
    "local t = {1, 2, 3} return table.remove(t) + table.remove(t, 1)",
    "local t = {} for i = 1, 40 do t[i] = (i * 37) % 41 end table.sort(t) return t",
    "local t, kept = {}, {} for i = 1, 20 do t[i] = (i * 37) % 41 end \
     table.sort(t, function(a, b) kept[#kept + 1] = {a .. ''} return a > b end) return t",
    "local t = {} for i = 1, 20 do t[i] = 's' .. (i * 37) % 41 end table.sort(t) return t",
    // Numbers.
    "return math.abs(-1) + math.acos(1) + math.asin(0) + math.atan(0) + math.atan2(0, 1) + math.ceil(1.5) + math.cos(0) \
     + math.cosh(0) + math.deg(0) + math.exp(0) + math.floor(1.5) + math.fmod(5, 3) + math.mod(5, 3) + math.frexp(8) \
     + math.ldexp(1, 2) + math.log(1) + math.log10(1) + math.max(1, 2) + math.min(1, 2) + math.modf(1.5) \
     + math.pow(2, 2) + math.rad(0) + math.sin(0) + math.sinh(0) + math.sqrt(4) + math.tan(0) + math.tanh(0)",
    "math.randomseed(7) return math.random() < 1 and math.random(10) <= 10 and math.random(5, 6)",
    "return bit.tobit(1) + bit.bnot(1) + bit.band(1, 3) + bit.bor(1, 2) + bit.bxor(1, 3) + bit.lshift(1, 2) \
     + bit.rshift(8, 1) + bit.arshift(8, 1) + bit.rol(1, 2) + bit.ror(4, 1) + bit.bswap(1) .. bit.tohex(255)",
    // Coroutines.
    "local f = coroutine.wrap(function(a) local b = coroutine.yield(a .. 'x') return b .. 'y' end) return f('1') .. f('2')",
    "local co = coroutine.create(function() local t = {} for i = 1, 10 do t[i] = {i} coroutine.yield(#t) end end) \
     local n = 0 for i = 1, 5 do local _, m = assert(coroutine.resume(co)) n = n + m end return n .. coroutine.status(co)",
    "return {coroutine.resume(coroutine.create(function() error('inside ' .. KEYS[1]) end))}",
    "return coroutine.wrap(function() return tostring(coroutine.running() ~= nil) .. ('x'):rep(50) end)()",
    "local co = coroutine.wrap(function() local function f(n) if n > 0 then return 1 + f(n - 1) end \
     coroutine.yield('deep') return 0 end return f(60) end) return co() .. co()",
    "local t = {} for i = 1, 10 do t[i] = coroutine.wrap(function() coroutine.yield(i .. '') end)() end return t",
    // JSON.
    "return cjson.encode({1, 'two', {three = 3.5, ok = true}, cjson.null, ('x'):rep(500)})",
    "local t = cjson.decode('{\"a\": [1, 2.5, \"three\", null, true], \"b\": {\"c\": \"d\"}}') return t.a[3] .. t.b.c",
    "return {pcall(cjson.decode, '[1, 2')}",
    "return {pcall(cjson.encode, {function() end})}",
    "cjson.encode_keep_buffer(false) cjson.encode_max_depth(10) cjson.encode_number_precision(5) \
     cjson.encode_invalid_numbers(true) cjson.encode_sparse_array(true, 2, 3) cjson.decode_max_depth(10) \
     cjson.decode_invalid_numbers(true) return cjson.encode({1 / 3, [9] = 1 / 0})",
    "local mine = cjson.new() mine.encode_number_precision(3) return mine.encode({1 / 3}) .. #mine.decode('[[1],[2]]')",
    // Packed bytes.
    "return cmsgpack.pack(1, 'two', {3, {four = 5.5}}, nil, true, ('x'):rep(500))",
    "local t = {cmsgpack.unpack(cmsgpack.pack({a = {1, 2, {b = 'c' .. KEYS[1]}}}, 'two', 3.5))} return {t[1].a[3].b, t[2]}",
    "local packed = cmsgpack.pack(1, 'two', {3}) return {cmsgpack.unpack_one(packed), cmsgpack.unpack_limit(packed, 2, 0)}",
    "return {pcall(cmsgpack.unpack, '\\147\\1\\2')}",
    "return #struct.pack('>i4 s c0', 7, 'text' .. KEYS[1], ('x'):rep(300)) + struct.size('i4 d')",
    "return {struct.unpack('>i4 s', struct.pack('>i4 s', 7, 'text' .. KEYS[1]))}",
    // The server.
    "return redis.call('SET', KEYS[1], 'value', 1, 2.5, ARGV[1], ARGV[2], 'x', 'y', 'z', ('w'):rep(300))",
    "return redis.pcall('REPLY', '-WRONG it is\\r\\n')",
    "return {pcall(redis.call, 'REPLY', '-WRONG it is\\r\\n')}",
    "redis.call('REPLY', '-WRONG it is\\r\\n')",
    "return {redis.pcall(), pcall(redis.call)}",
    "return redis.error_reply('MINE ' .. KEYS[1])",
    "return redis.status_reply('fine ' .. KEYS[1])",
    "redis.log(redis.LOG_NOTICE, 'one ' .. KEYS[1], 'two') return redis.sha1hex('x' .. KEYS[1])",
    "redis.call('RING') local t = {} for i = 1, 1e7 do t = {i, t} end return #t",
    "redis.call('RING') return {pcall(function() local t = {} for i = 1, 1e7 do t = {i, t} end end)}",
    "redis.call('RING') coroutine.wrap(function() for i = 1, 1e7 do local t = {i} end end)() return 'caught'",
    "redis.setresp(3) redis.set_repl(redis.REPL_ALL) return redis.acl_check_cmd('get', KEYS[1])",
];

/// Raw replies of commands, in RESP2 and RESP3.
const REPLIES: &[&str] = &[
    "+OK\r\n",
    "-ERR no\r\n",
    ":42\r\n",
    "$5\r\nhello\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*3\r\n:1\r\n$3\r\ntwo\r\n*2\r\n+three\r\n-ERR four\r\n",
    "*9\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n$5\r\nninth\r\n",
    "_\r\n",
    "#t\r\n",
    ",1.5\r\n",
    "(12345678901234567890\r\n",
    "=8\r\ntxt:text\r\n",
    "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n%1\r\n$1\r\nc\r\n~1\r\n:1\r\n",
    "~3\r\n:1\r\n$3\r\ntwo\r\n:3\r\n",
    "|1\r\n$1\r\na\r\n:1\r\n*2\r\n:1\r\n$3\r\ntwo\r\n",
];

/// What functions return: a reply of each kind.
const RESULTS: &[&str] = &[
    "return",
    "return 'text ' .. KEYS[1]",
    "return 7.9",
    "return true",
    "return false",
    "return {}",
    "return {1, 'two', {3, {4, {5}}}, false, 'x' .. KEYS[1]}",
    "local t = {} for i = 1, 400 do t[i] = 'e' .. i end return t",
    "local t = {} for i = 1, 300 do t = {t, i} end return t",
    "return {ok = 'fine ' .. KEYS[1]}",
    "return {err = 'MINE ' .. KEYS[1]}",
    "return {'a', {err = 'ERR inside'}, {ok = 'inside'}}",
    "redis.setresp(3) return true",
    "redis.setresp(3) return {double = 1.5}",
    "redis.setresp(3) return {big_number = '12345678901234567890'}",
    "redis.setresp(3) return {verbatim_string = {format = 'txt', string = 'text ' .. KEYS[1]}}",
    "redis.setresp(3) return {map = {a = 1, b = {map = {c = {set = {d = true}}}}}}",
    "redis.setresp(3) return {set = {a = true, b = true}}",
];

/// Bodies of libraries: what can be done while one is loaded.
const LIBRARIES: &[&str] = &[
    "redis.register_function('f', function() end)",
    "redis.register_function{function_name = 'f', callback = function() end, flags = {'no-writes', 'allow-stale'}, \
     description = 'a text that says what it does'}",
    "for i = 1, 20 do redis.register_function('f' .. i, function(keys, args) return i end) end",
    "local kept, t = {}, {1, 2, {three = 'four'}} \
     redis.register_function('f', function(keys) kept[#kept + 1] = keys[1] return t end)",
    "redis.log(redis.LOG_NOTICE, 'loading')  redis.register_function('f', function() return redis.call('GET', 'x') end)",
    "redis.register_function('f', function() end) error('no')",
    "redis.register_function('f', function() end) redis.register_function('f', function() end)",
    "redis.register_function('not a name', function() end)",
    "x = 1",
    "return nosuch",
    "return (",
];

/// Whole texts of scripts.
const SCRIPTS: &[&str] =
    &["return 1", "return {KEYS[1], ARGV[1]}", "local t = {1, 2, {3, 'four'}} return t", "return ("];

/// The names of all functions that a program of this VM has.
fn names<S: Subject>(subject: &mut S) -> Vec<String> {
    let body = "local names = {}
        for name, value in next, _G do
            if type(value) == 'function' then names[#names + 1] = name end
            if type(value) == 'table' and name ~= '_G' then
                for member, inner in next, value do
                    if type(inner) == 'function' then names[#names + 1] = name .. '.' .. member end
                end
            end
        end
        return table.concat(names, ' ')";
    let slot = subject.prepare(body).unwrap();
    subject.run(slot).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// What only scripts have.
const OF_SCRIPTS: &[&str] = &[
    "redis.debug('x' .. KEYS[1]) return redis.breakpoint() or redis.replicate_commands()",
    "return {__redis__err__handler('x' .. KEYS[1]).err, __redis__err__handler({err = 'y'}).err}",
];

#[test]
fn every_function_that_there_is_has_its_turn() {
    let text = [BODIES, OF_SCRIPTS].concat().join("\n");
    let named = |name: &String| {
        [format!("{name}("), format!("{name},"), format!("{name}{{")].iter().any(|form| text.contains(form.as_str()))
    };
    for all in [names(&mut functions()), names(&mut scripts())] {
        assert!(all.len() > 100, "{all:?}");
        let missing: Vec<_> = all.into_iter().filter(|name| !named(name)).collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}

/// [`refuse_in_call`] of all these; how many requests there were. Nothing adds up in the VM.
fn refuse_in_calls<S: Subject>(bodies: &[&str], subject: &mut S) -> u64 {
    let mut run = |body: &str, refuses: bool| {
        let slot = subject.prepare(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        let count = if refuses {
            refuse_each(body, subject, |subject| subject.run(slot))
        } else {
            // Its error is compared later.
            let _ = subject.run(slot);
            0
        };
        subject.forget(slot);
        (count, held(subject.vm()))
    };
    let before = bodies.iter().map(|body| run(body, false).1).last();
    let (counts, after): (Vec<u64>, Vec<usize>) = bodies.iter().map(|body| run(body, true)).unzip();
    let (before, after) = (before.unwrap(), *after.last().unwrap());
    assert!(after <= before + SLACK, "{before} to {after} bytes");
    counts.iter().sum()
}

#[test]
fn calls_are_refused_at_every_request() {
    let bodies = [BODIES, RESULTS].concat();
    let of_functions = refuse_in_calls(&bodies, &mut functions());
    let of_scripts = refuse_in_calls(&[&bodies, OF_SCRIPTS].concat(), &mut scripts());
    println!("{of_functions} requests of functions and {of_scripts} of scripts were refused");
    assert!(of_functions > 2_000 && of_scripts > 2_000, "{of_functions} {of_scripts}");
}

fn refuse_with_many_keys<S: Subject>(subject: &mut S) -> u64 {
    let keys: Vec<String> = (0..300).map(|number| format!("a key with the number {number}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let slot = subject.prepare("return #KEYS .. KEYS[300] .. #ARGV").unwrap();
    refuse_each("a call with many keys", subject, |subject| subject.run_with(slot, &keys))
}

#[test]
fn many_keys_are_refused_at_every_request() {
    for count in [refuse_with_many_keys(&mut functions()), refuse_with_many_keys(&mut scripts())] {
        assert!(count > 300, "{count}");
    }
}

fn refuse_with_panic<S: Subject>(subject: &mut S) -> u64 {
    let slot = subject.prepare("local t = {KEYS[1] .. 'x'} redis.call('PANIC') return t").unwrap();
    refuse_each("a call that panics", subject, |subject| {
        let ended = catch_unwind(AssertUnwindSafe(|| subject.run(slot)));
        ended.unwrap_or_else(|_| Err("the panic went through".to_owned()))
    })
}

/// After a panic the VM is put in order, whatever it is refused before.
#[test]
fn calls_that_panic_are_refused_at_every_request() {
    for count in [refuse_with_panic(&mut functions()), refuse_with_panic(&mut scripts())] {
        assert!(count > 3, "{count}");
    }
}

#[test]
fn replies_of_commands_are_refused_at_every_request() {
    let (mut functions, mut scripts, mut count) = (functions(), scripts(), 0);
    for reply in REPLIES {
        for resp in [2, 3] {
            for function in ["call", "pcall"] {
                let reply = reply.replace('\r', "\\r").replace('\n', "\\n");
                let body = format!("redis.setresp({resp}) return redis.{function}('REPLY', '{reply}')");
                count += refuse_in_call(&body, &mut functions);
                count += refuse_in_call(&body, &mut scripts);
            }
        }
    }
    println!("{count} requests were refused");
    assert!(count > 500, "{count}");
}

#[test]
fn loads_are_refused_at_every_request() {
    let (mut engine, mut count) = (functions(), 0);
    let load = |engine: &mut FunctionEngine, body: &str| {
        let loaded = engine.load(body.as_bytes(), None, &mut NoServer).map_err(text)?;
        let names: Vec<_> = loaded.functions.iter().map(|function| function.name.to_string()).collect();
        engine.release(loaded.functions.iter().map(|function| function.slot));
        Ok(names.join(" "))
    };
    for body in LIBRARIES {
        let body = format!("\n{body}");
        count += refuse_each(&body, &mut engine, |engine| load(engine, &body));
    }
    let mut engine = scripts();
    for body in SCRIPTS {
        count += refuse_each(body, &mut engine, |engine| {
            let slot = engine.prepare(body)?;
            engine.forget(slot);
            Ok(String::new())
        });
    }
    println!("{count} requests were refused");
    assert!(count > 200, "{count}");
}

/// Compiling takes something that comes back with the VM only, so each refusal has a VM of its own. The generator asks
/// elsewhere; what is the VM's is the stack on which there is what a function reaches.
#[test]
fn compiling_to_machine_code_is_refused_at_every_request() {
    let body = "
        local reached = {}
        for i = 1, 100 do reached[i] = {function() return i end} end
        redis.register_function('f', function(keys) return #keys[1] + reached[100][1]() .. '' end)";
    for number in 0.. {
        let mut engine = functions();
        let slot = engine.load(body.as_bytes(), None, &mut NoServer).unwrap().functions[0].slot;
        let (done, came) = refusing(number, || engine.vm().compile_native(slot));
        assert!(done || !came, "request {number}");
        assert_eq!(engine.vm().stack.top(), ROOT, "request {number}");
        assert_eq!(engine.run(slot), Ok("103 ".to_owned()), "request {number}");
        while !engine.vm().compile_native(slot) {}
        assert!(engine.vm().native_code().functions > 0, "request {number}");
        assert_eq!(engine.run(slot), Ok("103 ".to_owned()), "request {number}");
        let refused = refuse_each(body, &mut engine, |engine| engine.run(slot));
        assert!(refused > 0);
        if !came {
            assert!(number > 0);
            return println!("{number} requests were refused");
        }
    }
}

/// All that functions do once more, as machine code.
#[test]
fn calls_of_machine_code_are_refused_at_every_request() {
    let (mut engine, mut count) = (functions(), 0);
    for body in BODIES.iter().chain(RESULTS) {
        let slot = engine.prepare(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        while !engine.vm().compile_native(slot) {}
        count += refuse_each(body, &mut engine, |engine| engine.run(slot));
        engine.forget(slot);
    }
    let compiled = engine.vm().native_code();
    assert!(compiled.functions as usize >= BODIES.len(), "{compiled:?}");
    println!("{count} requests were refused");
}

/// The limit itself, in steps smaller than any page: what the VM's allocator refuses is the first to go over it.
#[test]
fn calls_go_on_under_each_limit() {
    /// Bytes.
    const STEP: usize = 512;
    const MOST: usize = 8 << 20;
    let (mut engine, mut count) = (functions(), 0);
    let witness = engine.prepare(WITNESS).unwrap();
    let seen = engine.run(witness);
    for body in BODIES.iter().chain(RESULTS) {
        let slot = engine.prepare(body).unwrap();
        let expected = engine.run(slot);
        held(engine.vm());
        let bytes = engine.vm().memory();
        for more in (0..MOST).step_by(STEP) {
            engine.vm().set_memory_limit(bytes + more);
            let end = engine.run(slot);
            engine.vm().set_memory_limit(LIMIT);
            assert_eq!(engine.vm().stack.top(), ROOT, "{body}, {more}");
            assert_eq!(engine.run(witness), seen, "{body}, {more}");
            if end == expected {
                break;
            }
            assert!(tells_refusal(&end, Callable::Function), "{body}, {more}: {end:?}, not {expected:?}");
            assert!(more + STEP < MOST, "{body} needs no more than that");
            count += 1;
        }
        engine.forget(slot);
    }
    println!("{count} calls were refused");
    assert!(count > 500, "{count}");
}

/// What a new limit collects, and what the collector asks for itself: it makes tables and stacks smaller.
#[test]
fn collections_are_refused_at_every_request() {
    let mut engine = functions();
    let body = "local t = {} for i = 1, 5000 do t[i] = 'string ' .. i end \
                local function f(n) if n > 0 then return 1 + f(n - 1) end return 0 end return f(2000)";
    let slot = engine.prepare(body).unwrap();
    let garbage = |engine: &mut FunctionEngine| assert_eq!(engine.run(slot), Ok("Integer(2000) ".to_owned()));
    let count = refuse_each_after("a lower limit", &mut engine, garbage, |engine| {
        engine.vm().set_memory_limit(1 << 16);
        engine.vm().set_memory_limit(LIMIT);
        Ok(String::new())
    });
    println!("{count} requests were refused");
    assert!(count > 0);
}
