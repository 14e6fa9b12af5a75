//! Where there is a jump, and that nobody can tell it from an exception.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::engine::stack::{Outcome, Stack};
use crate::engine::tests::{Echo, call, engine, load, run};
use crate::engine::vm::{Engine, ROOT, Vm};
use crate::engine::{Dialect, FunctionEngine, ScriptEngine};

thread_local! {
    /// How often there was a jump.
    pub(super) static JUMPS: Cell<u32> = const { Cell::new(0) };
}

/// How many jumps there are where there are `jumps` without ThreadSanitizer, which has none.
const fn expected(jumps: u32) -> u32 {
    if cfg!(sanitized = "thread") { 0 } else { jumps }
}

/// How many jumps there are in `body`.
fn jumps<T>(body: impl FnOnce() -> T) -> (T, u32) {
    let before = JUMPS.get();
    let result = body();
    (result, JUMPS.get() - before)
}

#[test]
fn there_is_a_jump_where_nothing_on_the_way_can_own_anything() {
    let cases = [
        ("pcall(error, 'x')", 1),
        ("pcall(function() error('x') end)", 1),
        ("pcall(function() error({}) end)", 1),
        ("pcall(function() local t = nil + 1 end)", 1),
        ("pcall(cjson.decode, '{bad')", 1),
        ("pcall(redis.call, 'ERROR')", 1),
        ("pcall(setmetatable, 1)", 1),
        ("pcall(next, {}, 'x')", 1),
        ("xpcall(error, function(e) pcall(error, e) return e end)", 2),
        ("pcall(pcall)", 0),
        ("pcall(function() pcall(error) error('x') end)", 2),
        ("coroutine.resume(coroutine.create(function() error('x') end))", 1),
        ("pcall(error, 'x', pcall(nil))", 1),
        (
            "local co = coroutine.create(function() coroutine.yield() error('x') end) \
              coroutine.resume(co) coroutine.resume(co)",
            1,
        ),
        ("local t = setmetatable({}, {__lt = error}) pcall(function() return t < t end)", 1),
        ("local t = setmetatable({}, {__index = function() error('x') end}) pcall(function() return t.x end)", 1),
        ("local function f() return f() + 1 end pcall(f)", 1),
        // Natives between.
        ("pcall(string.gsub, 'x', 'x', function() error('x') end)", 0),
        ("pcall(table.sort, {2, 1}, function() error('x') end)", 0),
        ("local t = setmetatable({}, {__tostring = function() error('x') end}) pcall(tostring, t)", 0),
        ("pcall(string.gsub, 'x', 'x', function() pcall(error, 'x') error('y') end)", 1),
        ("pcall(coroutine.wrap(function() error('x') end))", 1),
        // Raised below a native, by the VM.
        ("pcall(string.rep)", 0),
        ("pcall(string.format, '%d', 'x')", 0),
        // A coroutine that continues with fewer calls than it had, and makes new ones.
        (
            "local co = coroutine.create(function() \
                local function deep(n) if n == 0 then coroutine.yield() else deep(n - 1) return 1 end end \
                deep(5) \
                string.gsub('x', 'x', function() error('x') end) \
             end) coroutine.resume(co) coroutine.resume(co)",
            0,
        ),
    ];
    for (code, usual) in cases {
        let (result, count) = jumps(|| run(&format!("{code} return 'done'")));
        assert_eq!(result, Ok("done".to_owned()), "{code}");
        assert_eq!(count, expected(usual), "{code}");
    }
}

#[test]
fn what_ends_a_call_jumps() {
    for (code, usual) in [
        ("error('x')", 1),
        ("redis.call('ERROR')", 1),
        ("local t = nil + 1", 1),
        ("local function f(n) if n == 0 then error('x') end f(n - 1) return 1 end f(1000)", 1),
        ("table.sort({2, 1}, function() error('x') end)", 0),
        ("coroutine.wrap(function() error('x') end)()", 1),
    ] {
        let (result, count) = jumps(|| run(code));
        assert!(result.is_err(), "{code}");
        assert_eq!(count, expected(usual), "{code}");
    }
}

#[test]
fn a_load_that_fails_does_not_jump() {
    let (result, count) = jumps(|| run("return tostring(loadstring('return )'))"));
    assert_eq!((result, count), (Ok("nil".to_owned()), 0));
}

/// What a native finds at `stack`: the list's length by the VM, and as it is read here.
fn lengths(stack: &Stack) -> (isize, isize) {
    // SAFETY: the state of a native that runs.
    unsafe {
        let state = stack.state.cast::<State>();
        let bytes = (*state).call.byte_offset_from((*state).first_call);
        assert_eq!(bytes % CALL, 0);
        (ffi::lua_stackdepth(stack.state) as isize, bytes / CALL)
    }
}

#[test]
fn a_state_of_the_vm_is_laid_out_as_it_is_read_here() {
    let engine = engine();
    let main = &engine.vm().stack;
    assert_eq!(lengths(main), (0, 0));
    let inner = |stack: &Stack| -> Outcome {
        assert_eq!(lengths(stack), (2, 2));
        stack.push_nil();
        Ok(1)
    };
    let outer = |stack: &Stack| -> Outcome {
        assert_eq!(lengths(stack), (1, 1));
        stack.push_entry();
        let (entry, given) = (stack.top(), Stack::GIVEN);
        assert_eq!(stack.protect(0, entry, given, inner), Ok(()));
        Ok(1)
    };
    assert_eq!(engine.vm().protect(ROOT, outer), Ok(()));
    main.pop(1);

    let mark = std::ptr::dangling_mut::<Landing>();
    // SAFETY: the main state, in which nothing runs, and a coroutine of it that yields at once.
    unsafe {
        let state = main.state.cast::<State>();
        assert_eq!(((*state).data, (*state).status), (std::ptr::null_mut(), 0));
        ffi::lua_setthreaddata(main.state, mark.cast());
        assert_eq!((*state).data, mark.cast());
        ffi::lua_setthreaddata(main.state, std::ptr::null_mut());

        unsafe extern "C-unwind" fn yields(state: *mut lua_State) -> c_int {
            // SAFETY: of a native that runs.
            unsafe { ffi::lua_yield(state, 0) }
        }
        let mut results = 0;
        let coroutine = ffi::lua_newthread(main.state);
        assert!((*coroutine.cast::<State>()).data.is_null());
        ffi::lua_pushcfunction(coroutine, yields);
        assert_eq!(ffi::lua_resume(coroutine, main.state, 0, &raw mut results), ffi::LUA_YIELD);
        assert_eq!(c_int::from((*coroutine.cast::<State>()).status), ffi::LUA_YIELD);
        assert!((*coroutine.cast::<State>()).data.is_null());
    }
    main.pop(1);
}

/// The addresses of the functions that can be reached from the value on top, which is popped, and that are not written
/// in Lua and have no upvalue.
///
/// # Safety
/// `state` is alive, and nothing runs in it.
unsafe fn bare_functions(state: *mut lua_State, seen: &mut HashSet<usize>, found: &mut HashSet<usize>) {
    // SAFETY: indices of the value on top, and of what is pushed here.
    unsafe {
        assert_ne!(ffi::lua_checkstack(state, 10), 0);
        if seen.insert(ffi::lua_topointer(state, -1).addr()) {
            match ffi::lua_type(state, -1) {
                ffi::LUA_TTABLE => {
                    ffi::lua_pushnil(state);
                    while ffi::lua_next(state, -2) != 0 {
                        bare_functions(state, seen, found);
                        ffi::lua_pushvalue(state, -1);
                        bare_functions(state, seen, found);
                    }
                }
                ffi::LUA_TFUNCTION => {
                    let mut upvalue = 1;
                    while !ffi::lua_getupvalue(state, -1, upvalue).is_null() {
                        bare_functions(state, seen, found);
                        upvalue += 1;
                    }
                    // No script sees the environment of a function that is not written in Lua.
                    if ffi::lua_iscfunction(state, -1) == 0 {
                        ffi::lua_getfenv(state, -1);
                        bare_functions(state, seen, found);
                    } else if upvalue == 1 {
                        found.extend(ffi::lua_tocfunction(state, -1).map(|function| function as usize));
                    }
                }
                _ => {}
            }
            if ffi::lua_getmetatable(state, -1) != 0 {
                bare_functions(state, seen, found);
            }
        }
        ffi::lua_settop(state, -2);
    }
}

/// A function without an upvalue counts as one of the VM's. In the VM's libraries they are.
#[test]
fn what_scripts_reach_without_an_upvalue_is_of_the_vms_libraries() {
    fn reached(vm: &Vm) -> HashSet<usize> {
        let state = vm.stack.state;
        let (mut seen, mut found) = (HashSet::new(), HashSet::new());
        // SAFETY: nothing runs in the main state, which has the root of callbacks in this slot, and below it the error
        // handler and the entry of protected code.
        unsafe {
            for slot in 1..=ROOT {
                ffi::lua_pushvalue(state, slot);
                bare_functions(state, &mut seen, &mut found);
            }
            // The metatable of strings.
            ffi::lua_pushstring(state, c"".as_ptr());
            bare_functions(state, &mut seen, &mut found);
        }
        found
    }
    let mut vms = HashSet::new();
    // SAFETY: a VM of its own with the VM's libraries, which is closed below.
    unsafe {
        let state = ffi::luaL_newstate();
        ffi::luaL_openlibs(state);
        ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        bare_functions(state, &mut HashSet::new(), &mut vms);
        ffi::lua_close(state);
    }

    let (mut functions, mut host) = (engine(), Echo::default());
    load(&mut functions, "return redis", &mut host);
    let scripts = ScriptEngine::new(Dialect::default()).unwrap();
    for found in [reached(functions.vm()), reached(scripts.vm())] {
        assert!(found.len() > 10, "{}", found.len());
        assert!(found.is_subset(&vms), "{:x?}", found.difference(&vms));
    }
}

/// Where the main state catches, null for nowhere.
fn landing(engine: &FunctionEngine) -> *mut std::ffi::c_void {
    // SAFETY: the VM is alive.
    unsafe { ffi::lua_getthreaddata(engine.vm().stack.state) }
}

#[test]
fn a_panic_leaves_no_place_to_jump_to() {
    let (mut engine, mut host) = (engine(), Echo::default());
    let fine = load(&mut engine, "return tostring(pcall(error, 'x'))", &mut host);
    for body in [
        "redis.call('PANIC')",
        "pcall(pcall, redis.call, 'PANIC')",
        "pcall(error) pcall(coroutine.wrap(function() pcall(error) pcall(redis.call, 'PANIC') end))",
        "table.sort({2, 1}, function() pcall(redis.call, 'PANIC') end)",
        "xpcall(error, function() redis.call('PANIC') end)",
    ] {
        let slot = load(&mut engine, body, &mut host);
        let panicked = catch_unwind(AssertUnwindSafe(|| call(&engine, slot, &mut host)));
        assert!(panicked.is_err(), "{body}");
        assert!(landing(&engine).is_null(), "{body}");
        let (result, count) = jumps(|| call(&engine, fine, &mut host));
        assert_eq!((result, count), (Ok("false".to_owned()), expected(1)), "after {body}");
    }
}

/// What a VM is like in which nothing went wrong: how deep it can call in each way, and what else errors could leave.
const STATE: &str = "
    local deepest
    local function lua(n) deepest = n return lua(n + 1) + 1 end
    local function native(n) deepest = n return pcall(native, n + 1) end
    local function meta(n) deepest = n return setmetatable({}, {__index = function() return meta(n + 1) end}).x + 1 end
    local function coroutines(n) deepest = n return coroutine.wrap(coroutines)(n + 1) end
    local found = {}
    for _, f in ipairs{lua, native, meta, coroutines} do
        local ok = pcall(f, 1)
        found[#found + 1] = deepest .. (ok and 't' or 'f')
    end
    found[#found + 1] = tostring(coroutine.running())
    found[#found + 1] = tostring(select(2, pcall(coroutine.yield)))
    return table.concat(found, ' ')";

/// Programs that raise in many ways, and give a text of what they have seen.
const PROGRAMS: &[&str] = &[
    // In one another.
    "local function f(n) if n == 0 then error('deep') end local _, e = pcall(f, n - 1) error(e .. n, 0) end
     return select(2, pcall(f, 100))",
    "local function f(n) if n == 0 then error('deep') end f(n - 1) return 1 end return select(2, pcall(f, 15000))",
    "local seen = {} for i = 1, 300 do seen[i % 3 + 1] = select(2, pcall(function(...) local a = {...} return a.x.y end,
     unpack({1, 2, 3}))) end return table.concat(seen)",
    // Values that are no texts.
    "local t = {} local seen = {} for _, v in ipairs{t, error, 12, true} do local _, e = pcall(error, v)
     seen[#seen + 1] = tostring(e == v) end return table.concat(seen) .. select('#', pcall(error))",
    // Upvalues that were open.
    "local fs = {} for i = 1, 5 do pcall(function() local a = i fs[i] = function() a = a + 1 return a end
     if i % 2 == 0 then error('x') end local t = nil + 1 end) end
     local n = 0 for round = 1, 3 do for i = 1, 5 do n = n * 2 + fs[i]() end end return tostring(n)",
    // Coroutines.
    "local seen = {}
     local third = coroutine.create(function() coroutine.yield('y') error('third', 0) end)
     local second = coroutine.create(function() coroutine.resume(third) local _, e = coroutine.resume(third)
        seen[#seen + 1] = e seen[#seen + 1] = coroutine.status(third) error(e .. ' second', 0) end)
     local first = coroutine.create(function() local _, e = pcall(coroutine.wrap(function() error('wrapped', 0) end))
        seen[#seen + 1] = e local _, e = coroutine.resume(second) coroutine.yield(e) error(e .. ' first', 0) end)
     seen[#seen + 1] = select(2, coroutine.resume(first)) seen[#seen + 1] = select(2, coroutine.resume(first))
     seen[#seen + 1] = tostring(select(2, coroutine.resume(first))) seen[#seen + 1] = coroutine.status(first)
     return table.concat(seen, ',')",
    "local co = coroutine.wrap(function() local _, e = pcall(coroutine.yield) coroutine.yield(tostring(e))
        for i = 1, 3 do pcall(error, 'x') coroutine.yield(i) end error('end', 0) end)
     local seen = {co()} for i = 1, 5 do seen[#seen + 1] = tostring(select(2, pcall(co))) end
     return table.concat(seen, ',')",
    "local co co = coroutine.create(function() local ok, e = coroutine.resume(co) error(tostring(ok) .. e, 0) end)
     local _, e = coroutine.resume(co) return e .. tostring(select(2, coroutine.resume(co)))",
    "local n = 0 for i = 1, 200 do local co = coroutine.create(function() local t = {} coroutine.yield() t = t.x.y end)
     coroutine.resume(co) if not coroutine.resume(co) then n = n + 1 end if i % 50 == 0 then collectgarbage() end end
     return tostring(n)",
    "local function deep(n) if n == 0 then coroutine.yield() else deep(n - 1) return 1 end end
     local co = coroutine.create(function() deep(9) local function up(n) if n == 0 then error('up', 0) end up(n - 1)
        return 1 end pcall(up, 3) local _, e = pcall(up, 20) string.gsub('x', 'x', function() pcall(up, 2) end) up(4) end)
     coroutine.resume(co) return tostring(select(2, coroutine.resume(co)))",
    "local co = coroutine.create(function() for i in coroutine.wrap(function() coroutine.yield(1) error('gen', 0) end) do
     end end) return tostring(select(2, coroutine.resume(co)))",
    // Handlers.
    "return tostring(select(2, xpcall(function() local function f() error('a', 0) end f() end, function(e)
     local _, f = xpcall(function() error('b', 0) end, function(g) local _, h = pcall(error, g .. 'c', 0) return h end)
     return e .. f end)))",
    "local n = 0 local ok, e = xpcall(function() error('a', 0) end, function(e) n = n + 1 error(e .. n, 0) end)
     return tostring(ok) .. tostring(e) .. tostring(n > 0)",
    "return tostring(select(2, xpcall(error, function() return select(2, coroutine.resume(coroutine.create(function()
     error('co', 0) end))) end)))",
    "local function f() return f() + 1 end local seen = {}
     for i = 1, 3 do seen[i] = tostring(select(2, xpcall(f, function(e) return (select(2, pcall(f))) end))) end
     return table.concat(seen, '|')",
    // Metamethods.
    "local seen = {} local t = setmetatable({}, {}) for name, f in pairs{
        __index = function() return t.x end, __newindex = function() t.x = 1 end, __call = function() return t() end,
        __add = function() return t + 1 end, __unm = function() return -t end, __concat = function() return t .. 'x' end,
        __lt = function() return t < t end, __le = function() return t <= t end, __len = function() return #t end,
        __eq = function() return t == setmetatable({}, getmetatable(t)) end,
     } do getmetatable(t)[name] = function() error(name, 0) end seen[#seen + 1] = tostring(select(2, pcall(f)))
        getmetatable(t)[name] = error seen[#seen + 1] = type(select(2, pcall(f))) getmetatable(t)[name] = nil end
     table.sort(seen) return table.concat(seen, ',')",
    "local t = setmetatable({}, {__tostring = function() error('text', 0) end, __lt = function() error('less', 0) end,
        __index = function() error('index', 0) end, __concat = function() error('concat', 0) end})
     local seen = {} for _, f in ipairs{function() return tostring(t) end, function() table.sort{t, t} end,
        function() return ('x'):rep(t) end, function() return ('%s'):format(t) end, function() return unpack(t) end,
        function() return table.concat{t} end, function() return redis.call(t) end, function() cjson.encode{t} end,
        function() for a in t do end end, function() return ('x'):gsub('x', t) end} do
     seen[#seen + 1] = ('' .. tostring((select(2, pcall(f)) or nil))):gsub('0x%x+', '') end return table.concat(seen, ',')",
    // The stack is full, in each way.
    "local function f() return f() + 1 end local seen = {} for i = 1, 4 do seen[i] = select(2, pcall(f)) end
     return table.concat(seen, '|')",
    "local n = 0 local function f() n = n + 1 local ok, e = pcall(f) return e end return tostring(f()) .. n",
    "local n = 0 local function f() n = n + 1 return (('x'):gsub('x', f)) end return tostring(select(2, pcall(f))) .. n",
    "local n = 0 local t t = setmetatable({}, {__index = function(_, k) n = n + 1 return t[k .. 'x'] end})
     local _, e = pcall(function() return t.x end) return tostring(e):sub(-30) .. n",
    "local n = 0 local function f() n = n + 1 coroutine.wrap(f)() end return tostring(select(2, pcall(f))):sub(-40) .. n",
    "return tostring(select(2, pcall(function() return unpack({}, 1, 1e7) end)))",
    "return tostring(select(2, pcall(string.rep, 'x', 1e10)))",
    // Natives in the middle of something.
    "local seen = {} for i = 1, 3 do seen[#seen + 1] = select(2, pcall(string.gsub, 'abc', '.', function(c)
        local _, e = pcall(error, c, 0) if c == 'b' then error(e .. i, 0) end return e end)) end
     return table.concat(seen)",
    "local seen = {} seen[1] = select(2, pcall(table.sort, {3, 1, 2}, function(a, b) pcall(error) error(a .. b, 0) end))
     seen[2] = select(2, pcall(table.foreach, {1}, function() error('each', 0) end))
     seen[3] = tostring(select(2, load(function() error('read', 0) end)))
     seen[4] = tostring(select(2, pcall(loadstring('error(\"chunk\", 0)')))) seen[5] = tostring(select(2, loadstring(')')))
     return table.concat(seen, ',')",
    "local seen = {} for _, f in ipairs{cjson.decode, cjson.encode, cmsgpack.unpack, struct.unpack, redis.call, bit.band,
     string.rep, string.format, table.concat, setmetatable, next, tonumber, select, ipairs, string.char, math.floor} do
     seen[#seen + 1] = tostring(select(2, pcall(f))) .. tostring(select(2, pcall(f, '{', {}, error))) end
     return table.concat(seen, ','):gsub('0x%x+', '')",
    "local seen = {} for i = 1, 3 do local ok, e = pcall(redis.call, 'ERROR') seen[i] = e.err or e end
     local co = coroutine.wrap(function() redis.call('ERROR') end) seen[4] = select(2, pcall(co))
     return cjson.encode(seen)",
    "for _, v in pairs{1} do local _, e = pcall(next, {}, 'none') return e end",
    "return tostring(select(2, pcall(function() for i = 1, 'x' do end end)))",
];

#[test]
fn a_jump_leaves_what_an_exception_leaves() {
    let mut most = 0;
    for native in [false, true] {
        let mut fresh = None;
        for program in PROGRAMS {
            let mut outcome = |barred: bool| {
                let (mut engine, mut host) = (engine(), Echo::default());
                let slots = [program, STATE].map(|body| load(&mut engine, body, &mut host));
                if native {
                    for slot in slots {
                        while !engine.vm().compile_native(slot) {}
                    }
                }
                let mut calls = || {
                    let untouched = call(&engine, slots[1], &mut host);
                    let results = [0, 0, 1, 0].map(|which| call(&engine, slots[which], &mut host));
                    (untouched, results)
                };
                let ((untouched, results), count) = jumps(|| if barred { without_jumps(calls) } else { calls() });
                assert!(landing(&engine).is_null(), "{program}");
                assert_eq!(results[2], untouched, "after {program}");
                assert_eq!(fresh.get_or_insert(untouched.clone()), &untouched, "{program}");
                assert!(untouched.is_ok() && results[0].is_ok(), "{untouched:?} {results:?} {program}");
                (results, count)
            };
            let (jumped, count) = outcome(false);
            let (thrown, none) = outcome(true);
            assert_eq!(none, 0, "{program}");
            assert_eq!(jumped, thrown, "{program}");
            most = most.max(count);
        }
    }
    assert!(most >= expected(100), "{most}");
}

/// Refused memory, at many places of a program that catches it.
#[test]
fn a_refusal_leaves_the_same() {
    let body = "
        -- What does not fit leaves room for what is done with the error.
        local function fill() local t = {} while true do t[#t + 1] = ('x'):rep(5000 + #t) end end
        local seen = {}
        for _, f in ipairs{fill, coroutine.wrap(fill), function() table.sort({2, 1}, fill) end,
            function() return setmetatable({}, {__index = fill}).x end, function() pcall(fill) error('again', 0) end,
            function() local co = coroutine.wrap(function() coroutine.yield() fill() end) co() co() end,
            function() xpcall(fill, fill) end} do
            local _, e = pcall(f)
            seen[#seen + 1] = tostring(e)
        end
        return table.concat(seen, ',')";
    let outcome = |barred: bool| {
        let (mut engine, mut host) = (engine(), Echo::default());
        let slots = [body, STATE].map(|body| load(&mut engine, body, &mut host));
        let untouched = call(&engine, slots[1], &mut host);
        engine.vm().set_memory_limit(engine.vm().memory() + (4 << 20));
        let mut calls = || call(&engine, slots[0], &mut host);
        let result = if barred { without_jumps(calls) } else { calls() };
        engine.vm().set_memory_limit(0);
        assert!(landing(&engine).is_null());
        assert_eq!(call(&engine, slots[1], &mut host), untouched);
        result
    };
    let jumped = outcome(false);
    assert!(format!("{jumped:?}").contains("not enough memory"), "{jumped:?}");
    assert_eq!(jumped, outcome(true));
}
