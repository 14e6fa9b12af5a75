//! Measures the module beside the stock commands, in the same server and by turns.
//!
//! `cargo bench --bench flush`. From the environment:
//!
//! - `SERVERS`: binaries of servers, separated by spaces; default `redis-server`.
//! - `BENCH_SHORT=1`: fewer and smaller rounds, for a quick look.
//!
//! Times "in the server" are those of `INFO commandstats`. Each pair of samples, stock and shadow, is taken one right
//! after the other; ratios are medians over the pairs, above 1 where the module needs less. Progress is shown on
//! standard error, the tables on standard output.

#[path = "../tests/support/mod.rs"]
mod support;

mod calls;
mod clearing;
mod latency;
mod memory;
mod plan;
mod progress;
mod side;
mod summary;
mod table;

use std::env;
use std::process::{Command, ExitCode};

use plan::Plan;
use support::{Flavour, Options, Server};

fn main() -> ExitCode {
    let servers = env::var("SERVERS").unwrap_or_default();
    let servers: Vec<&str> = servers.split_whitespace().collect();
    if servers.is_empty() {
        measure();
        return ExitCode::SUCCESS;
    }
    // Each in a process of its own: the harness has the server's name from the environment.
    let failures = servers.iter().filter(|server| !measured_apart(server)).count();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs this program for one server; whether it succeeded.
fn measured_apart(server: &str) -> bool {
    let program = env::current_exe().expect("the path of this program");
    let status = Command::new(program).env("SERVER", server).env_remove("SERVERS").status();
    status.expect("this program can be started once more").success()
}

/// Measures one server and prints its tables.
fn measure() {
    let plan = Plan::from_environment();
    let server = start();
    let title = title(&server);
    eprintln!("{title}");
    let calls = calls::measure(&server, &plan);
    drop(server);
    let memory = memory::measure(start, &plan);
    let server = start();
    let clearing = clearing::measure(&server, &plan);
    let latency = latency::measure(&server, &plan);
    drop(server);
    eprintln!();

    println!("{title}\n");
    for table in clearing {
        println!("{table}");
    }
    println!("{memory}\n{latency}");
    for table in calls {
        println!("{table}");
    }
}

/// A server with the module. Without histograms of latency, which would count as memory that a flush leaves behind.
fn start() -> Server {
    Options::new().set("latency-tracking", "no").module_arguments("enable-debug-command yes").start()
}

/// The server's name and version.
fn title(server: &Server) -> String {
    let (name, field) = match server.flavour() {
        Flavour::Redis => ("Redis", "redis_version"),
        Flavour::Valkey => ("Valkey", "valkey_version"),
    };
    let version = server.client().info(field).unwrap_or_default();
    format!("=== {name} {version} ({}) ===", support::server::server_binary())
}
