//! The machine and the versions that were measured.

use std::fs;
use std::process::Command;
use std::thread;

/// The lock file, for the versions of the module's dependencies.
const LOCK: &str = include_str!("../Cargo.lock");

/// A line that describes the machine. Neither its name nor a path is in it.
pub fn describe() -> String {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let kibibytes =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = kibibytes.map_or_else(|| "unknown".to_owned(), |size| format!("{:.0} GiB", size / 1_048_576.0));
    let cores = thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |cores| cores.to_string());
    format!("{cores} cores ({processor}), {memory} of memory, {}", output("uname", &["-s", "-r", "-m"]))
}

/// The versions of the module, its VM and its compiler.
pub fn module() -> String {
    let luau = version("luau0-src").and_then(|version| version.split_once("+luau").map(|(_, luau)| luau.to_owned()));
    format!(
        "shadow-functions {}, mlua {}, Luau 0.{}, {}",
        env!("CARGO_PKG_VERSION"),
        version("mlua").unwrap_or_default(),
        luau.unwrap_or_default(),
        output("rustc", &["--version"])
    )
}

/// The day in UTC, as in 2026-01-31.
pub fn date() -> String {
    output("date", &["-u", "+%Y-%m-%d"])
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn version(package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let line = LOCK.lines().skip_while(|line| *line != name).nth(1)?;
    Some(line.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
