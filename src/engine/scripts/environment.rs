//! What scripts see: one table of globals for all of them, in which each call finds its KEYS and ARGV.

use std::ffi::CStr;

use crate::engine::environment::{guard_globals, native, push_globals, push_guard};
use crate::engine::stack::{Kind, Outcome, Stack, natives};
use crate::engine::state::VmState;

/// The global with the keys of the call.
pub const KEYS: &CStr = c"KEYS";
/// The global with its arguments.
pub const ARGV: &CStr = c"ARGV";

natives! {
    /// `redis.breakpoint()`: whether a debugger stopped there; there is none.
    Breakpoint = c"breakpoint", breakpoint;
    /// `redis.debug(...)`: what it is given would go to a debugger.
    Debug = c"debug", debug;
    /// `redis.replicate_commands()`: effects are replicated anyway.
    ReplicateCommands = c"replicate_commands", replicate_commands;
    /// What the server has scripts' errors handled by. Scripts see it.
    ErrorHandler = c"__redis__err__handler", error_handler;
    /// The same, by the name that a Valkey has for it.
    ServerErrorHandler = c"__server__err__handler", error_handler;
}

/// Builds the globals of a new VM on `stack`, whose globals are still the VM's own. Raises for want of memory.
pub fn build(stack: &Stack, state: &VmState) {
    push_guard(stack, state);
    let guard = stack.top();
    push_globals(stack, state);
    let globals = stack.top();
    stack.raw_get_field(globals, c"redis");
    let redis = stack.top();
    stack.set_readonly(redis, false);
    native::<Breakpoint>(stack, state, redis);
    native::<Debug>(stack, state, redis);
    native::<ReplicateCommands>(stack, state, redis);
    stack.set_readonly(redis, true);
    stack.pop(1);
    native::<ErrorHandler>(stack, state, globals);
    if state.dialect.is_valkey() {
        native::<ServerErrorHandler>(stack, state, globals);
    }
    // So that the table has its size before the first call.
    for name in [KEYS, ARGV] {
        stack.push_boolean(false);
        stack.raw_set_field(globals, name);
    }
    guard_globals(stack, guard);
    // The compiler's constants for globals are resolved against these; `safe` allows that.
    stack.set_safe_environment(globals, true);
    stack.replace_globals();
    stack.set_top(guard - 1);
}

fn breakpoint(stack: &Stack) -> Outcome {
    stack.push_boolean(false);
    Ok(1)
}

fn debug(_: &Stack) -> Outcome {
    Ok(0)
}

fn replicate_commands(stack: &Stack) -> Outcome {
    stack.push_boolean(true);
    Ok(1)
}

/// What is no table becomes one with the text in `err`. It gets the place from where this was called.
fn error_handler(stack: &Stack) -> Outcome {
    if stack.top() == 0 {
        stack.push_nil();
    }
    if stack.kind(1) != Kind::Table {
        stack.push_text_of(1);
        let text = [b"ERR ", stack.bytes(-1).unwrap_or_default()].concat();
        stack.push_table(0, 3);
        stack.push_bytes(&text);
        stack.raw_set_field(-2, c"err");
    } else {
        stack.push_value(1);
    }
    // Level 0 is this native.
    if let Some((chunk, line)) = stack.place(1) {
        stack.push_bytes(&chunk);
        stack.raw_set_field(-2, c"source");
        stack.push_number(f64::from(line));
        stack.raw_set_field(-2, c"line");
    }
    Ok(1)
}
