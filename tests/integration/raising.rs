//! Errors that scripts catch: the VM jumps over frames of its own, which must have nothing to drop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::server::module_path;

/// Functions of the VM that have something to drop or to catch. What they call raises into the VM's own function that
/// catches, without calling a function first: there is an exception then (`src/engine/stack/raising.rs`).
const LOADING: [&str; 2] = ["_ZL8loadsafe", "luau_load"];
/// The VM's own functions for raising, in whose place there are others.
const REPLACED: [&str; 2] = ["_Z20luaD_rawrunprotected", "_ZNK13lua_exception"];

/// The directory with the newest build of the VM beside the module.
fn vm() -> PathBuf {
    let module = module_path();
    let builds = module.parent().expect("a directory").join("build");
    let builds = fs::read_dir(&builds).unwrap_or_else(|error| panic!("{}: {error}", builds.display()));
    let built = builds.filter_map(|entry| {
        let directory = entry.ok()?.path().join("out/luau-build");
        Some((fs::metadata(directory.join("libluauvm.a")).ok()?.modified().ok()?, directory))
    });
    built.max().expect("the VM was built").1
}

/// The functions of a library that have something to drop or to catch, each after the name of its file.
fn with_tables(library: &Path) -> Vec<(String, String)> {
    let output =
        Command::new("readelf").arg("--wide").arg("--sections").arg(library).output().expect("readelf is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names");
    let (mut file, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some((_, name)) = line.strip_prefix("File: ").and_then(|name| name.strip_suffix(")")?.rsplit_once('(')) {
            file = name.to_owned();
        } else if let Some(section) = line.split_whitespace().find(|word| word.starts_with(".gcc_except_table")) {
            // Each function has a section of its own.
            let function = section.trim_start_matches(".gcc_except_table").trim_start_matches('.');
            found.push((file.clone(), function.to_owned()));
        }
    }
    found
}

#[test]
fn no_function_that_a_jump_goes_over_has_anything_to_drop() {
    let directory = vm();
    let found = with_tables(&directory.join("libluauvm.a"));
    // So they are seen.
    for name in LOADING {
        assert!(found.iter().any(|(_, function)| function.starts_with(name)), "{name}: {found:?}");
    }
    let known = |function: &str| LOADING.iter().chain(&REPLACED).any(|name| function.starts_with(name));
    let other: Vec<_> = found.iter().filter(|(_, function)| !known(function)).collect();
    assert!(other.is_empty(), "{other:?}");

    // Of the generator of machine code: what runs it, and what it calls.
    let found = with_tables(&directory.join("libluaucodegen.a"));
    assert!(found.iter().any(|(file, _)| file.contains("IrLowering")), "{found:?}");
    let runs = |file: &str, function: &str| {
        ["CodeGenUtils.o", "NativeState.o"].iter().any(|end| file.ends_with(end)) || function.contains("onEnter")
    };
    let other: Vec<_> = found.iter().filter(|(file, function)| runs(file, function)).collect();
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn the_module_has_its_own_functions_for_raising() {
    let module = module_path();
    let output = Command::new("objdump").args(["--disassemble=_Z10luaD_throwP9lua_Statei"]).arg(&module).output();
    let output = output.expect("objdump is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("<shadow_vm_throw>"), "{text}");
    assert!(!text.contains("<__cxa_throw"), "{text}");
}
