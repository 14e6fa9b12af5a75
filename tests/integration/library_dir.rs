//! Libraries that are deployed as files: `shadow.library-dir`.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use crate::support::library::{load, names, numbered, source};
use crate::support::replicas::{Monitor, follow, replica_of, replica_with, wait_in_step};
use crate::support::server::module_path;
use crate::support::{Options, Server, Value, wait_until};

/// A directory of library files.
pub struct Deployment(TempDir);

impl Deployment {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let deployment = Self(TempDir::with_prefix("shadow-").expect("a directory"));
        for (name, code) in files {
            deployment.put(name, code);
        }
        deployment
    }

    pub fn put(&self, name: impl AsRef<OsStr>, code: &str) {
        fs::write(self.path().join(name.as_ref()), code).expect("the file is written");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn shown(&self) -> String {
        self.path().display().to_string()
    }

    /// The options of a server with this directory.
    pub fn on(&self, options: Options) -> Options {
        options.module_arguments(&format!("library-dir {}", self.shown()))
    }
}

/// A library `name` with a function that returns `value` and writes nothing.
fn returns(name: &str, function: &str, value: &str) -> String {
    let callback = format!("function() return '{value}' end");
    let registered = format!("function_name = '{function}', callback = {callback}, flags = {{'no-writes'}}");
    source(name, &format!("redis.register_function{{{registered}}}"))
}

fn append_only() -> Options {
    Options::new().set("appendonly", "yes").set("appendfsync", "always")
}

/// The commands of the module in the append only file, without their payloads.
fn written(server: &Server) -> Vec<String> {
    let commands = server.aof().into_iter().filter(|command| command[0].eq_ignore_ascii_case("SHADOW.FUNCTION"));
    commands.map(|command| command[1].to_ascii_lowercase()).collect()
}

fn refused(options: &Options) -> String {
    options.clone().try_start().err().expect("the server does not start")
}

#[track_caller]
fn assert_logged(log: &str, text: &str) {
    assert!(log.contains(text), "the log does not say {text:?}:\n{log}");
}

/// A client that is there as soon as the server takes clients, through the socket at `path`, and calls `f`. What it is
/// answered once the server has loaded its files.
fn first_client(path: &Path) -> JoinHandle<String> {
    let path = path.to_owned();
    thread::spawn(move || {
        let mut stream = None;
        wait_until("the server takes clients", || {
            stream = UnixStream::connect(&path).ok();
            stream.is_some()
        });
        let mut stream = stream.expect("a connection");
        let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut reply = String::new();
        wait_until("the server has loaded its files", || {
            reply.clear();
            stream.write_all(b"SHADOW.FCALL f 0\r\n").expect("the command is written");
            replies.read_line(&mut reply).expect("a reply");
            !reply.starts_with("-LOADING")
        });
        replies.read_line(&mut reply).expect("the text");
        reply
    })
}

#[test]
fn the_first_client_finds_the_libraries() {
    let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "A"))]);
    for _ in 0..5 {
        let socket = deployment.path().join("socket");
        let first = first_client(&socket);
        let server = deployment.on(Options::new().set("unixsocket", &socket.display().to_string())).start();
        assert_eq!(first.join().expect("the first client ends"), "$1\r\nA\r\n");
        let mut client = server.client();
        assert_eq!(client.info_number("rdb_changes_since_last_save"), 1, "it counts as a change");
        assert_eq!(client.info_number("total_error_replies"), 0);
    }
}

#[test]
fn a_client_that_waited_for_the_load_of_a_file_finds_the_libraries() {
    let mut server = Server::start();
    let mut client = server.client();
    load(&mut client, &returns("a", "f", "old"));
    client.run("DEBUG POPULATE 300");
    client.run("SAVE");
    let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "new"))]);
    let socket = deployment.path().join("socket");
    let slow = Options::new().set("unixsocket", &socket.display().to_string()).set("key-load-delay", "1000");
    // The server looks at its clients now and then while it loads.
    let slow = slow.set("loading-process-events-interval-bytes", "1024");
    let first = first_client(&socket);
    server.restart(&deployment.on(slow));
    assert_eq!(first.join().expect("the first client ends"), "$3\r\nnew\r\n");
}

#[test]
fn only_visible_library_files_of_the_directory_itself_count() {
    let deployment = Deployment::new(&[
        ("one.lua", &returns("one", "f1", "1")),
        ("two.luau", &returns("two", "f2", "2")),
        ("README.md", "no library"),
        ("three.lua~", "no library"),
        ("three.LUA", "no library"),
        ("lua", "no library"),
        (".#four.lua", "no library"),
    ]);
    let elsewhere = Deployment::new(&[("five", &returns("five", "f5", "5"))]);
    symlink(elsewhere.path().join("five"), deployment.path().join("5.lua")).expect("a link");
    fs::create_dir(deployment.path().join("sub.lua")).expect("a directory");
    fs::write(deployment.path().join("sub.lua/six.lua"), "no library").expect("a file");
    deployment.put(OsStr::from_bytes(b"\xff.lua"), "no library");
    let server = deployment.on(Options::new()).start();
    assert_eq!(names(&mut server.client()), ["five", "one", "two"]);
    let line = format!("<shadow> of the 3 libraries of '{}' were loaded: five, one, two", deployment.shown());
    assert_logged(&server.log(), &line);
}

#[test]
fn an_empty_directory_is_no_error() {
    let server = Deployment::new(&[]).on(Options::new()).start();
    assert_eq!(names(&mut server.client()), [""; 0]);
}

#[test]
fn a_file_that_differs_takes_the_place_of_the_library_of_the_snapshot() {
    let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "old")), ("b.lua", &returns("b", "g", "same"))]);
    let mut server = deployment.on(Options::new()).start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("SAVE");
    deployment.put("a.lua", &returns("a", "f", "new"));
    deployment.put("c.lua", &returns("c", "h", "added"));
    server.restart(&deployment.on(Options::new()));
    let mut client = server.client();
    assert_eq!(names(&mut client), ["a", "b", "c", "lib1"], "what is in no file stays");
    assert_eq!(
        ["f", "g", "h"].map(|name| client.run(&format!("SHADOW.FCALL {name} 0")).text()),
        ["new", "same", "added"]
    );
    assert_logged(&server.log(), &format!("of the 3 libraries of '{}' were loaded: a, c\n", deployment.shown()));
    client.run("SAVE");
    server.restart(&deployment.on(Options::new()));
    assert_logged(&server.log(), &format!("of the 3 libraries of '{}' none had to be loaded", deployment.shown()));
    assert_eq!(server.client().info_number("rdb_changes_since_last_save"), 0);
}

#[test]
fn the_append_only_file_holds_what_was_loaded_once() {
    for preamble in ["yes", "no"] {
        let options = append_only().set("aof-use-rdb-preamble", preamble);
        let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "1"))]);
        let mut server = deployment.on(options.clone()).start();
        for value in ["1", "1", "2", "2"] {
            deployment.put("a.lua", &returns("a", "f", value));
            server.restart(&deployment.on(options.clone()));
            assert_eq!(server.client().run("SHADOW.FCALL f 0").text(), value);
        }
        assert_eq!(written(&server), ["restore"; 2], "each version once, with preamble {preamble}");
        server.restart(&options);
        assert_eq!(server.client().run("SHADOW.FCALL f 0").text(), "2", "without the directory");
        assert_eq!(server.client().info_number("unexpected_error_replies"), 0);
    }
}

#[test]
fn functions_move_between_files() {
    let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "a1")), ("b.lua", &returns("b", "g", "b1"))]);
    let mut server = deployment.on(append_only()).start();
    deployment.put("a.lua", &returns("a", "g", "a2"));
    deployment.put("b.lua", &returns("b", "f", "b2"));
    server.restart(&deployment.on(append_only()));
    let replica = replica_of(&server);
    for client in [&mut server.client(), &mut replica.client()] {
        assert_eq!(["f", "g"].map(|name| client.run(&format!("SHADOW.FCALL_RO {name} 0")).text()), ["b2", "a2"]);
    }
    server.restart(&append_only());
    assert_eq!(server.client().run("SHADOW.FCALL g 0").text(), "a2", "out of the append only file");
}

#[test]
fn a_bad_file_stops_the_start_and_is_named() {
    let good = returns("good", "f", "1");
    for (file, code, reason) in [
        (
            "a.lua",
            "#!lua name=a\nredis.register_function(",
            "failed loading library file 'DIR/a.lua': ERR Error compiling",
        ),
        (
            "a.lua",
            "#!lua name=a\nerror('no')",
            "failed loading library file 'DIR/a.lua': ERR Error registering functions: ",
        ),
        (
            "a.lua",
            "#!lua name=a\nwhile true do end",
            "failed loading library file 'DIR/a.lua': ERR Error registering functions: ",
        ),
        ("a.luau", "#!lua name=a\n", "failed loading library file 'DIR/a.luau': ERR No functions registered"),
        ("a.lua", "", "failed loading library file 'DIR/a.lua': ERR Missing library metadata"),
        ("a.lua", "#!js name=a\n", "failed loading library file 'DIR/a.lua': ERR Engine 'js' not found"),
        (
            "z.lua",
            &returns("good", "g", "2"),
            "library files 'DIR/good.lua' and 'DIR/z.lua' both hold the library 'good'",
        ),
        (
            "b.lua",
            &returns("b", "F", "2"),
            "library files 'DIR/b.lua' and 'DIR/good.lua' both register the function 'f'",
        ),
    ] {
        let deployment = Deployment::new(&[("good.lua", &good), (file, code)]);
        let log = refused(&deployment.on(Options::new()));
        assert_logged(&log, &format!("<shadow> {}", reason.replace("DIR", &deployment.shown())));
    }
}

#[test]
fn what_cannot_be_read_stops_the_start_and_is_named() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    symlink("nowhere", deployment.path().join("b.lua")).expect("a link");
    let reason = "No such file or directory";
    let line = format!("<shadow> library file '{}/b.lua' cannot be read: {reason}", deployment.shown());
    assert_logged(&refused(&deployment.on(Options::new())), &line);
    for (name, reason) in [("missing", reason), ("a.lua", "Not a directory")] {
        let path = deployment.path().join(name).display().to_string();
        let log = refused(&Options::new().module_arguments(&format!("library-dir {path}")));
        assert_logged(&log, &format!("<shadow> the library directory '{path}' cannot be read: {reason}"));
    }
}

#[test]
fn the_limit_of_memory_holds_for_the_files() {
    let large = |name: &str| {
        let body = format!(
            "local kept = {{}} for i = 1, 40000 do kept[i] = i end \
             redis.register_function('{name}', function() return #kept end)"
        );
        source(name, &body)
    };
    let deployment = Deployment::new(&[("a.lua", &large("a"))]);
    let limited = |options: Options| options.module_arguments("memory-limit 1500kb");
    let server = deployment.on(limited(Options::new())).start();
    assert_eq!(server.client().run("SHADOW.FCALL a 0"), Value::Integer(40_000));
    // Together with another file ...
    deployment.put("b.lua", &large("b"));
    let line = format!("<shadow> failed loading library file '{}/b.lua': OOM functions", deployment.shown());
    assert_logged(&refused(&deployment.on(limited(Options::new()))), &line);
    // ... or with what is there already.
    let mut server = server;
    let mut client = server.client();
    client.run("SAVE");
    let other = Deployment::new(&[("b.lua", &large("b"))]);
    let log = server.try_restart(&other.on(limited(Options::new()))).expect_err("the server starts");
    assert_logged(&log, &format!("<shadow> failed loading the libraries of '{}': OOM functions", other.shown()));
}

#[test]
fn a_function_of_another_library_stops_the_start_and_changes_nothing() {
    for options in [Options::new(), append_only()] {
        let mut server = options.clone().start();
        let mut client = server.client();
        load(&mut client, &returns("other", "taken", "mine"));
        client.run("SAVE");
        let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "1")), ("b.lua", &returns("b", "Taken", "2"))]);
        let log = server.try_restart(&deployment.on(options.clone())).expect_err("the server starts");
        assert_logged(
            &log,
            &format!(
                "<shadow> library file '{}/b.lua' registers the function 'taken', which belongs to the loaded library \
                 'other'",
                deployment.shown()
            ),
        );
        assert_eq!(server.wait_for_exit().code(), Some(1));
        server.restart(&options);
        let mut client = server.client();
        assert_eq!(names(&mut client), ["other"]);
        client.run("SHADOW.FUNCTION DELETE other");
        client.run("SAVE");
        server.restart(&deployment.on(options));
        assert_eq!(names(&mut server.client()), ["a", "b"], "once the other one is gone");
    }
}

#[test]
fn a_flushed_registry_stays_empty_until_the_next_start() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    let options = deployment.on(Options::new());
    let mut server = options.clone().start();
    let mut client = server.client();
    client.run("SHADOW.FUNCTION FLUSH");
    client.run("SAVE");
    deployment.put("b.lua", &numbered(2));
    assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
    assert_eq!(names(&mut client), [""; 0]);
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib1", "lib2"]);
}

#[test]
fn a_replica_has_the_libraries_of_its_master_alone() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    let master = Server::start();
    load(&mut master.client(), &numbered(2));
    let mut replica = replica_with(deployment.on(Options::new()), &master);
    let line = format!(
        "<shadow> the libraries of '{}' are not loaded: those of a replica come from its master",
        deployment.shown()
    );
    assert_logged(&replica.log(), &line);
    assert_eq!(names(&mut replica.client()), ["lib2"]);
    // Neither when it starts on what it has saved, ...
    assert_eq!(replica.client().run("SAVE").text(), "OK");
    let follows = Options::new().set("replicaof", &format!("127.0.0.1 {}", master.port()));
    replica.restart(&deployment.on(follows.clone()));
    assert_logged(&replica.log(), &line);
    wait_in_step(&master, &replica);
    // ... nor when it is promoted.
    assert_eq!(replica.client().run("REPLICAOF NO ONE").text(), "OK");
    assert_eq!(names(&mut replica.client()), ["lib2"]);
    assert_eq!(replica.client().run("SAVE").text(), "OK");
    replica.restart(&deployment.on(Options::new()));
    assert_eq!(names(&mut replica.client()), ["lib1", "lib2"], "when it starts as a master");
    deployment.put("a.lua", "#!lua name=a\n");
    assert_logged(&refused(&deployment.on(follows)), "a.lua': ERR No functions registered");
}

#[test]
fn a_replica_that_goes_on_where_it_was_gets_what_its_master_loaded_at_start() {
    let deployment = Deployment::new(&[("a.lua", &returns("a", "f", "old"))]);
    let mut master = deployment.on(Options::new()).start();
    let replica = replica_of(&master);
    assert_eq!(replica.client().run("SHADOW.FCALL_RO f 0").text(), "old");
    master.client().send(&["SHUTDOWN", "SAVE"]);
    assert!(master.wait_for_exit().success());
    deployment.put("a.lua", &returns("a", "f", "new"));
    master.restart(&deployment.on(Options::new()));
    let mut monitor = Monitor::of(&replica);
    follow(&replica, &master);
    wait_in_step(&master, &replica);
    replica.client().run("ECHO seen");
    let seen = monitor.until("echo seen");
    assert!(seen.iter().any(|command| command.starts_with("shadow.function restore ")), "{seen:?}");
    assert_eq!(master.client().info_number("sync_partial_ok"), 1, "it did not begin anew");
    assert_eq!(replica.client().run("SHADOW.FCALL_RO f 0").text(), "new");
}

#[test]
fn a_module_that_is_loaded_later_brings_its_libraries_at_once() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    let module = module_path().display().to_string();
    let arguments = ["MODULE", "LOAD", &module, "library-dir", &deployment.shown()].map(str::to_owned);
    let server = append_only().without_module().start();
    let replica = replica_with(Options::new(), &server);
    let mut client = server.client();
    deployment.put("b.lua", "#!lua name=b\n");
    assert!(client.call(&arguments).is_error(), "a bad file");
    assert_logged(&server.log(), "b.lua': ERR No functions registered");
    deployment.put("b.lua", &numbered(2));
    client.run("CLIENT PAUSE 100000 WRITE");
    assert!(client.call(&arguments).is_error(), "a server that may not tell its replicas");
    assert_logged(&server.log(), "cannot be loaded while writes are paused");
    client.run("CLIENT UNPAUSE");
    // A command that the server knows without the module: it may look up all that it was sent before it runs the first.
    let info = ["INFO", "shadow_functions"].map(str::to_owned);
    let replies = client.pipeline(&[arguments.to_vec(), info.to_vec()]);
    assert_eq!(replies[0].text(), "OK");
    assert_logged(&replies[1].clone().text(), "shadow_libraries:2\r");
    assert_eq!(client.run("SHADOW.FCALL f2 0"), Value::Integer(2));
    assert_eq!(written(&server), ["restore"]);
    wait_in_step(&server, &replica);
    assert_eq!(names(&mut replica.client()), ["lib1", "lib2"]);
}

#[test]
fn a_module_that_a_replica_loads_later_brings_no_libraries() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    let module = module_path().display().to_string();
    let master = Options::new().without_module().start();
    let replica = replica_with(Options::new().without_module(), &master);
    let reply = replica.client().call(&["MODULE", "LOAD", &module, "library-dir", &deployment.shown()]);
    assert_eq!(reply.text(), "OK");
    assert_eq!(names(&mut replica.client()), [""; 0]);
    assert_logged(&replica.log(), "those of a replica come from its master");
}

#[test]
fn the_path_is_a_setting_like_the_others() {
    let deployment = Deployment::new(&[("a.lua", &numbered(1))]);
    let written = Deployment::new(&[]);
    let file = written.path().join("server.conf");
    let module = module_path();
    // The file wins over the argument, and a path may be relative to the server's directory.
    let text = format!(
        "dir {}\nloadmodule {} SHADOW.Library-Dir /nowhere\nshadow.library-dir .\n",
        deployment.shown(),
        module.display()
    );
    fs::write(&file, text).expect("the file is written");
    let options = Options::new().without_module().configuration(&file);
    let mut server = options.clone().start();
    let mut client = server.client();
    assert_eq!(names(&mut client), ["lib1"]);
    assert_eq!(client.run("CONFIG GET shadow.library-dir").field("shadow.library-dir").expect("it is set").text(), ".");
    let reply = client.run("CONFIG SET shadow.library-dir /tmp");
    assert!(reply.text().contains("can't set immutable config"), "{reply:?}");
    assert_eq!(client.run("CONFIG REWRITE").text(), "OK");
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib1"]);
}
