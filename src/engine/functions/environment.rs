//! What libraries see: the globals while a library is loaded, and those while its functions run.
//!
//! Every library has an environment of its own, an empty table that stays empty: assigning a global raises, and no
//! library function gives the table out. What it shows depends on the time, not on the library: while the library's
//! body runs, it leads to a table that holds `redis.register_function` and little else; afterwards to all globals.

use super::register::RegisterFunction;
use crate::engine::environment::{add_common, guard_globals, name_api, native, push_globals, push_guard};
use crate::engine::stack::{Place, Stack};
use crate::engine::state::VmState;

/// The metatable of an environment while its library's functions run.
static RUN: Place = Place::new();
/// The metatable of an environment while its library's body runs.
static LOAD: Place = Place::new();

/// Builds the globals of a new VM on `stack`, whose globals are still the VM's own. Raises for want of memory.
pub fn build(stack: &Stack, state: &VmState) {
    push_guard(stack, state);
    let guard = stack.top();
    push_globals(stack, state);
    guard_globals(stack, guard);
    register_view(stack, guard, &RUN);
    // The compiler's constants for globals are resolved against the thread's globals; `safe` allows that.
    stack.set_safe_environment(-1, true);
    stack.replace_globals();
    push_load_globals(stack, state, guard);
    guard_globals(stack, guard);
    register_view(stack, guard, &LOAD);
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
    stack.push_registered(if loading { &LOAD } else { &RUN });
    stack.set_metatable(index);
    // The constants resolved at compile time are the run-time globals; they hold only while those are shown.
    stack.set_safe_environment(index, !loading);
}

/// Registers in `place` the metatable that makes an empty table show the globals on top.
fn register_view(stack: &Stack, guard: i32, place: &'static Place) {
    stack.push_table(0, 2);
    stack.push_value(-2);
    stack.raw_set_field(-2, c"__index");
    stack.raw_get_field(guard, c"__newindex");
    stack.raw_set_field(-2, c"__newindex");
    stack.set_readonly(-1, true);
    stack.register(place);
}

/// Pushes the globals of a library's body: `redis` alone, with little in it; unlocked.
fn push_load_globals(stack: &Stack, state: &VmState, guard: i32) {
    stack.push_table(0, 2);
    let globals = stack.top();
    stack.push_table(0, 13);
    let redis = stack.top();
    native::<RegisterFunction>(stack, state, redis);
    add_common(stack, state, redis);
    guard_globals(stack, guard);
    name_api(stack, state, globals);
}
