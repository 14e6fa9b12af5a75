//! Coroutines of functions that are written in Lua, as the server's.

use super::usual::usual;
use crate::engine::argument::bad;
use crate::engine::stack::{Outcome, Raise, Stack};

pub fn create(stack: &Stack) -> Outcome {
    check(stack, "create")?;
    usual(stack)
}

pub fn wrap(stack: &Stack) -> Outcome {
    check(stack, "wrap")?;
    usual(stack)
}

fn check(stack: &Stack, function: &str) -> Result<(), Raise> {
    if stack.is_lua_function(1) { Ok(()) } else { Err(bad(stack, function, 1, "Lua function expected")) }
}
