//! The servers that are measured.

use std::env;
use std::path::Path;

use crate::support::{Flavour, Options, Server};

/// Where scripts/matrix.sh leaves the servers that it fetches.
const DIRECTORY: &str = "target/servers";

/// Those of them that are measured: the one that the goals name, and the newest of each family.
pub const FETCHED: [&str; 3] = ["redis-8.2", "redis-8.6", "valkey-9.1"];

/// A server that is measured.
#[derive(Clone)]
pub struct Identity {
    /// Such as `Redis 7.0.15`.
    pub name: String,
    /// The allocator that it was built with, such as `jemalloc-5.3.0`.
    pub allocator: String,
    /// Such as `redis-server`.
    binary: String,
}

impl Identity {
    /// Asks a server who it is.
    ///
    /// # Panics
    ///
    /// When it cannot be started with the module.
    pub fn of(binary: &str) -> Self {
        let server = start(binary);
        let (name, field) = match server.flavour() {
            Flavour::Redis => ("Redis", "redis_version"),
            Flavour::Valkey => ("Valkey", "valkey_version"),
        };
        let mut client = server.client();
        let version = client.info(field).expect("INFO has the server's version");
        let allocator = client.info("mem_allocator").expect("INFO has the server's allocator");
        Self { name: format!("{name} {version}"), allocator, binary: binary.to_owned() }
    }

    /// A server with the module.
    pub fn start(&self) -> Server {
        start(&self.binary)
    }

    /// One with the module, which deploys the files of the directory that it runs in.
    pub fn start_for_files(&self) -> Server {
        with_module(&self.binary).module_arguments("library-dir .").start()
    }

    /// The same server without it.
    pub fn start_without_module(&self) -> Server {
        Options::new().binary(&self.binary).set("latency-tracking", "no").without_module().start()
    }

    /// One with the module, run by another program: `words` are its name and arguments.
    pub fn start_under(&self, words: &[&str]) -> Server {
        with_module(&self.binary).under(words).start()
    }
}

/// Without latency histograms, which would count as memory that a flush leaves behind.
fn with_module(binary: &str) -> Options {
    Options::new().binary(binary).set("latency-tracking", "no").module_arguments("enable-debug-command yes")
}

fn start(binary: &str) -> Server {
    with_module(binary).start()
}

/// The binaries that `SERVERS` names, separated by spaces; a path is relative to the current directory. Without it,
/// `redis-server` and what there is of [`FETCHED`].
pub fn binaries() -> Vec<String> {
    let named = env::var("SERVERS").unwrap_or_default();
    let named: Vec<String> = named.split_whitespace().map(absolute).collect();
    if !named.is_empty() {
        return named;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIRECTORY);
    let fetched = FETCHED.map(|name| directory.join(name));
    let fetched = fetched.iter().filter(|path| path.is_file()).map(|path| path.to_string_lossy().into_owned());
    ["redis-server".to_owned()].into_iter().chain(fetched).collect()
}

/// Servers run in directories of their own.
fn absolute(binary: &str) -> String {
    let path = Path::new(binary);
    if binary.contains('/')
        && let Ok(path) = path.canonicalize()
    {
        return path.to_string_lossy().into_owned();
    }
    binary.to_owned()
}
