//! Loading and unloading the module.

use crate::support::library::{load, load_many, numbered};
use crate::support::server::module_path;
use crate::support::{Client, Options, Server, Value, wait_until};

fn load_module(client: &mut Client, arguments: &str) -> Value {
    let path = module_path().to_string_lossy().into_owned();
    let mut command = vec!["MODULE", "LOAD", &path];
    command.extend(arguments.split_whitespace());
    client.call(&command)
}

fn worker_runs(server: &Server) -> bool {
    server.thread_names().iter().any(|name| name.starts_with("shadow"))
}

#[test]
fn the_module_loads_with_the_server() {
    let server = Server::start();
    let mut client = server.client();
    let modules = client.run("MODULE LIST").items();
    let names: Vec<String> = modules.iter().map(|module| module.field("name").expect("a name").text()).collect();
    assert!(names.contains(&"shadow".to_owned()), "{names:?}");
    load(&mut client, &numbered(1));
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn the_module_loads_into_a_running_server() {
    let server = Options::new().without_module().start();
    let mut client = server.client();
    assert_eq!(load_module(&mut client, ""), Value::Simple("OK".to_owned()));
    wait_until("the worker runs", || worker_runs(&server));
    load_many(&mut client, 100);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    load_many(&mut client, 100);
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn unloading_is_refused_and_loses_nothing() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    let reply = client.run("MODULE UNLOAD shadow");
    assert!(reply.is_error() && reply.text().contains("data types"), "{reply:?}");
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    wait_until("the worker goes on", || client.info_number("shadow_freed_libraries") == 1);
}

#[test]
fn the_server_ends_cleanly_while_the_worker_frees() {
    for _ in 0..3 {
        let mut server = Server::start();
        let mut client = server.client();
        for _ in 0..4 {
            load_many(&mut client, 5000);
            client.run("SHADOW.FUNCTION FLUSH ASYNC");
        }
        client.send(&["SHUTDOWN", "NOSAVE"]);
        let status = server.wait_for_exit();
        assert!(status.success(), "{status}:\n{}", server.log());
    }
}

#[test]
fn all_load_arguments_are_taken() {
    let server = Options::new().module_arguments("reclaim-queue 65536 enable-debug-command no").start();
    wait_until("the worker runs", || worker_runs(&server));
    let server = Options::new().module_arguments("enable-debug-command yes reclaim-queue 1").start();
    assert_eq!(server.client().run("SHADOW.DEBUG RECLAIM-RELEASE").text(), "OK");
}

#[test]
fn a_wrong_load_argument_fails_the_load_and_names_it() {
    for (arguments, named) in [
        ("nonsense 1", "nonsense"),
        ("reclaim-queue", "reclaim-queue"),
        ("reclaim-queue 0", "reclaim-queue"),
        ("reclaim-queue 65537", "reclaim-queue"),
        ("reclaim-queue -1", "reclaim-queue"),
        ("reclaim-queue ten", "reclaim-queue"),
        ("enable-debug-command", "enable-debug-command"),
        ("enable-debug-command maybe", "enable-debug-command"),
        ("reclaim-queue 8 nonsense", "nonsense"),
    ] {
        let log = Options::new().module_arguments(arguments).try_start().err();
        let log = log.unwrap_or_else(|| panic!("the server started with {arguments:?}"));
        let warned = log.lines().any(|line| line.contains("<shadow>") && line.contains(named));
        assert!(warned, "no line about {named:?}:\n{log}");
    }
}

#[test]
fn a_failed_load_leaves_no_thread_and_no_command() {
    let server = Options::new().without_module().start();
    let mut client = server.client();
    assert!(load_module(&mut client, "reclaim-queue 0").is_error());
    wait_until("no thread of the module is left", || !worker_runs(&server));
    assert!(client.run("SHADOW.FUNCTION HELP").text().starts_with("ERR unknown command"));
    assert_eq!(load_module(&mut client, "reclaim-queue 1"), Value::Simple("OK".to_owned()));
    load(&mut client, &numbered(1));
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn a_failed_load_leaves_no_memory() {
    let server = Options::new().without_module().start();
    let mut client = server.client();
    let arguments = format!("library-dir /missing/{}", "x".repeat(3_000));
    let mut fail = |times: usize| {
        for _ in 0..times {
            assert!(load_module(&mut client, &arguments).is_error());
        }
        client.info_number("used_memory")
    };
    let before = fail(10);
    let after = fail(100);
    assert!(after < before + 100 * 1_000, "{before} bytes before, {after} after");
}

#[test]
fn the_debug_command_is_off_unless_asked_for() {
    let server = Server::start();
    assert!(server.client().run("SHADOW.DEBUG PANIC").text().starts_with("ERR unknown command"));
}

#[test]
fn the_queue_holds_64_jobs_unless_told_otherwise() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    for _ in 0..80 {
        load(&mut client, &numbered(1));
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
    }
    assert_eq!(client.info_number("shadow_reclaim_queue"), 64);
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    wait_until("the queue is empty", || client.info_number("shadow_reclaim_queue") == 0);
}
