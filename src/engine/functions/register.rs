//! `redis.register_function`: how the body of a library announces its functions.

use crate::registry::{FunctionFlags, name::is_valid_name};

use crate::engine::error::ScriptError;
use crate::engine::registration::{Registration, Registrations};
use crate::engine::slots::Slots;
use crate::engine::stack::{Kind, Outcome, Raise, Stack, natives};
use crate::engine::state::VmState;

natives! {
    RegisterFunction = c"register_function", register_function;
}

/// What one call of `register_function` says, before it is checked as a whole.
#[derive(Default)]
struct Request {
    name: Option<Vec<u8>>,
    description: Option<Box<[u8]>>,
    flags: FunctionFlags,
    /// The stack slot of the callback.
    callback: Option<i32>,
}

fn register_function(stack: &Stack) -> Outcome {
    let state = VmState::of(stack);
    if !state.is_loading() {
        return Err(state.api_error("redis.register_function can only be called on FUNCTION LOAD command"));
    }
    let request = match stack.top() {
        1 => named(stack, state)?,
        2 => positional(stack, state)?,
        _ => return Err(state.api_error("wrong number of arguments to redis.register_function")),
    };
    let name =
        request.name.ok_or_else(|| state.api_error("redis.register_function must get a function name argument"))?;
    let callback =
        request.callback.ok_or_else(|| state.api_error("redis.register_function must get a callback argument"))?;
    let name = match new_name(state, name) {
        Ok(name) => name,
        Err(refusal) if state.dialect.checks_names_at_the_end() => {
            state.with_registrations(|library| {
                library.refusal.get_or_insert(refusal);
            });
            return Ok(0);
        }
        Err(ScriptError(text)) => return Err(Raise::Table(text)),
    };
    check_case(state, &name)?;
    Slots::push_root(stack);
    stack.push_value(callback);
    let parameters = stack.parameters();
    let slot = state.slots.borrow_mut().store(stack, stack.top() - 1, parameters);
    state.with_registrations(|library| {
        library.functions.push(Registration { name, description: request.description, flags: request.flags, slot });
    });
    Ok(0)
}

fn positional(stack: &Stack, state: &VmState) -> Result<Request, Raise> {
    let complaint = || state.api_error("first argument to redis.register_function must be a string");
    let name = text(stack, 1).ok_or_else(complaint)?;
    if stack.kind(2) != Kind::Function {
        return Err(state.api_error("second argument to redis.register_function must be a function"));
    }
    Ok(Request { name: Some(name), callback: Some(2), ..Request::default() })
}

/// The form with one table of named arguments; the first offending entry, in the table's order, is reported.
fn named(stack: &Stack, state: &VmState) -> Result<Request, Raise> {
    let no_string =
        |which: &str| state.api_error(&format!("{which} argument given to redis.register_function must be a string"));
    if stack.kind(1) != Kind::Table {
        return Err(state.api_error(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing \
             named arguments).",
        ));
    }
    let mut request = Request::default();
    let mut position = 0;
    while let Some(next) = stack.raw_iterate(1, position) {
        position = next;
        let value = stack.top();
        // A copy, for reading a number as text would change the key under the iteration.
        stack.push_value(value - 1);
        let key = text(stack, -1)
            .ok_or_else(|| state.api_error("named argument key given to redis.register_function is not a string"))?;
        stack.pop(1);
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                request.name = Some(text(stack, value).ok_or_else(|| no_string("function_name"))?);
            }
            b"description" => {
                let words = text(stack, value).ok_or_else(|| no_string("description"))?;
                request.description = Some(words.into_boxed_slice());
            }
            b"callback" => {
                if stack.kind(value) != Kind::Function {
                    return Err(
                        state.api_error("callback argument given to redis.register_function must be a function")
                    );
                }
                // Kept below the pairs of the iteration.
                stack.push_value(value);
                stack.insert(2);
                request.callback = Some(2);
            }
            b"flags" => {
                if stack.kind(value) != Kind::Table {
                    return Err(state.api_error(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                }
                request.flags = flags(stack, value)?;
            }
            _ => return Err(state.api_error("unknown argument given to redis.register_function")),
        }
        stack.pop(2);
    }
    Ok(request)
}

/// The flags listed in the sequence at `index`.
fn flags(stack: &Stack, index: i32) -> Result<FunctionFlags, Raise> {
    let mut flags = FunctionFlags::empty();
    let mut position = 1;
    while stack.raw_get_at(index, position) != Kind::Nil {
        let flag = stack.bytes(-1).and_then(FunctionFlags::from_word);
        flags |= flag.ok_or_else(|| Raise::api("unknown flag given"))?;
        stack.pop(1);
        position += 1;
    }
    stack.pop(1);
    Ok(flags)
}

/// The bytes of a string, or of a number as text; None for anything else.
fn text(stack: &Stack, index: i32) -> Option<Vec<u8>> {
    match stack.kind(index) {
        Kind::String | Kind::Number => Some(stack.text(index).unwrap_or_default().to_vec()),
        _ => None,
    }
}

/// The name of a new function, if it is one and the library has no function of that name.
fn new_name(state: &VmState, name: Vec<u8>) -> Result<Box<str>, ScriptError> {
    let name = String::from_utf8(name).ok().filter(|name| is_valid_name(name.as_bytes()));
    let Some(name) = name else { return Err(ScriptError::plain(state.dialect.words.bad_function_name)) };
    let is_taken = |library: &mut Registrations| library.functions.iter().any(|other| *other.name == *name);
    if state.with_registrations(is_taken) == Some(true) {
        return Err(ScriptError::plain("Function already exists in the library"));
    }
    Ok(name.into_boxed_str())
}

/// Refuses a name that differs from another one by case alone, for lookup ignores case: the stock server takes it,
/// calls one of the two at random and aborts when the library is deleted.
fn check_case(state: &VmState, name: &str) -> Result<(), Raise> {
    let other = state.with_registrations(|library| {
        let other = library.functions.iter().find(|other| other.name.eq_ignore_ascii_case(name))?;
        Some(other.name.clone())
    });
    other.flatten().map_or(Ok(()), |other| {
        Err(Raise::api(&format!("Function names of a library must differ by more than case: '{other}' and '{name}'")))
    })
}
