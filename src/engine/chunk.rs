//! Source text to functions.

use std::ffi::CString;

use lazy_static::lazy_static;
use mlua::chunk::Compiler;

use super::stack::{Failed, Stack};

lazy_static! {
    /// The compiler's settings, the same for every chunk.
    ///
    /// Optimisation level 1: level 2 inlines functions, which changes the lines that errors name. The compiler calls
    /// built-in functions directly, without asking the environment; for globals that libraries do not have, and for
    /// those that the engine replaces, that is turned off by calling them mutable. So it is for `getmetatable`, which the
    /// compiler would look up after its argument: while a library is loaded neither may be there, and the error names
    /// the first.
    static ref COMPILER: Compiler = Compiler::new()
        .set_optimization_level(1)
        .set_debug_level(1)
        .set_mutable_globals([
            "bit32", "buffer", "vector", "utf8", "debug", "integer", "typeof", "print", "newproxy", "getfenv",
            "setfenv", "require", "assert", "getmetatable",
        ]);
}

/// The longest source, in bytes. Compiling it takes some tenths of a second, in which nothing else runs.
pub const SOURCE_LIMIT: usize = 1 << 20;

/// Compiles `source`, which is always taken for text, into a function named `name` (as the VM names chunks: `@file`,
/// `=name` or the source) with the environment at `environment`, and pushes it. On an error its message is pushed.
pub fn compile(stack: &Stack, source: &[u8], name: &[u8], environment: i32) -> Result<(), Failed> {
    let compiled = if source.len() > SOURCE_LIMIT {
        Ok(format!("\0:1: the source is longer than {SOURCE_LIMIT} bytes").into_bytes())
    } else if source.contains(&0) {
        Ok(nul_refusal(source))
    } else {
        COMPILER.compile(source)
    };
    let bytecode = match compiled {
        Ok(bytecode) => bytecode,
        // Loading bytecode that begins with a zero byte makes the VM put the chunk's name before the message, which
        // begins with the line.
        Err(mlua::Error::SyntaxError { message, .. }) => {
            [b"\0:", message.strip_prefix(':').unwrap_or(&message).as_bytes()].concat()
        }
        Err(error) => {
            stack.push_bytes(error.to_string().as_bytes());
            return Err(Failed);
        }
    };
    let name = CString::new(name.split(|&byte| byte == 0).next().unwrap_or_default()).unwrap_or_default();
    // SAFETY: the compiler wrote the bytecode, or it is its error message in the form that it writes.
    unsafe { stack.load(&name, &bytecode, environment) }
}

/// The compiler would take a NUL for the end of the source and leave the rest out without a word.
fn nul_refusal(source: &[u8]) -> Vec<u8> {
    let before = source.split(|&byte| byte == 0).next().unwrap_or_default();
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    format!("\0:{line}: unexpected NUL byte in the source").into_bytes()
}
