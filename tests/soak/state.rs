//! What a server has, and what it takes.

use std::fs;

use shadow::registry::payload::{self, Rules, Versions};

use crate::SETTLING;
use crate::support::{Client, Server, Value, holds_within};

/// The sources of all libraries, sorted, as LIST and DUMP both tell them.
///
/// # Panics
/// When they do not tell the same.
pub fn contents(server: &Server) -> Vec<Vec<u8>> {
    let mut client = server.client();
    let Value::Bulk(dump) = client.run("SHADOW.FUNCTION DUMP") else { panic!("a payload") };
    let records = payload::read(&dump, Rules::new(Versions::Relaxed)).expect("a sound payload");
    let mut dumped: Vec<_> = records.map(|record| record.expect("a record").into_owned()).collect();
    let list = client.run("SHADOW.FUNCTION LIST WITHCODE").items();
    let code = |library: &Value| match library.field("library_code") {
        Some(Value::Bulk(code)) => code,
        other => panic!("{other:?} is no code"),
    };
    let mut listed: Vec<_> = list.iter().map(code).collect();
    dumped.sort();
    listed.sort();
    assert_eq!(dumped, listed);
    listed
}

/// What is said of the current version: its name, when and by whom it was deployed, and its libraries.
pub fn version(server: &Server) -> Value {
    let versions = server.client().run("SHADOW.FUNCTION VERSIONS").items();
    let fields = ["version", "sha256", "deployed_at_ms", "client", "user", "libraries", "functions"];
    Value::Array(fields.map(|field| versions[0].field(field).expect("a field of a version")).into())
}

/// The digests of all scripts, sorted.
pub fn scripts(server: &Server) -> Vec<String> {
    let list = server.client().run("SHADOW.SCRIPT LIST").items();
    let mut digests: Vec<_> =
        list.iter().map(|script| script.field("sha1").map(|digest| digest.text()).unwrap_or_default()).collect();
    digests.sort();
    digests
}

/// A sum of all keys.
pub fn digest(server: &Server) -> String {
    server.client().run("DEBUG DIGEST").text()
}

/// What a server takes of the machine.
#[derive(Debug)]
pub struct Footprint {
    memory: i64,
    threads: Vec<String>,
    /// What each of its descriptors leads to.
    descriptors: Vec<String>,
}

impl Footprint {
    /// What it takes now.
    pub fn of(server: &Server) -> Self {
        let mut client = server.client();
        let mut threads = server.thread_names();
        // The server's allocator starts its own as it needs them, up to one for each processor.
        threads.retain(|name| name != "jemalloc_bg_thd");
        Self { memory: memory(&mut client), threads, descriptors: descriptors(server) }
    }

    /// Returns once the server takes no more than `before`, and no more memory than that and `tolerance`.
    ///
    /// # Panics
    /// When it goes on taking more.
    pub fn wait_for(server: &Server, before: &Self, tolerance: i64) {
        let mut now = Self::of(server);
        let settled = holds_within(SETTLING, || {
            now = Self::of(server);
            now.memory <= before.memory + tolerance
                && now.threads == before.threads
                && now.descriptors.len() <= before.descriptors.len()
        });
        println!(
            "port {}: {} B of memory more than the {} B before, {} threads, {} descriptors",
            server.port(),
            now.memory - before.memory,
            before.memory,
            now.threads.len(),
            now.descriptors.len()
        );
        assert!(settled, "it was {before:?} before, and is {now:?}");
    }
}

/// Bytes that the server uses but for those that are on their way to replicas and into the append only file. Those of
/// clients count: what Redis 8.2 tells of them grows on a replica without end.
fn memory(client: &mut Client) -> i64 {
    let text = client.run("INFO memory").text();
    let field = |name: &str| -> i64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("INFO has no field {name}"))
    };
    let moving = ["mem_total_replication_buffers", "mem_aof_buffer"];
    field("used_memory") - moving.into_iter().map(field).sum::<i64>()
}

fn descriptors(server: &Server) -> Vec<String> {
    let list = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the server is running");
    let target = |entry: fs::DirEntry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned());
    let mut targets: Vec<String> = list.filter_map(|entry| target(entry.ok()?)).collect();
    targets.sort();
    targets
}
