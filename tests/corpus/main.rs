//! Old files. Beside this program there is a folder for each version of the module, and in it one for each server of
//! the matrix: snapshots, append-only files and a payload as that version wrote them there, and `holds.json`, which
//! says what they hold. This version reads all that the server can read.
//!
//! `make corpus` writes the folder of this version: `CORPUS` is where it goes.

#[path = "../support/mod.rs"]
mod support;

mod contents;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use shadow::registry::payload::{self, Rules, Versions};
use tempfile::TempDir;

use contents::{Contents, prepare_deployed, prepare_loaded, prepare_more, set_key};
use support::{Client, Flavour, Options, Server, Value, snapshot, wait_until};

/// The files of a server's folder. The append-only files are folders, as the server names them.
const LOADED: &str = "loaded.rdb";
const DEPLOYED: &str = "deployed.rdb";
const PREAMBLE: &str = "preamble";
const COMMANDS: &str = "commands";
const PAYLOAD: &str = "libraries.payload";
const HOLDS: &str = "holds.json";

/// The version of the module that is tested.
const MODULE: &str = env!("CARGO_PKG_VERSION");

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("corpus")
}

/// The folders in `directory`, in the order of their names.
fn folders(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The name of the server in the matrix.
fn matrix_name(server: &Server) -> String {
    let (name, (major, minor, _)) = match server.valkey_version() {
        Some(version) => ("valkey", version),
        None => ("redis", server.version()),
    };
    format!("{name}-{major}.{minor}")
}

/// The options that a file is written and read with.
fn options(append_only: bool, preamble: bool) -> Options {
    let word = |yes: bool| if yes { "yes" } else { "no" };
    Options::new()
        .set("appendonly", word(append_only))
        .set("appendfsync", "always")
        .set("aof-use-rdb-preamble", word(preamble))
        .set("auto-aof-rewrite-percentage", "0")
        .module_arguments("keep-scripts yes")
}

fn options_of(file: &str) -> Options {
    options([PREAMBLE, COMMANDS].contains(&file), file == PREAMBLE)
}

fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.run(line).text(), "OK", "{line}");
}

fn rewritten(client: &mut Client) {
    wait_until("the file is rewritten", || {
        client.info_number("aof_rewrite_scheduled") + client.info_number("aof_rewrite_in_progress") == 0
    });
    assert_eq!(client.info("aof_last_bgrewrite_status").as_deref(), Some("ok"));
}

fn dump(client: &mut Client) -> Vec<u8> {
    match client.run("SHADOW.FUNCTION DUMP") {
        Value::Bulk(payload) => payload,
        other => panic!("no payload: {other:?}"),
    }
}

fn restore(client: &mut Client, container: &str, payload: &[u8]) -> Value {
    client.call(&[container.as_bytes(), b"RESTORE", payload, b"FLUSH"])
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).expect("the file is copied");
        }
    }
}

// ---- writing --------------------------------------------------------------------------------------------------------

/// Writes all files of this version and this server to `folder`.
fn write(folder: &Path) {
    let mut holds = Map::new();
    let mut note = |file: &str, contents: &Contents| holds.insert(file.to_owned(), contents.to_json());

    // What versions without deploys and kept scripts write as well, and bytes as they are.
    let server = options(false, true).set("rdbcompression", "no").set("rdbchecksum", "no").start();
    let mut client = server.client();
    prepare_loaded(&mut client);
    note(LOADED, &Contents::of(&mut client));
    ok(&mut client, "SAVE");
    fs::copy(server.directory().join("dump.rdb"), folder.join(LOADED)).expect("the snapshot is copied");
    fs::write(folder.join(PAYLOAD), dump(&mut client)).expect("the payload is written");

    let server = options(false, true).start();
    let mut client = server.client();
    prepare_deployed(&mut client);
    note(DEPLOYED, &Contents::of(&mut client));
    ok(&mut client, "SAVE");
    fs::copy(server.directory().join("dump.rdb"), folder.join(DEPLOYED)).expect("the snapshot is copied");

    for file in [PREAMBLE, COMMANDS] {
        let mut server = options_of(file).start();
        let mut client = server.client();
        prepare_deployed(&mut client);
        client.run("BGREWRITEAOF");
        rewritten(&mut client);
        prepare_more(&mut client);
        note(file, &Contents::of(&mut client));
        server.kill();
        copy_folder(&server.directory().join("appendonlydir"), &folder.join(file));
    }

    let name = matrix_name(&server);
    let holds = json!({"module": MODULE, "server": name, "files": holds});
    let text = serde_json::to_string_pretty(&holds).expect("a text");
    fs::write(folder.join(HOLDS), text + "\n").expect("the contents are written");
}

/// What this version writes is read by itself; with `CORPUS`, it is put there.
#[test]
fn the_files_of_this_version_are_read() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path());
    let mut reader = Reader::new();
    assert_eq!(reader.read_folder(folder.path()), FILES);
    if let Some(corpus) = std::env::var_os("CORPUS") {
        let own = Path::new(&corpus).join(MODULE).join(&reader.name);
        if own.exists() {
            fs::remove_dir_all(&own).expect("the old folder goes");
        }
        copy_folder(folder.path(), &own);
        println!("{} is written", own.display());
    }
}

// ---- reading --------------------------------------------------------------------------------------------------------

/// The files of each folder.
const FILES: usize = 5;

/// How servers refuse a snapshot of another format, by itself or at the beginning of an append-only file.
const REFUSALS: [&str; 3] = ["RDB format version", "Wrong signature trying to load DB", "Bad file format"];

/// A server that is started on one file after the other.
struct Reader {
    server: Server,
    name: String,
    /// The versions of snapshots that it reads, and its own.
    versions: Versions,
    own: u16,
}

impl Reader {
    fn new() -> Self {
        let server = options(false, true).start();
        let own = payload::version(&dump(&mut server.client())).expect("a footer");
        let versions = match server.flavour() {
            Flavour::Redis => Versions::Redis(own),
            Flavour::Valkey => Versions::Valkey(own),
        };
        Self { name: matrix_name(&server), server, versions, own }
    }

    /// Starts the server on a file of the folder, or on what `change` makes of it; the log if it gives up.
    fn start_on(&mut self, folder: &Path, file: &str, change: impl FnOnce(&mut [u8])) -> Result<(), String> {
        self.server.kill();
        let directory = self.server.directory();
        let data = directory.join(if file.ends_with(".rdb") { "dump.rdb" } else { "appendonlydir" });
        for old in ["dump.rdb", "appendonlydir"].map(|name| directory.join(name)) {
            if old.is_dir() {
                fs::remove_dir_all(old).expect("the last file goes");
            } else if old.exists() {
                fs::remove_file(old).expect("the last file goes");
            }
        }
        let source = folder.join(file);
        if source.is_dir() {
            copy_folder(&source, &data);
        } else {
            fs::copy(&source, &data).expect("the file is copied");
        }
        if let Some(snapshot) = snapshot_in(&data) {
            let mut bytes = fs::read(&snapshot).expect("the snapshot");
            change(&mut bytes);
            fs::write(snapshot, bytes).expect("the snapshot is written");
        }
        self.server.try_restart(&options_of(file))
    }

    /// Reads all files of a folder; how many of them the server could read.
    fn read_folder(&mut self, folder: &Path) -> usize {
        let text = fs::read_to_string(folder.join(HOLDS)).expect("what the files hold");
        let holds: Json = serde_json::from_str(&text).expect("JSON");
        let mut read = 0;
        for (file, expected) in holds["files"].as_object().expect("files") {
            let of = format!("{}/{file} on {}", folder.display(), self.name);
            let version = snapshot_in(&folder.join(file))
                .map(|snapshot| snapshot::version(&fs::read(snapshot).expect("the snapshot")));
            let started = self.start_on(folder, file, |_| {});
            if version.is_some_and(|version| !self.versions.accept(version)) {
                let log = started.expect_err(&of);
                assert!(REFUSALS.iter().any(|words| log.contains(words)), "{of}: {log}");
                assert!(!log.contains("<shadow>"), "{of}: not the module refuses it: {log}");
                continue;
            }
            started.unwrap_or_else(|log| panic!("{of}: {log}"));
            assert_eq!(&Contents::of(&mut self.server.client()).to_json(), expected, "{of}");
            read += 1;
        }
        read + usize::from(self.read_payload(folder, &holds["files"][LOADED]))
    }

    /// Restores the payload of a folder, in the module and in the server itself. Whether the server could read it.
    fn read_payload(&mut self, folder: &Path, expected: &Json) -> bool {
        let of = format!("{}/{PAYLOAD} on {}", folder.display(), self.name);
        let payload = fs::read(folder.join(PAYLOAD)).expect("the payload");
        let server = options(false, true).start();
        let mut client = server.client();
        set_key(&mut client);
        let replies = ["SHADOW.FUNCTION", "FUNCTION"].map(|container| restore(&mut client, container, &payload));
        assert_eq!(replies[0], replies[1], "{of}");
        if !self.versions.accept(payload::version(&payload).expect("a footer")) {
            assert!(replies[0].is_error(), "{of}: {:?}", replies[0]);
            return false;
        }
        assert_eq!(replies[0].text(), "OK", "{of}");
        for prefix in ["SHADOW.", ""] {
            let contents = Contents::of_registry(&mut client, prefix).to_json();
            for part in ["libraries", "replies"] {
                assert_eq!(contents[part], expected[part], "{of}, {prefix}FUNCTION");
            }
        }
        true
    }
}

/// The snapshot that a file is or begins with.
fn snapshot_in(file: &Path) -> Option<PathBuf> {
    if !file.is_dir() {
        return Some(file.to_owned());
    }
    let entries = fs::read_dir(file).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "rdb"))
}

#[test]
fn the_files_of_all_versions_are_read() {
    let mut reader = Reader::new();
    let mut counts = Vec::new();
    for version in folders(&corpus()) {
        for folder in folders(&version) {
            let read = reader.read_folder(&folder);
            // Every server reads its own, those of 7.0, and a file of commands whoever wrote it.
            let name = folder.file_name().expect("a name").to_string_lossy();
            assert!(read >= if [&reader.name, "redis-7.0"].contains(&&*name) { FILES } else { 1 }, "{name}: {read}");
            counts.push(format!("{name} {read}"));
        }
    }
    println!("{} has read of {FILES} files: {}", reader.name, counts.join(", "));
}

/// So a release cannot forget them.
#[test]
fn this_version_has_its_files() {
    let names: Vec<String> = folders(&corpus().join(MODULE))
        .iter()
        .map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["redis-7.0", "redis-8.0", "redis-8.2", "redis-8.6", "valkey-8.1", "valkey-9.1"]);
}

#[test]
fn files_of_a_newer_version_are_refused_in_clear_words() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path());
    let mut reader = Reader::new();
    for file in [LOADED, DEPLOYED, PREAMBLE] {
        let log = reader.start_on(folder.path(), file, snapshot::make_newer).expect_err(file);
        let words = "<shadow> the file holds libraries in format 2, and this version of the module reads formats up to 1: \
                     load a newer version of the module";
        assert!(log.contains(words), "{file}: {log}");
        // It was that alone.
        reader.start_on(folder.path(), file, |_| {}).expect(file);
    }
}

#[test]
fn a_payload_of_a_newer_version_is_refused_in_the_servers_words() {
    let reader = Reader::new();
    let mut client = reader.server.client();
    prepare_loaded(&mut client);
    let before = Contents::of(&mut client);
    let records = payload::read(&dump(&mut client), Rules::new(reader.versions))
        .expect("a payload of its own")
        .map(|record| record.expect("a library").into_owned())
        .collect::<Vec<_>>();
    for (version, taken) in [(reader.own, true), (reader.own + 1, false)] {
        let payload = payload::write(records.iter().map(Vec::as_slice), version, false);
        let replies = ["SHADOW.FUNCTION", "FUNCTION"].map(|container| restore(&mut client, container, &payload));
        let expected = if taken { "OK" } else { "ERR DUMP payload version or checksum are wrong" };
        assert_eq!(replies.map(|reply| reply.text()), [expected; 2], "{version}");
        assert_eq!(Contents::of(&mut client), before);
    }
}
