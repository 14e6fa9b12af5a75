//! Checks libraries with Luau's type checker, by both of its solvers, and fails when one of them complains.
//!
//!     types DEFINITIONS FILE...
//!
//! A file is a library or a page of Markdown, whose libraries are its fenced blocks of Lua that begin with `#!lua`. A
//! line that ends with `-- wrong` is one that the checker must complain about.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::process::ExitCode;
use std::{env, fs};

// The driver calls the checker that this crate builds.
use luau_analyzer_sys as _;

/// What a line ends with that the checker must complain about.
const WRONG: &str = "-- wrong";

/// Luau's solvers, and whether it is the new one.
const SOLVERS: [(&str, bool); 2] = [("old solver", false), ("new solver", true)];

type Report = unsafe extern "C" fn(*mut c_void, c_uint, *const c_char);

unsafe extern "C" {
    fn check_library(
        definitions: *const c_char,
        source: *const c_char,
        new_solver: bool,
        report: Report,
        context: *mut c_void,
    ) -> bool;
}

/// A line, counted from 1, and what the checker says about it.
type Diagnostics = Vec<(usize, String)>;

/// A source, and the line of its file that its first line is, counted from 0.
struct Library {
    first: usize,
    source: String,
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let definitions_path = arguments.next().expect("the definitions are the first argument");
    let definitions = read(&definitions_path);
    let (mut checked, mut complaints) = (0, 0);
    for path in arguments {
        let libraries = libraries(&path, read(&path));
        for (library, (solver, new)) in libraries.iter().flat_map(|library| SOLVERS.map(|solver| (library, solver))) {
            match check(&definitions, &library.source, new) {
                Ok(diagnostics) => {
                    for (line, text) in unexpected(&library.source, diagnostics) {
                        eprintln!("{path}:{}: {text} ({solver})", library.first + line);
                        complaints += 1;
                    }
                }
                Err(diagnostics) => {
                    for (line, text) in diagnostics {
                        eprintln!("{definitions_path}:{line}: {text} ({solver})");
                    }
                    return ExitCode::FAILURE;
                }
            }
        }
        checked += libraries.len();
    }
    println!("{checked} libraries checked, {complaints} complaints");
    if checked > 0 && complaints == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The libraries of a file. The first line of each, which is no Luau, is left out but for its end.
fn libraries(path: &str, text: String) -> Vec<Library> {
    let mut found = Vec::new();
    if path.ends_with(".md") {
        let mut first = 0;
        for (number, part) in text.split("```").enumerate() {
            if number % 2 == 1
                && let Some(source) = part.strip_prefix("lua\n#!lua")
            {
                found.push(Library { first: first + 1, source: without_first_line(source) });
            }
            first += part.matches('\n').count();
        }
    } else {
        found.push(Library { first: 0, source: without_first_line(&text) });
    }
    found
}

fn without_first_line(source: &str) -> String {
    source.find('\n').map_or_else(String::new, |end| source[end..].to_owned())
}

/// What the checker says; an error when it is about the definitions.
fn check(definitions: &str, source: &str, new_solver: bool) -> Result<Diagnostics, Diagnostics> {
    unsafe extern "C" fn collect(context: *mut c_void, line: c_uint, text: *const c_char) {
        // SAFETY: the context is the one given to `check_library` below, which calls this while it runs and no more.
        let diagnostics = unsafe { &mut *context.cast::<Diagnostics>() };
        // SAFETY: the driver gives a text that ends with NUL and lives as long as this call.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        diagnostics.push((line as usize + 1, text));
    }
    let definitions = CString::new(definitions).expect("definitions hold no NUL");
    let source = CString::new(source).expect("a library holds no NUL");
    let mut diagnostics = Diagnostics::new();
    // SAFETY: both texts end with NUL and outlive the call, and so does the context, which nothing else touches
    // meanwhile. The driver lets no exception out.
    let loaded = unsafe {
        check_library(
            definitions.as_ptr(),
            source.as_ptr(),
            new_solver,
            collect,
            (&raw mut diagnostics).cast::<c_void>(),
        )
    };
    if loaded { Ok(diagnostics) } else { Err(diagnostics) }
}

/// The diagnostics of lines that are not marked, and a complaint for each marked line that has none.
fn unexpected(source: &str, diagnostics: Diagnostics) -> Diagnostics {
    let marked: BTreeSet<usize> =
        source.lines().zip(1..).filter(|(line, _)| line.ends_with(WRONG)).map(|(_, number)| number).collect();
    let found: BTreeSet<usize> = diagnostics.iter().map(|(line, _)| *line).collect();
    let missed = marked.difference(&found).map(|line| (*line, "nothing is wrong here".to_owned()));
    diagnostics.into_iter().filter(|(line, _)| !marked.contains(line)).chain(missed).collect()
}
