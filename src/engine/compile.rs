//! Source text to functions.

#![allow(unsafe_code, reason = "loads the bytecode that it has compiled")]

use std::borrow::Cow;
use std::ffi::CStr;

use smallvec::SmallVec;

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
    let mut name: SmallVec<[u8; 64]> = SmallVec::from_slice(&shown(to_nul(name)));
    name.push(0);
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    match settled {
        Ok(source) => {
            let (mutable, replaced) = named(&source);
            let bytecode = bytecode(&source, &mutable, &replaced);
            // SAFETY: the compiler wrote the bytecode.
            unsafe { stack.load(name, &bytecode, environment) }
        }
        Err(error) => {
            let refusal = format!("\0:{error}");
            // SAFETY: this is an error message in the form that the compiler writes: a zero byte, then what comes after
            // the chunk's name, beginning with the line.
            unsafe { stack.load(name, refusal.as_bytes(), environment) }
        }
    }
}

/// A few names.
type Names = SmallVec<[&'static CStr; 4]>;

/// Those of [`MUTABLE`] and of [`REPLACED`] that `source` may name. The compiler looks each up that it is told of, and
/// most sources name none.
fn named(source: &[u8]) -> (Names, Names) {
    let (mut mutable, mut replaced) = (Names::new(), Names::new());
    let mut at = 0;
    while at < source.len() {
        let start = at;
        while at < source.len() && IS_NAME[usize::from(source[at])] {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        let word = &source[start..at];
        // By its first letter and its length, nearly every word is none of them.
        match (word[0], word.len()) {
            (b'v' | b'b' | b't' | b'a', 6)
            | (b'b' | b'd' | b'p', 5)
            | (b'u', 4)
            | (b'i' | b'g' | b's' | b'r', 7)
            | (b'n', 8)
            | (b'g', 12) => add(&mut mutable, &MUTABLE, |name| name == word),
            (b'l', 3 | 5) => add(&mut replaced, &REPLACED, |name| name.ends_with(word)),
            _ => {}
        }
    }
    (mutable, replaced)
}

/// Adds those of `list` that it is to `names`.
fn add(names: &mut Names, list: &[&'static CStr], is_it: impl Fn(&[u8]) -> bool) {
    for name in list {
        if is_it(name.to_bytes()) && !names.contains(name) {
            names.push(name);
        }
    }
}

/// The name of a chunk such that the VM shows as much of it in messages as the server does.
fn shown(name: &[u8]) -> Cow<'_, [u8]> {
    const NAME: usize = 59;
    const PATH: usize = 52;
    const LINE: usize = 43;
    match name {
        [b'=', ..] => name[..name.len().min(1 + NAME)].into(),
        [b'@', path @ ..] if path.len() > PATH => [b"=...", &path[path.len() - PATH..]].concat().into(),
        [b'@', ..] => name.into(),
        source => match source.split(|byte| b"\n\r".contains(byte)).next() {
            Some(line) if line.len() > LINE => [b"=[string \"", &line[..LINE], b"...\"]"].concat().into(),
            _ => name.into(),
        },
    }
}

/// Whether a byte may be part of a name.
static IS_NAME: [bool; 256] = {
    let mut is_name = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        is_name[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    is_name
};

/// The compiler would take a NUL for the end of the source and leave the rest out without a word.
fn refusal(nul: StrayNul) -> String {
    format!("{}: unexpected NUL byte in the source", nul.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for name in MUTABLE {
            let name = name.to_str().unwrap();
            for source in [name.to_owned(), format!("return {name}.x"), format!("{name}('x')"), format!("x={name}")] {
                let (mutable, replaced) = named(source.as_bytes());
                assert_eq!(
                    (&*mutable, replaced.len()),
                    (&[&*std::ffi::CString::new(name).unwrap()][..], 0),
                    "{source}"
                );
            }
            for source in [format!("{name}s"), format!("_{name}"), name.to_uppercase(), format!("x{name}1")] {
                assert!(named(source.as_bytes()).0.is_empty(), "{source}");
            }
        }
        for (source, count) in [("math.log(2)", 1), ("local m = math m.ldexp(1, 2) m.log(1) m.log(2)", 2), ("logs", 0)]
        {
            assert_eq!(named(source.as_bytes()).1.len(), count, "{source}");
        }
    }
}
