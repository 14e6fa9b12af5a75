//! What libraries see: the globals while a library is loaded, and those while its functions run.
//!
//! Every library has an environment of its own, an empty table that stays empty: assigning a global raises, and no
//! library function gives the table out. What it shows depends on the time, not on the
//! library: while the library's body runs, the environment leads to a table that holds `redis.register_function` and
//! little else; afterwards to the full globals. Both are built here from an allow-list; nothing that the VM brings
//! besides is reachable, so a new release of the VM adds nothing unseen.

use std::ffi::CStr;

use super::base;
use super::bit;
use super::builtin;
use super::cjson;
use super::cmsgpack;
use super::context::Context;
use super::random;
use super::redis_api as api;
use super::register::RegisterFunction;
use super::stack::{Kind, Stack};
use super::struct_pack;

/// The metatable of an environment while its library's functions run.
const RUN: &CStr = c"shadow.run";
/// The metatable of an environment while its library's body runs.
const LOAD: &CStr = c"shadow.load";

/// Global functions of the VM that are as the server's.
const GLOBALS: [&CStr; 14] = [
    c"error",
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

/// Builds the globals of a new VM on `stack`, whose globals are still the VM's own. Raises for want of memory.
pub fn build(stack: &Stack, context: &Context) {
    push_guard(stack, context);
    let guard = stack.top();
    push_run_globals(stack, context);
    guard_globals(stack, guard);
    register_view(stack, guard, RUN);
    // The compiler's constants for globals are resolved against the thread's globals; `safe` allows that.
    stack.set_safe_environment(-1, true);
    stack.replace_globals();
    push_load_globals(stack, context, guard);
    guard_globals(stack, guard);
    register_view(stack, guard, LOAD);
    stack.set_top(guard - 1);
}

/// Pushes the environment of a new library, still in its run-time state. May raise.
pub fn push(stack: &Stack) {
    stack.push_table(0, 0);
    set_loading(stack, stack.top(), false);
}

/// Turns the environment at `index` (counted from the bottom) to what the body of its library may see, or to what its
/// functions see.
pub fn set_loading(stack: &Stack, index: i32, loading: bool) {
    stack.push_registered(if loading { LOAD } else { RUN });
    stack.set_metatable(index);
    // The constants resolved at compile time are the run-time globals; they hold only while those are shown.
    stack.set_safe_environment(index, !loading);
}

/// Pushes the metatable of globals: reading what is missing raises, and so does assigning.
fn push_guard(stack: &Stack, context: &Context) {
    stack.push_table(0, 2);
    stack.push_native::<base::MissingGlobal, _>(context);
    stack.raw_set_field(-2, c"__index");
    stack.push_native::<base::LockedGlobal, _>(context);
    stack.raw_set_field(-2, c"__newindex");
    stack.set_readonly(-1, true);
}

/// Guards and locks the table on top.
fn guard_globals(stack: &Stack, guard: i32) {
    stack.push_value(guard);
    stack.set_metatable(-2);
    stack.set_readonly(-1, true);
}

/// Registers under `name` the metatable that makes an empty table show the globals on top.
fn register_view(stack: &Stack, guard: i32, name: &CStr) {
    stack.push_table(0, 2);
    stack.push_value(-2);
    stack.raw_set_field(-2, c"__index");
    stack.raw_get_field(guard, c"__newindex");
    stack.raw_set_field(-2, c"__newindex");
    stack.set_readonly(-1, true);
    stack.register(name);
}

/// Pushes the globals of running functions, unlocked.
fn push_run_globals(stack: &Stack, context: &Context) {
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
    add_missing(stack, context, globals);
    for (library, _) in LIBRARIES {
        stack.raw_get_field(globals, library);
        stack.set_readonly(-1, true);
        stack.pop(1);
    }
    cjson::push_shared(stack, context);
    stack.raw_set_field(globals, c"cjson");
    add_bit(stack, context, globals);
    add_struct(stack, context, globals);
    add_message_pack(stack, context, globals);
    push_redis(stack, context);
    name_api(stack, context, globals);
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
fn add_missing(stack: &Stack, context: &Context, globals: i32) {
    native::<base::Pcall>(stack, context, globals);
    native::<base::Xpcall>(stack, context, globals);
    wrap::<builtin::ToNumber>(stack, context, globals);
    wrap::<builtin::Unpack>(stack, context, globals);
    native::<base::Assert>(stack, context, globals);
    native::<base::CollectGarbage>(stack, context, globals);
    native::<base::LoadString>(stack, context, globals);
    native::<base::Load>(stack, context, globals);
    native::<base::ToString>(stack, context, globals);
    text(stack, globals, c"_VERSION", "Lua 5.1");
    inside(stack, globals, c"string", |string| {
        native::<base::StringDump>(stack, context, string);
        wrap::<builtin::Byte>(stack, context, string);
        wrap::<builtin::Char>(stack, context, string);
        wrap::<builtin::Find>(stack, context, string);
        wrap::<builtin::Format>(stack, context, string);
        wrap::<builtin::GlobalMatch>(stack, context, string);
        wrap::<builtin::GlobalSubstitute>(stack, context, string);
        wrap::<builtin::Lower>(stack, context, string);
        wrap::<builtin::Match>(stack, context, string);
        wrap::<builtin::Repeat>(stack, context, string);
        wrap::<builtin::Reverse>(stack, context, string);
        wrap::<builtin::Sub>(stack, context, string);
        wrap::<builtin::Upper>(stack, context, string);
        alias(stack, string, c"gmatch", c"gfind");
    });
    inside(stack, globals, c"table", |table| {
        native::<base::SetN>(stack, context, table);
        wrap::<builtin::Concat>(stack, context, table);
        wrap::<builtin::ForEach>(stack, context, table);
        wrap::<builtin::ForEachElement>(stack, context, table);
        wrap::<builtin::Insert>(stack, context, table);
        wrap::<builtin::Remove>(stack, context, table);
        wrap::<builtin::Sort>(stack, context, table);
    });
    inside(stack, globals, c"coroutine", |coroutine| {
        wrap::<builtin::Create>(stack, context, coroutine);
        wrap::<builtin::Wrap>(stack, context, coroutine);
    });
    inside(stack, globals, c"math", |math| {
        wrap::<builtin::LoadExponent>(stack, context, math);
        wrap::<builtin::Log>(stack, context, math);
        wrap::<builtin::Max>(stack, context, math);
        wrap::<builtin::Min>(stack, context, math);
        native::<random::Random>(stack, context, math);
        native::<random::RandomSeed>(stack, context, math);
        alias(stack, math, c"fmod", c"mod");
    });
    if context.dialect.has_os_clock() {
        stack.push_table(0, 1);
        native::<base::OsClock>(stack, context, stack.top());
        stack.set_readonly(-1, true);
        stack.raw_set_field(globals, c"os");
    }
}

fn add_bit(stack: &Stack, context: &Context, globals: i32) {
    locked(stack, globals, c"bit", |table| {
        native::<bit::ToBit>(stack, context, table);
        native::<bit::Not>(stack, context, table);
        native::<bit::And>(stack, context, table);
        native::<bit::Or>(stack, context, table);
        native::<bit::Xor>(stack, context, table);
        native::<bit::ShiftLeft>(stack, context, table);
        native::<bit::ShiftRight>(stack, context, table);
        native::<bit::ShiftArithmetic>(stack, context, table);
        native::<bit::RotateLeft>(stack, context, table);
        native::<bit::RotateRight>(stack, context, table);
        native::<bit::Swap>(stack, context, table);
        native::<bit::ToHex>(stack, context, table);
    });
}

fn add_struct(stack: &Stack, context: &Context, globals: i32) {
    locked(stack, globals, c"struct", |table| {
        native::<struct_pack::Pack>(stack, context, table);
        native::<struct_pack::Unpack>(stack, context, table);
        native::<struct_pack::Size>(stack, context, table);
    });
}

fn add_message_pack(stack: &Stack, context: &Context, globals: i32) {
    locked(stack, globals, c"cmsgpack", |table| {
        native::<cmsgpack::Pack>(stack, context, table);
        native::<cmsgpack::Unpack>(stack, context, table);
        native::<cmsgpack::UnpackOne>(stack, context, table);
        native::<cmsgpack::UnpackLimit>(stack, context, table);
        text(stack, table, c"_NAME", cmsgpack::NAME);
        text(stack, table, c"_VERSION", cmsgpack::VERSION);
        text(stack, table, c"_COPYRIGHT", context.dialect.words.message_pack_copyright);
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
fn push_redis(stack: &Stack, context: &Context) {
    stack.push_table(0, 27);
    let redis = stack.top();
    native::<api::Call>(stack, context, redis);
    native::<api::ProtectedCall>(stack, context, redis);
    native::<api::ErrorReply>(stack, context, redis);
    native::<api::StatusReply>(stack, context, redis);
    native::<api::Sha1Hex>(stack, context, redis);
    native::<api::SetResp>(stack, context, redis);
    native::<api::SetReplication>(stack, context, redis);
    native::<api::AclCheckCommand>(stack, context, redis);
    add_common(stack, context, redis);
    for (name, bits) in
        [(c"REPL_NONE", 0), (c"REPL_AOF", 1), (c"REPL_SLAVE", 2), (c"REPL_REPLICA", 2), (c"REPL_ALL", 3)]
    {
        integer(stack, redis, name, bits);
    }
    stack.set_readonly(redis, true);
}

/// Gives the table on top to the globals by the names that the server has for it. Pops it.
fn name_api(stack: &Stack, context: &Context, globals: i32) {
    if context.dialect.is_valkey() {
        stack.push_value(-1);
        stack.raw_set_field(globals, c"server");
    }
    stack.raw_set_field(globals, c"redis");
}

/// Pushes the globals of a library's body: `redis` alone, with little in it; unlocked.
fn push_load_globals(stack: &Stack, context: &Context, guard: i32) {
    stack.push_table(0, 2);
    let globals = stack.top();
    stack.push_table(0, 13);
    let redis = stack.top();
    native::<RegisterFunction>(stack, context, redis);
    add_common(stack, context, redis);
    guard_globals(stack, guard);
    name_api(stack, context, globals);
}

/// What `redis` has at both times.
fn add_common(stack: &Stack, context: &Context, redis: i32) {
    native::<api::Log>(stack, context, redis);
    for (name, level) in [(c"LOG_DEBUG", 0), (c"LOG_VERBOSE", 1), (c"LOG_NOTICE", 2), (c"LOG_WARNING", 3)] {
        integer(stack, redis, name, level);
    }
    text(stack, redis, c"REDIS_VERSION", &context.dialect.redis.text);
    integer(stack, redis, c"REDIS_VERSION_NUM", context.dialect.redis.number);
    if let Some(own) = &context.dialect.valkey {
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

fn native<F: super::stack::Native>(stack: &Stack, context: &Context, table: i32) {
    stack.push_native::<F, _>(context);
    stack.raw_set_field(table, F::NAME);
}

/// Puts the native `F` in the place of the VM's function of its name, which it captures.
fn wrap<F: super::stack::Native>(stack: &Stack, context: &Context, table: i32) {
    stack.raw_get_field(table, F::NAME);
    stack.push_capturing::<F, _>(context);
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
