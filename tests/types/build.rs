//! Builds the driver against the headers that the crate of the type checker brings.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The crate whose sources hold Luau.
const CRATE: &str = "luau-analyzer-sys";

fn main() {
    let luau = luau();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).file("src/check.cpp");
    for part in ["Analysis", "Ast", "Bytecode", "Common", "Compiler", "Config", "VM"] {
        build.include(luau.join(part).join("include"));
    }
    build.compile("check");
    println!("cargo::rerun-if-changed=src/check.cpp");
}

/// Where Luau's sources lie. A crate is not told the directories of those that it depends on, but cargo knows them.
fn luau() -> PathBuf {
    let variable = |name| env::var(name).expect("cargo sets it");
    // What other platforms need has not been fetched.
    let metadata = Command::new(variable("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &variable("TARGET")])
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(metadata.stdout).expect("JSON");
    let manifest = text
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.contains(CRATE))
        .unwrap_or_else(|| panic!("{CRATE} is not among the packages: {}", String::from_utf8_lossy(&metadata.stderr)));
    PathBuf::from(manifest).with_file_name("luau")
}
