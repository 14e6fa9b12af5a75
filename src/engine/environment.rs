//! The globals that scripts see, built from an allow-list: nothing that the VM brings besides is reachable, so a new
//! release of the VM adds nothing unseen.

use std::ffi::CStr;

use super::bit;
use super::builtin;
use super::cjson;
use super::cmsgpack;
use super::globals;
use super::random;
use super::redis_api as api;
use super::stack::{Kind, Native, Stack};
use super::state::VmState;
use super::struct_pack;

/// Global functions of the VM that are as the server's.
const GLOBALS: [&CStr; 13] = [
    c"gcinfo",
    c"getmetatable",
    c"ipairs",
    c"next",
    c"pairs",
    c"rawequal",
    c"rawget",
    c"rawset",
    c"select",
    c"setmetatable",
    c"tonumber",
    c"type",
    c"unpack",
];

/// Libraries of the VM and the members of them that are as the server's.
const LIBRARIES: [(&CStr, &[&CStr]); 4] = [
    (
        c"string",
        &[
            c"byte", c"char", c"find", c"format", c"gmatch", c"gsub", c"len", c"lower", c"match", c"rep", c"reverse",
            c"sub", c"upper",
        ],
    ),
    (c"table", &[c"concat", c"foreach", c"foreachi", c"getn", c"insert", c"maxn", c"remove", c"sort"]),
    (
        c"math",
        &[
            c"abs", c"acos", c"asin", c"atan", c"atan2", c"ceil", c"cos", c"cosh", c"deg", c"exp", c"floor", c"fmod",
            c"frexp", c"huge", c"ldexp", c"log", c"log10", c"max", c"min", c"modf", c"pi", c"pow", c"rad", c"sin",
            c"sinh", c"sqrt", c"tan", c"tanh",
        ],
    ),
    (c"coroutine", &[c"create", c"resume", c"running", c"status", c"wrap", c"yield"]),
];

/// Pushes the metatable of globals: reading what is missing raises, and so does assigning.
pub fn push_guard(stack: &Stack, state: &VmState) {
    stack.push_table(0, 2);
    stack.push_native::<globals::MissingGlobal, _>(state);
    stack.raw_set_field(-2, c"__index");
    stack.push_native::<globals::LockedGlobal, _>(state);
    stack.raw_set_field(-2, c"__newindex");
    stack.set_readonly(-1, true);
}

/// Guards and locks the table on top.
pub fn guard_globals(stack: &Stack, guard: i32) {
    stack.push_value(guard);
    stack.set_metatable(-2);
    stack.set_readonly(-1, true);
}

/// Pushes the globals, unlocked. The globals of the thread are still the VM's own. May raise.
pub fn push_globals(stack: &Stack, state: &VmState) {
    stack.push_table(0, 40);
    let globals = stack.top();
    stack.push_globals();
    let vm = stack.top();
    copy(stack, vm, globals, &GLOBALS);
    for (library, members) in LIBRARIES {
        stack.push_table(0, members.len() + 4);
        if stack.raw_get_field(vm, library) == Kind::Table {
            copy(stack, stack.top(), stack.top() - 1, members);
        }
        stack.pop(1);
        stack.raw_set_field(globals, library);
    }
    stack.pop(1);
    add_missing(stack, state, globals);
    for (library, _) in LIBRARIES {
        stack.raw_get_field(globals, library);
        stack.set_readonly(-1, true);
        stack.pop(1);
    }
    cjson::push_shared(stack, state);
    stack.raw_set_field(globals, c"cjson");
    add_bit(stack, state, globals);
    add_struct(stack, state, globals);
    add_message_pack(stack, state, globals);
    push_redis(stack, state);
    name_api(stack, state, globals);
    stack.push_value(globals);
    stack.raw_set_field(globals, c"_G");
    lock_strings(stack, globals);
}

/// Copies the fields `names` from the table at `from` to the one at `to`. What the VM lacks stays out.
fn copy(stack: &Stack, from: i32, to: i32, names: &[&CStr]) {
    for name in names {
        stack.raw_get_field(from, name);
        stack.raw_set_field(to, name);
    }
}

/// Adds what Lua 5.1 as the server has it knows and the VM lacks, or does otherwise.
fn add_missing(stack: &Stack, state: &VmState, globals: i32) {
    native::<globals::Error>(stack, state, globals);
    native::<globals::Pcall>(stack, state, globals);
    native::<globals::Xpcall>(stack, state, globals);
    wrap::<builtin::ToNumber>(stack, state, globals);
    wrap::<builtin::Unpack>(stack, state, globals);
    native::<globals::Assert>(stack, state, globals);
    native::<globals::CollectGarbage>(stack, state, globals);
    native::<globals::LoadString>(stack, state, globals);
    native::<globals::Load>(stack, state, globals);
    native::<globals::ToString>(stack, state, globals);
    text(stack, globals, c"_VERSION", "Lua 5.1");
    inside(stack, globals, c"string", |string| {
        native::<globals::StringDump>(stack, state, string);
        wrap::<builtin::Byte>(stack, state, string);
        wrap::<builtin::Char>(stack, state, string);
        wrap::<builtin::Find>(stack, state, string);
        wrap::<builtin::Format>(stack, state, string);
        wrap::<builtin::GlobalMatch>(stack, state, string);
        wrap::<builtin::GlobalSubstitute>(stack, state, string);
        wrap::<builtin::Lower>(stack, state, string);
        wrap::<builtin::Match>(stack, state, string);
        wrap::<builtin::Repeat>(stack, state, string);
        wrap::<builtin::Reverse>(stack, state, string);
        wrap::<builtin::Sub>(stack, state, string);
        wrap::<builtin::Upper>(stack, state, string);
        alias(stack, string, c"gmatch", c"gfind");
    });
    inside(stack, globals, c"table", |table| {
        native::<globals::SetN>(stack, state, table);
        wrap::<builtin::Concat>(stack, state, table);
        wrap::<builtin::ForEach>(stack, state, table);
        wrap::<builtin::ForEachElement>(stack, state, table);
        wrap::<builtin::Insert>(stack, state, table);
        wrap::<builtin::Remove>(stack, state, table);
        wrap::<builtin::Sort>(stack, state, table);
    });
    inside(stack, globals, c"coroutine", |coroutine| {
        wrap::<builtin::Create>(stack, state, coroutine);
        wrap::<builtin::Wrap>(stack, state, coroutine);
    });
    inside(stack, globals, c"math", |math| {
        wrap::<builtin::LoadExponent>(stack, state, math);
        wrap::<builtin::Log>(stack, state, math);
        wrap::<builtin::Max>(stack, state, math);
        wrap::<builtin::Min>(stack, state, math);
        native::<random::Random>(stack, state, math);
        native::<random::RandomSeed>(stack, state, math);
        alias(stack, math, c"fmod", c"mod");
    });
    if state.dialect.has_os_clock() {
        stack.push_table(0, 1);
        native::<globals::OsClock>(stack, state, stack.top());
        stack.set_readonly(-1, true);
        stack.raw_set_field(globals, c"os");
    }
}

fn add_bit(stack: &Stack, state: &VmState, globals: i32) {
    locked(stack, globals, c"bit", |table| {
        native::<bit::ToBit>(stack, state, table);
        native::<bit::Not>(stack, state, table);
        native::<bit::And>(stack, state, table);
        native::<bit::Or>(stack, state, table);
        native::<bit::Xor>(stack, state, table);
        native::<bit::ShiftLeft>(stack, state, table);
        native::<bit::ShiftRight>(stack, state, table);
        native::<bit::ShiftArithmetic>(stack, state, table);
        native::<bit::RotateLeft>(stack, state, table);
        native::<bit::RotateRight>(stack, state, table);
        native::<bit::Swap>(stack, state, table);
        native::<bit::ToHex>(stack, state, table);
    });
}

fn add_struct(stack: &Stack, state: &VmState, globals: i32) {
    locked(stack, globals, c"struct", |table| {
        native::<struct_pack::Pack>(stack, state, table);
        native::<struct_pack::Unpack>(stack, state, table);
        native::<struct_pack::Size>(stack, state, table);
    });
}

fn add_message_pack(stack: &Stack, state: &VmState, globals: i32) {
    locked(stack, globals, c"cmsgpack", |table| {
        native::<cmsgpack::Pack>(stack, state, table);
        native::<cmsgpack::Unpack>(stack, state, table);
        native::<cmsgpack::UnpackOne>(stack, state, table);
        native::<cmsgpack::UnpackLimit>(stack, state, table);
        text(stack, table, c"_NAME", cmsgpack::NAME);
        text(stack, table, c"_VERSION", cmsgpack::VERSION);
        text(stack, table, c"_COPYRIGHT", state.dialect.words.message_pack_copyright);
        text(stack, table, c"_DESCRIPTION", cmsgpack::DESCRIPTION);
    });
}

/// Adds a library that is not the VM's, and locks it.
fn locked(stack: &Stack, globals: i32, library: &CStr, fill: impl FnOnce(i32)) {
    stack.push_table(0, 12);
    fill(stack.top());
    stack.set_readonly(-1, true);
    stack.raw_set_field(globals, library);
}

/// Pushes the table `redis` of running functions.
fn push_redis(stack: &Stack, state: &VmState) {
    stack.push_table(0, 27);
    let redis = stack.top();
    native::<api::Call>(stack, state, redis);
    native::<api::ProtectedCall>(stack, state, redis);
    native::<api::ErrorReply>(stack, state, redis);
    native::<api::StatusReply>(stack, state, redis);
    native::<api::Sha1Hex>(stack, state, redis);
    native::<api::SetResp>(stack, state, redis);
    native::<api::SetReplication>(stack, state, redis);
    native::<api::AclCheckCommand>(stack, state, redis);
    add_common(stack, state, redis);
    for (name, bits) in
        [(c"REPL_NONE", 0), (c"REPL_AOF", 1), (c"REPL_SLAVE", 2), (c"REPL_REPLICA", 2), (c"REPL_ALL", 3)]
    {
        integer(stack, redis, name, bits);
    }
    stack.set_readonly(redis, true);
}

/// Gives the table on top to the globals by the names that the server has for it. Pops it.
pub fn name_api(stack: &Stack, state: &VmState, globals: i32) {
    if state.dialect.is_valkey() {
        stack.push_value(-1);
        stack.raw_set_field(globals, c"server");
    }
    stack.raw_set_field(globals, c"redis");
}

/// What `redis` has while a library is loaded, too.
pub fn add_common(stack: &Stack, state: &VmState, redis: i32) {
    native::<api::Log>(stack, state, redis);
    for (name, level) in [(c"LOG_DEBUG", 0), (c"LOG_VERBOSE", 1), (c"LOG_NOTICE", 2), (c"LOG_WARNING", 3)] {
        integer(stack, redis, name, level);
    }
    text(stack, redis, c"REDIS_VERSION", &state.dialect.redis.text);
    integer(stack, redis, c"REDIS_VERSION_NUM", state.dialect.redis.number);
    if let Some(own) = &state.dialect.valkey {
        text(stack, redis, c"SERVER_NAME", "valkey");
        text(stack, redis, c"VALKEY_VERSION", &own.text);
        integer(stack, redis, c"VALKEY_VERSION_NUM", own.number);
    }
}

/// Makes the methods of strings the members of the library `string` of the globals, and locks the way there.
fn lock_strings(stack: &Stack, globals: i32) {
    stack.push_bytes(b"");
    if stack.push_metatable(-1) {
        stack.set_readonly(-1, false);
        stack.raw_get_field(globals, c"string");
        stack.raw_set_field(-2, c"__index");
        stack.set_readonly(-1, true);
        stack.pop(1);
    }
    stack.pop(1);
}

pub fn native<F: Native>(stack: &Stack, state: &VmState, table: i32) {
    stack.push_native::<F, _>(state);
    stack.raw_set_field(table, F::NAME);
}

/// Puts the native `F` in the place of the VM's function of its name, which it captures.
fn wrap<F: Native>(stack: &Stack, state: &VmState, table: i32) {
    stack.raw_get_field(table, F::NAME);
    stack.push_capturing::<F, _>(state);
    stack.raw_set_field(table, F::NAME);
}

fn text(stack: &Stack, table: i32, name: &CStr, value: &str) {
    stack.push_bytes(value.as_bytes());
    stack.raw_set_field(table, name);
}

fn integer(stack: &Stack, table: i32, name: &CStr, value: u32) {
    stack.push_number(f64::from(value));
    stack.raw_set_field(table, name);
}

fn alias(stack: &Stack, table: i32, name: &CStr, other: &CStr) {
    stack.raw_get_field(table, name);
    stack.raw_set_field(table, other);
}

fn inside(stack: &Stack, globals: i32, library: &CStr, body: impl FnOnce(i32)) {
    stack.raw_get_field(globals, library);
    body(stack.top());
    stack.pop(1);
}
