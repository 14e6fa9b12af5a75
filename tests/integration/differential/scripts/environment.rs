//! What scripts see: their globals, and what of them outlives a call.

use super::{Body, Pair, compare_scripts};

/// KEYS and ARGV are globals, anew in each call.
const PARAMETERS: &[&str] = &[
    "return {type(_G.KEYS), type(rawget(_G, 'KEYS')), #_G.KEYS, #_G.ARGV}",
    "return _G.KEYS == KEYS",
    "local found = {} for name in pairs(_G) do found[name] = true end return {found.KEYS, found.ARGV}",
    "local names = {} for name in pairs(_G) do names[#names + 1] = name end table.sort(names) return names",
    "local names = {} for name in next, _G do names[#names + 1] = name end table.sort(names) return names",
    "return loadstring('return KEYS[1] .. ARGV[1]')()",
    "return loadstring('return {#KEYS, #ARGV}')()",
    "return coroutine.wrap(function() return {KEYS[1], ARGV[1]} end)()",
    "local function helper() return KEYS[1] .. ARGV[1] end return helper()",
    "KEYS = {}",
    "KEYS = nil",
    "ARGV = {}",
    "_G.KEYS = {}",
    "_G.ARGV = nil",
    "rawset(_G, 'KEYS', {})",
    "rawset(_G, 'ARGV', nil)",
    "return tostring(pcall(function() KEYS = {} end))",
    "local KEYS = {'mine'} return KEYS",
    "local KEYS, ARGV = ARGV, KEYS return {KEYS[1], ARGV[1]}",
    "KEYS.x = 1 KEYS[1] = 'changed' KEYS[2] = 'added' return {KEYS[1], KEYS[2], KEYS.x}",
    "KEYS[1] = nil return #KEYS",
    "setmetatable(KEYS, {__index = function() return 'found' end}) return {KEYS[1], KEYS[99], ARGV[99] or 'none'}",
    "return {KEYS[1], KEYS[99] or 'none'}",
    "return tostring(getmetatable(KEYS)) .. tostring(getmetatable(ARGV))",
    "return {type(KEYS), type(ARGV), KEYS == ARGV}",
    "table.insert(KEYS, 'x') table.insert(ARGV, 1, 'y') return {KEYS, ARGV}",
    "return #table.concat(KEYS, ',') + #table.concat(ARGV, ',')",
    "return {unpack(KEYS), unpack(ARGV)}",
];

/// What `redis` has in scripts alone, and what it lacks there.
const API: &[&str] = &[
    "return redis.breakpoint()",
    "return tostring(redis.breakpoint())",
    "return tostring(redis.breakpoint(1, {}))",
    "return select('#', redis.breakpoint())",
    "return redis.debug()",
    "return select('#', redis.debug())",
    "return select('#', redis.debug('x', 1, {}, nil, redis.call))",
    "return redis.replicate_commands()",
    "return tostring(redis.replicate_commands())",
    "return tostring(redis.replicate_commands('x', {}, nil))",
    "redis.call('set', KEYS[1], 'v') return redis.replicate_commands()",
    "redis.setresp(3) return redis.replicate_commands()",
    "redis.setresp(3) return redis.breakpoint()",
    "return type(redis.register_function)",
    "return tostring(redis.register_function)",
    "return type(redis.breakpoint) .. type(redis.debug) .. type(redis.replicate_commands)",
    "redis.breakpoint = nil",
    "redis.debug = 1",
    "redis.replicate_commands = function() end",
    "return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}",
    "return {tostring(redis.SERVER_NAME), tostring(redis.VALKEY_VERSION), tostring(redis.VALKEY_VERSION_NUM)}",
    "return tostring(rawget(_G, 'server') == redis)",
    "return server.call('ping')",
    "local names = {} for name in pairs(redis) do names[#names + 1] = name end table.sort(names) return names",
    "return redis.sha1hex('return 1')",
    "return type(print)",
    "return {type(os), type(os and os.clock)}",
    "return type(rawget(_G, 'os'))",
];

/// The handler that the server puts around a script. It is there to be called.
const HANDLER: &[&str] = &[
    "return type(__redis__err__handler)",
    "return type(rawget(_G, '__server__err__handler'))",
    "local e = __redis__err__handler('x') return {type(e), e.err, e.source, tostring(e.line)}",
    "\n\nlocal e = __redis__err__handler('x') return {type(e), e.err, e.source, tostring(e.line)}",
    "local e = __redis__err__handler(nil) return {e.err, e.source}",
    "local e = __redis__err__handler() return {e.err, e.source}",
    "local e = __redis__err__handler(5) return {e.err, e.source}",
    "local e = __redis__err__handler(true) return {e.err, e.source}",
    "local e = __redis__err__handler({err='E x', a='b'}) return {e.err, e.source, e.a, tostring(e.line)}",
    "local t = {} return tostring(__redis__err__handler(t) == t)",
    "return __redis__err__handler('x')",
    "return __redis__err__handler({err='MY x'})",
    "error(__redis__err__handler('x'))",
    "return {xpcall(function() error('x', 0) end, function(e) return __redis__err__handler(e).err end)}",
    "__redis__err__handler = nil",
    "local function f() local e = __redis__err__handler('x') return e end local e = f() return {e.err, e.source}",
];

#[test]
fn parameters_are_globals_alike() {
    compare_scripts(PARAMETERS);
}

#[test]
fn the_api_of_scripts_is_there_alike() {
    compare_scripts(API);
}

#[test]
fn the_handler_of_errors_is_there_alike() {
    compare_scripts(HANDLER);
}

const COUNT: &str = "local n = 0 local function f() n = n + 1 return n end return f()";

/// Scripts that are run one after the other.
const SEQUENCES: &[&[&str]] = &[
    &["redis.setresp(3) return true", "return true"],
    &["redis.setresp(3) error('x')", "return true"],
    &["redis.call('select', 3) redis.call('set', 'three', 1)", "return redis.call('exists', 'three')"],
    &["KEYS.x = 1 ARGV.x = 1", "return {tostring(KEYS.x), tostring(ARGV.x)}"],
    &["setmetatable(KEYS, {__index = {'x'}})", "return tostring(getmetatable(KEYS))"],
    &["local kept = 1 return kept", "return kept"],
    &["pcall(function() kept = 1 end)", "return kept"],
    &[COUNT, COUNT, COUNT],
    &["redis.set_repl(redis.REPL_NONE)", "return redis.call('set', 'k', 'v')"],
    &["getmetatable('').x = 1", "return tostring(('').x)"],
];

#[test]
fn nothing_is_kept_from_call_to_call() {
    let mut pair = Pair::start();
    for sequence in SEQUENCES {
        for protocol in [2, 3] {
            pair.flush_scripts();
            pair.command(&["FLUSHALL"]);
            for script in *sequence {
                pair.compare_in(protocol, &["EVAL", script, "1", "key", "argument"]);
            }
        }
    }
    pair.finish();
}

const DRAW: &str = "return {math.random(1000000), math.random(1000000), math.random(-5, 5)}";

/// The sequence of random numbers is one for the process: functions and scripts draw from it, and no flush resets it.
#[test]
fn random_numbers_are_one_sequence() {
    let mut pair = Pair::start();
    pair.load_bodies(&[Body::plain("draw", DRAW), Body::plain("seed", "math.randomseed(ARGV[1])")]);
    // Each of these calls is sent as a script as well.
    pair.compare_in(2, &["FCALL", "draw", "0"]);
    for seed in ["42", "-7", "1099511627779"] {
        pair.compare_in(2, &["EVAL", "math.randomseed(ARGV[1])", "0", seed]);
        pair.compare_in(2, &["FCALL", "draw", "0"]);
        pair.compare_in(2, &["SCRIPT", "FLUSH"]);
        pair.compare_in(2, &["EVAL", DRAW, "0"]);
        pair.compare_in(2, &["FCALL", "draw", "0"]);
        pair.compare_in(2, &["SCRIPT", "FLUSH", "ASYNC"]);
        pair.compare_in(2, &["EVAL", DRAW, "0"]);
        pair.compare_in(2, &["FCALL", "seed", "0", "5"]);
        pair.compare_in(2, &["EVAL", DRAW, "0"]);
    }
    pair.finish();
}
