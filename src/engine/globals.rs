//! Global functions that the server has and Luau lacks or does otherwise.

use super::argument;
use super::compile;
use super::error::{READONLY, translate};
use super::stack::{Collect, Kind, Outcome, Raise, Stack, natives};
use super::state::VmState;
use crate::c_string::to_nul;
use crate::clock;

/// A VM that holds less than this, in bytes, is collected in one go.
const QUICK_COLLECTION: usize = 256 << 20;
/// How much a step of a large collection goes through, in KiB.
const COLLECTOR_STEP: i32 = 16 << 10;

natives! {
    /// Reading a global that does not exist.
    MissingGlobal = c"__index", missing_global;
    /// Assigning a global.
    LockedGlobal = c"__newindex", locked_global;
    Error = c"error", error;
    Pcall = c"pcall", pcall;
    Xpcall = c"xpcall", xpcall;
    Assert = c"assert", assert;
    CollectGarbage = c"collectgarbage", collect_garbage;
    LoadString = c"loadstring", load_string;
    Load = c"load", load;
    ToString = c"tostring", to_string;
    StringDump = c"dump", string_dump;
    SetN = c"setn", set_n;
    OsClock = c"clock", os_clock;
}

fn missing_global(stack: &Stack) -> Outcome {
    if !matches!(stack.kind(2), Kind::String | Kind::Number) {
        return Err(Raise::at("Second argument to luaProtectedTableError must be a string or number"));
    }
    let name = stack.text(2).unwrap_or_default();
    let text = [b"Script attempted to access nonexistent global variable '", name, b"'"].concat();
    Err(Raise::Positioned(text))
}

fn locked_global(_: &Stack) -> Outcome {
    Err(Raise::at(READONLY))
}

/// Lua 5.1's `error`. The VM's own raises by itself, so that nobody knows that it owns nothing; a native's outcome is
/// raised by a jump.
fn error(stack: &Stack) -> Outcome {
    const VALUE: i32 = 1;
    let level = argument::optional_integer(stack, "error", VALUE + 1, 1)? as i32;
    stack.set_top(VALUE);
    if level > 0 && matches!(stack.kind(VALUE), Kind::String | Kind::Number) {
        stack.push_position(level);
        stack.insert(VALUE);
        stack.join(2);
    }
    Err(Raise::Top)
}

/// The server's `pcall`: an error table with a text in `err` is flattened to that text. What else is in `err`, be it
/// nothing, is a third result.
fn pcall(stack: &Stack) -> Outcome {
    if stack.top() == 0 {
        stack.push_nil();
    }
    let result = stack.protected_call(stack.top() - 1, Stack::ALL);
    stack.reserve(2);
    if result.is_ok() {
        stack.push_boolean(true);
        stack.insert(1);
        return Ok(stack.top());
    }
    if stack.kind(-1) == Kind::Table {
        if !matches!(stack.raw_get_field(-1, c"err"), Kind::String | Kind::Number) {
            stack.push_boolean(false);
            stack.insert(-3);
            return Ok(3);
        }
    } else {
        translate(stack);
    }
    stack.push_boolean(false);
    stack.insert(-2);
    Ok(2)
}

/// Lua 5.1's `xpcall`: the function gets no arguments, and what cannot be called as a handler matters when there is an
/// error.
fn xpcall(stack: &Stack) -> Outcome {
    const FUNCTION: i32 = 1;
    const HANDLER: i32 = 2;
    if stack.top() < HANDLER {
        return Err(Raise::at("bad argument #2 to 'xpcall' (value expected)"));
    }
    stack.set_top(HANDLER);
    stack.push_value(FUNCTION);
    let handled = stack.kind(HANDLER) == Kind::Function;
    let result = stack.protected_call_handled(0, Stack::ALL, if handled { HANDLER } else { 0 });
    stack.reserve(1);
    if result.is_err() && !handled {
        stack.pop(1);
        stack.push_bytes(b"error in error handling");
    }
    stack.push_boolean(result.is_ok());
    stack.replace(HANDLER);
    Ok(stack.top() - FUNCTION)
}

/// Lua 5.1's `assert`: the message is a string.
fn assert(stack: &Stack) -> Outcome {
    if stack.top() == 0 {
        return Err(Raise::at("bad argument #1 to 'assert' (value expected)"));
    }
    if stack.boolean(1) {
        return Ok(stack.top());
    }
    match stack.kind(2) {
        Kind::None | Kind::Nil => Err(Raise::at("assertion failed!")),
        Kind::String | Kind::Number => {
            let text = stack.text(2).unwrap_or_default();
            Err(Raise::Positioned(to_nul(text).to_vec()))
        }
        _ => Err(Raise::at(&format!("bad argument #2 to 'assert' (string expected, got {})", stack.type_name(2)))),
    }
}

/// `collectgarbage`. What it sets holds for the whole VM.
fn collect_garbage(stack: &Stack) -> Outcome {
    let option = match stack.kind(1) {
        Kind::None | Kind::Nil => b"collect".to_vec(),
        Kind::String => stack.bytes(1).unwrap_or_default().to_vec(),
        _ => {
            return Err(Raise::at(&format!(
                "bad argument #1 to 'collectgarbage' (string expected, got {})",
                stack.type_name(1)
            )));
        }
    };
    let argument = stack.number(2).unwrap_or(0.0) as i32;
    match option.as_slice() {
        b"collect" => {
            collect_all(stack);
            stack.push_number(0.0);
        }
        b"count" => stack.push_number(stack.memory() as f64 / 1024.0),
        b"stop" => {
            stack.collect(Collect::Stop, 0);
            stack.push_number(0.0);
        }
        b"restart" => {
            stack.collect(Collect::Restart, 0);
            stack.push_number(0.0);
        }
        b"step" => {
            let finished = stack.collect(Collect::Step, argument) != 0;
            stack.push_boolean(finished);
        }
        // The pace of this collector is set otherwise; the old one's values are answered and change nothing.
        b"setpause" | b"setstepmul" => stack.push_number(200.0),
        _ => {
            let text = [b"bad argument #1 to 'collectgarbage' (invalid option '", option.as_slice(), b"')"].concat();
            return Err(Raise::Positioned(text));
        }
    }
    Ok(1)
}

/// A full collection; a large one in steps, with safepoints between them.
fn collect_all(stack: &Stack) {
    if stack.memory() < QUICK_COLLECTION {
        stack.collect(Collect::Full, 0);
        return;
    }
    // What became garbage after the collector passed it is found by the cycle after the current one.
    for _cycle in 0..2 {
        while stack.collect(Collect::Step, COLLECTOR_STEP) == 0 {
            stack.safepoint();
        }
    }
}

/// Copies at most one byte more than the limit of sources; such a source is refused later.
fn bounded(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(compile::SOURCE_LIMIT + 1)].to_vec()
}

/// How many times the size of a source the compiler may take while it is at work, outside of the VM.
const COMPILER: usize = 24;

fn load_string(stack: &Stack) -> Outcome {
    let Some(source) = stack.text(1).map(bounded) else {
        return Err(Raise::at(&format!(
            "bad argument #1 to 'loadstring' (string expected, got {})",
            stack.type_name(1)
        )));
    };
    let name = match stack.kind(2) {
        Kind::String | Kind::Number => bounded(stack.text(2).unwrap_or_default()),
        _ => source.clone(),
    };
    compile(stack, &source, &name)
}

/// `load(reader [, name])`: the source is what the function returns piece by piece, up to nil or an empty string.
fn load(stack: &Stack) -> Outcome {
    if stack.kind(1) != Kind::Function {
        return Err(Raise::at(&format!("bad argument #1 to 'load' (function expected, got {})", stack.type_name(1))));
    }
    let name = match stack.kind(2) {
        Kind::String | Kind::Number => bounded(stack.text(2).unwrap_or_default()),
        _ => b"=(load)".to_vec(),
    };
    let mut source = Vec::new();
    // A reader that is not written in Lua passes no safepoint, and may never end.
    while source.len() <= compile::SOURCE_LIMIT {
        stack.safepoint();
        stack.push_value(1);
        if stack.protected_call(0, 1).is_err() {
            stack.push_nil();
            stack.insert(-2);
            return Ok(2);
        }
        match stack.kind(-1) {
            Kind::Nil => break,
            Kind::String | Kind::Number => {
                let piece = stack.text(-1).unwrap_or_default();
                if piece.is_empty() {
                    break;
                }
                let piece = bounded(piece);
                VmState::of(stack).memory.check(source.len() + piece.len())?;
                source.extend_from_slice(&piece);
                stack.pop(1);
            }
            _ => {
                stack.push_nil();
                stack.push_bytes(b"reader function must return a string");
                return Ok(2);
            }
        }
    }
    compile(stack, &source, &name)
}

/// Compiles text (never bytecode) into a function that sees the globals; on an error gives nil and the message.
fn compile(stack: &Stack, source: &[u8], name: &[u8]) -> Outcome {
    VmState::of(stack).memory.check(source.len().saturating_mul(COMPILER))?;
    stack.reserve(4);
    stack.push_globals();
    if compile::compile(stack, source, name, stack.top()).is_ok() {
        return Ok(1);
    }
    stack.push_nil();
    stack.insert(-2);
    Ok(2)
}

/// `tostring`: the null of JSON is written as the server's C library writes it, and what a metatable's `__tostring`
/// gives is given, whatever it is. The VM answers for nil, booleans, numbers and strings without coming here.
fn to_string(stack: &Stack) -> Outcome {
    if stack.top() == 0 {
        return Err(Raise::at("bad argument #1 to 'tostring' (value expected)"));
    }
    if stack.is_null(1) {
        stack.push_bytes(b"userdata: (nil)");
    } else if stack.push_metatable(1) && stack.raw_get_field(-1, c"__tostring") != Kind::Nil {
        stack.push_value(1);
        stack.call(1, 1);
    } else if matches!(stack.kind(1), Kind::Table | Kind::Function | Kind::Other) {
        // The VM fills addresses up with zeros.
        stack.push_bytes(format!("{}: {:p}", stack.type_name(1), stack.address(1)).as_bytes());
    } else {
        stack.push_text_of(1);
    }
    Ok(1)
}

/// No bytecode is given out: the string says that it is some, as the server's begins, and nothing loads it.
fn string_dump(stack: &Stack) -> Outcome {
    if stack.kind(1) != Kind::Function {
        return Err(Raise::at(&format!("bad argument #1 to 'dump' (function expected, got {})", stack.type_name(1))));
    }
    stack.push_bytes(b"\x1bLua");
    Ok(1)
}

fn set_n(_: &Stack) -> Outcome {
    Err(Raise::at("'setn' is obsolete"))
}

/// Processor time of the process in seconds.
fn os_clock(stack: &Stack) -> Outcome {
    stack.push_number(clock::nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID) as f64 / 1e9);
    Ok(1)
}
