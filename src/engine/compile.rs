//! Source text to functions.

#![allow(unsafe_code, reason = "loads the bytecode that it has compiled")]

use std::borrow::Cow;
use std::ffi::{CStr, CString};

use super::source::{StrayNul, first_nul, settled};
use super::stack::{Failed, Stack, bytecode};
use crate::c_string::to_nul;

/// What the compiler must not take for the VM's own, or for what will be there for good.
///
/// It calls built-in functions directly, without asking the environment. For globals that libraries do not have, and
/// for those that the engine replaces, calling them mutable turns that off. So it is for `getmetatable`, which the
/// compiler would look up after its argument: while a library is loaded neither may be there, and the error names the
/// first.
const MUTABLE: [&CStr; 14] = [
    c"bit32",
    c"buffer",
    c"vector",
    c"utf8",
    c"debug",
    c"integer",
    c"typeof",
    c"print",
    c"newproxy",
    c"getfenv",
    c"setfenv",
    c"require",
    c"assert",
    c"getmetatable",
];

/// Functions of libraries that the compiler would call directly also with arguments of which the engine's own make
/// something else.
const REPLACED: [&CStr; 2] = [c"math.ldexp", c"math.log"];

/// The longest source, in bytes. Compiling it takes some tenths of a second, in which nothing else runs.
pub const SOURCE_LIMIT: usize = 1 << 20;

/// Compiles `source`, which is always taken for text, into a function named `name` (as the VM names chunks: `@file`,
/// `=name` or the source) with the environment at `environment`, and pushes it. On an error its message is pushed.
pub fn compile(stack: &Stack, source: &[u8], name: &[u8], environment: i32) -> Result<(), Failed> {
    let settled = if source.len() > SOURCE_LIMIT {
        Err(format!("1: the source is longer than {SOURCE_LIMIT} bytes"))
    } else {
        settled(source).map_err(refusal)
    };
    load(stack, settled, name, environment)
}

/// [`compile`] for a source that must not have a NUL anywhere.
pub fn compile_without_nul(stack: &Stack, source: &[u8], name: &[u8], environment: i32) -> Result<(), Failed> {
    match first_nul(source) {
        Some(nul) => load(stack, Err(refusal(nul)), name, environment),
        None => compile(stack, source, name, environment),
    }
}

/// Loads a source for the VM's compiler, or the error that there is instead: the line, a colon and the text.
fn load(stack: &Stack, settled: Result<Cow<'_, [u8]>, String>, name: &[u8], environment: i32) -> Result<(), Failed> {
    let bytecode = match settled {
        Ok(source) => bytecode(&source, &MUTABLE, &REPLACED),
        Err(error) => format!("\0:{error}").into_bytes(),
    };
    let name = CString::new(shown(to_nul(name))).unwrap_or_default();
    // SAFETY: the compiler wrote the bytecode. Or it is an error message in the form that the compiler writes: a zero
    // byte, then what comes after the chunk's name, beginning with the line.
    unsafe { stack.load(&name, &bytecode, environment) }
}

/// The name of a chunk such that the VM shows as much of it in messages as the server does.
fn shown(name: &[u8]) -> Vec<u8> {
    const NAME: usize = 59;
    const PATH: usize = 52;
    const LINE: usize = 43;
    match name {
        [b'=', ..] => name[..name.len().min(1 + NAME)].to_vec(),
        [b'@', path @ ..] if path.len() > PATH => [b"=...", &path[path.len() - PATH..]].concat(),
        [b'@', ..] => name.to_vec(),
        source => match source.split(|byte| b"\n\r".contains(byte)).next() {
            Some(line) if line.len() > LINE => [b"=[string \"", &line[..LINE], b"...\"]"].concat(),
            _ => name.to_vec(),
        },
    }
}

/// The compiler would take a NUL for the end of the source and leave the rest out without a word.
fn refusal(nul: StrayNul) -> String {
    format!("{}: unexpected NUL byte in the source", nul.line)
}
