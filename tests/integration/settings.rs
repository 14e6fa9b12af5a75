//! The settings: configs of the server, and load arguments of the same names.

use std::fs;
use std::path::PathBuf;

use crate::support::library::{load, numbered};
use crate::support::server::module_path;
use crate::support::{Client, Flavour, Options, Server, Value, wait_until};

fn setting(client: &mut Client, name: &str) -> String {
    client.call(&["CONFIG", "GET", &format!("shadow.{name}")]).field(&format!("shadow.{name}")).expect(name).text()
}

/// The settings and their defaults.
const DEFAULTS: [(&str, &str); 14] = [
    ("reclaim-queue", "64"),
    ("intercept", "no"),
    ("enable-debug-command", "no"),
    ("memory-limit", "0"),
    ("read-only-timeout", "0"),
    ("script-cache", "0"),
    ("keep-scripts", "no"),
    ("undeclared-keys", "off"),
    ("call-path", "auto"),
    ("hide-user-data", "no"),
    ("keep-generations", "1"),
    ("keep-generations-bytes", "268435456"),
    ("jit", "hot"),
    ("library-dir", ""),
];

/// A configuration file of a server, whose module has these load arguments, with these lines after it.
fn configuration(arguments: &str, lines: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("server.conf");
    let module = module_path();
    fs::write(&path, format!("loadmodule {} {arguments}\n{lines}\n", module.display())).expect("the file is written");
    (directory, path)
}

fn with_file(path: &std::path::Path) -> Options {
    Options::new().without_module().configuration(path)
}

#[test]
fn every_setting_is_a_config_with_its_default() {
    let (_directory, path) = configuration("", "");
    let server = with_file(&path).start();
    let mut client = server.client();
    for (name, value) in DEFAULTS {
        assert_eq!(setting(&mut client, name), value, "{name}");
    }
    assert_eq!(client.call(&["CONFIG", "GET", "shadow.*"]).items().len(), DEFAULTS.len() * 2);
}

#[test]
fn the_example_configuration_has_every_setting_with_its_default() {
    let text = include_str!("../../module.conf");
    for (name, value) in DEFAULTS {
        let value = if value.is_empty() { "\"\"" } else { value };
        assert!(text.contains(&format!("\nshadow.{name} {value}\n")), "{name}");
    }
}

#[test]
fn a_load_argument_gives_a_setting_its_value() {
    let arguments = "memory-limit 64mb shadow.read-only-timeout 250 reclaim-queue 7";
    let server = Options::new().module_arguments(arguments).start();
    let mut client = server.client();
    assert_eq!(setting(&mut client, "memory-limit"), (64 << 20).to_string());
    assert_eq!(setting(&mut client, "read-only-timeout"), "250");
    assert_eq!(setting(&mut client, "reclaim-queue"), "7");
    assert_eq!(client.info_number("shadow_memory_limit"), 64 << 20);
}

#[test]
fn settings_can_be_changed_while_the_server_runs() {
    let server = Server::start();
    let mut client = server.client();
    for (name, value, shown) in [
        ("memory-limit", "32mb", "33554432"),
        ("memory-limit", "2000000", "2000000"),
        ("memory-limit", "0", "0"),
        ("read-only-timeout", "5000", "5000"),
        ("read-only-timeout", "0", "0"),
        ("script-cache", "64mb", "67108864"),
        ("script-cache", "0", "0"),
        ("keep-scripts", "Yes", "yes"),
        ("keep-scripts", "no", "no"),
        ("undeclared-keys", "Report", "report"),
        ("undeclared-keys", "deny", "deny"),
        ("undeclared-keys", "off", "off"),
        ("call-path", "RM-Call", "rm-call"),
        ("call-path", "auto", "auto"),
        ("hide-user-data", "yes", "yes"),
        ("hide-user-data", "no", "no"),
        ("jit", "Off", "off"),
        ("jit", "always", "always"),
        ("jit", "hot", "hot"),
    ] {
        assert_eq!(client.call(&["CONFIG", "SET", &format!("shadow.{name}"), value]).text(), "OK", "{name} {value}");
        assert_eq!(setting(&mut client, name), shown);
    }
}

#[test]
fn a_wrong_value_is_refused_by_name_and_changes_nothing() {
    let server = Options::new().module_arguments("memory-limit 8mb").start();
    let mut client = server.client();
    for (name, value, reason) in [
        ("memory-limit", "-1", "argument must be a memory value"),
        ("memory-limit", "64", "argument must be 0 for no limit, or a memory value of 1mb or more"),
        ("memory-limit", "much", "argument must be a memory value"),
        ("script-cache", "64", "argument must be 0 for no limit, or a memory value of 1mb or more"),
        ("keep-scripts", "maybe", "argument must be 'yes' or 'no'"),
        ("undeclared-keys", "yes", "argument(s) must be one of the following: off, report, deny"),
        ("call-path", "call-argv", "argument(s) must be one of the following: auto, rm-call"),
        ("hide-user-data", "maybe", "argument must be 'yes' or 'no'"),
        ("read-only-timeout", "-1", "argument must be between 0 and"),
        ("read-only-timeout", "soon", "argument couldn't be parsed into an integer"),
        ("jit", "on", "argument(s) must be one of the following: off, hot, always"),
    ] {
        let name = format!("shadow.{name}");
        let reply = client.call(&["CONFIG", "SET", &name, value]);
        assert!(
            reply.is_error() && reply.text().contains(&name) && reply.text().contains(reason),
            "{value}: {reply:?}"
        );
    }
    assert_eq!(setting(&mut client, "memory-limit"), (8 << 20).to_string());
    assert_eq!(setting(&mut client, "read-only-timeout"), "0");
}

#[test]
fn a_transaction_of_settings_is_all_or_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.run("CONFIG SET shadow.memory-limit 16mb shadow.read-only-timeout -1");
    assert!(reply.is_error(), "{reply:?}");
    assert_eq!(setting(&mut client, "memory-limit"), "0");
    assert_eq!(client.info_number("shadow_memory_limit"), 0);
}

#[test]
fn what_shapes_the_module_is_fixed_once_it_is_loaded() {
    let server = Server::start();
    let mut client = server.client();
    for (name, value) in
        [("reclaim-queue", "8"), ("intercept", "yes"), ("enable-debug-command", "yes"), ("library-dir", "/tmp")]
    {
        let reply = client.call(&["CONFIG", "SET", &format!("shadow.{name}"), value]);
        assert!(reply.text().contains("can't set immutable config"), "{name}: {reply:?}");
    }
    assert!(client.run("FCALL f 0").text().starts_with("ERR Function not found"));
}

#[test]
fn the_configuration_file_sets_them_all() {
    let lines = "shadow.memory-limit 48mb\nshadow.read-only-timeout 77\nshadow.reclaim-queue 9\nshadow.intercept yes";
    let (_directory, path) = configuration("", lines);
    let server = with_file(&path).start();
    let mut client = server.client();
    assert_eq!(setting(&mut client, "memory-limit"), (48 << 20).to_string());
    assert_eq!(setting(&mut client, "read-only-timeout"), "77");
    assert_eq!(setting(&mut client, "reclaim-queue"), "9");
    assert_eq!(setting(&mut client, "intercept"), "functions");
    load(&mut client, &numbered(1));
    assert_eq!(client.run("FCALL f1 0"), Value::Integer(1));
}

#[test]
fn the_configuration_file_wins_over_a_load_argument() {
    let (_directory, path) = configuration("memory-limit 1gb read-only-timeout 5", "shadow.memory-limit 2gb");
    let server = with_file(&path).start();
    let mut client = server.client();
    assert_eq!(setting(&mut client, "memory-limit"), (2_i64 << 30).to_string());
    assert_eq!(setting(&mut client, "read-only-timeout"), "5");
}

#[test]
fn a_wrong_line_in_the_configuration_file_keeps_the_server_from_starting() {
    for line in ["shadow.memory-limit 64", "shadow.reclaim-queue 0", "shadow.intercept perhaps", "shadow.colour red"] {
        let (_directory, path) = configuration("", line);
        let log = with_file(&path).try_start().err().unwrap_or_else(|| panic!("it started with {line}"));
        let name = line.split(' ').next().expect("a name");
        assert!(log.contains(name) || log.contains("Module Configuration"), "{line}:\n{log}");
    }
}

#[test]
fn a_rewritten_configuration_brings_the_settings_back() {
    let (_directory, path) = configuration("memory-limit 1gb", "");
    let mut server = with_file(&path).start();
    let mut client = server.client();
    client.run("CONFIG SET shadow.memory-limit 0 shadow.read-only-timeout 1234");
    assert_eq!(client.run("CONFIG REWRITE").text(), "OK");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains("memory-limit 1gb"), "{text}");
    server.restart(&with_file(&path));
    let mut client = server.client();
    assert_eq!(setting(&mut client, "memory-limit"), "0");
    assert_eq!(setting(&mut client, "read-only-timeout"), "1234");
}

/// `yes` is the name of `functions` from when there was nothing else to intercept.
#[test]
fn an_older_configuration_means_what_it_meant() {
    for (arguments, line, shown, rewritten) in [
        ("", "shadow.intercept yes", "functions", "\nshadow.intercept functions\n"),
        ("intercept yes", "", "functions", "intercept yes\n"),
        ("intercept yes", "shadow.intercept no", "no", "\nshadow.intercept no\n"),
        ("", "shadow.intercept ALL", "all", "\nshadow.intercept all\n"),
    ] {
        let (_directory, path) = configuration(arguments, line);
        let mut server = with_file(&path).start();
        assert_eq!(setting(&mut server.client(), "intercept"), shown, "{arguments} {line}");
        assert_eq!(server.client().run("CONFIG REWRITE").text(), "OK");
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains(rewritten), "{text}");
        server.restart(&with_file(&path));
        assert_eq!(setting(&mut server.client(), "intercept"), shown, "{arguments} {line}, rewritten");
    }
}

#[test]
fn a_module_loaded_at_run_time_takes_its_settings_with_it() {
    let server = Options::new().without_module().start();
    let mut client = server.client();
    let path = module_path().to_string_lossy().into_owned();
    let loadex = ["MODULE", "LOADEX", &path, "CONFIG", "shadow.memory-limit", "24mb", "ARGS", "read-only-timeout", "9"];
    assert_eq!(client.call(&loadex).text(), "OK");
    assert_eq!(setting(&mut client, "memory-limit"), (24 << 20).to_string());
    assert_eq!(setting(&mut client, "read-only-timeout"), "9");
}

#[test]
fn a_load_that_failed_leaves_no_setting_behind() {
    let server = Options::new().without_module().start();
    let mut client = server.client();
    let path = module_path().to_string_lossy().into_owned();
    assert!(client.call(&["MODULE", "LOAD", &path, "memory-limit", "5"]).is_error());
    let bad = ["MODULE", "LOADEX", &path, "CONFIG", "shadow.memory-limit", "5"];
    assert!(client.call(&bad).is_error());
    assert_eq!(client.call(&["CONFIG", "GET", "shadow.*"]).items().len(), 0);
    assert_eq!(client.call(&["MODULE", "LOAD", &path]).text(), "OK");
    assert_eq!(setting(&mut client, "memory-limit"), "0");
}

#[test]
fn an_unknown_name_given_to_loadex_is_met_as_the_server_meets_it() {
    let mut server = Options::new().without_module().start();
    let mut client = server.client();
    let path = module_path().display().to_string();
    let valkey = server.flavour() == Flavour::Valkey;
    // When the server crashes it would try out all of its memory, and with it what a sanitizer keeps beside.
    client.run("CONFIG SET crash-memcheck-enabled no");
    client.send(&["MODULE", "LOADEX", &path, "CONFIG", "shadow.nosuch", "1"]);
    if valkey {
        // The server means to unload the module, which its data type forbids, and writes the reason to a null pointer.
        assert!(client.read_raw().is_err(), "there is no reply");
        assert!(!server.wait_for_exit().success());
        return;
    }
    assert_eq!(client.read().text(), "ERR Error loading the extension. Please check the server logs.");
    let modules = client.raw(&["MODULE", "LIST"]);
    let loaded = modules.windows(6).any(|name| name == b"shadow");
    assert_eq!(loaded, server.version() < (7, 2, 0), "7.0 keeps what it says it unloads");
    if loaded {
        load(&mut client, &numbered(1));
        assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    } else {
        assert!(client.run("SHADOW.FUNCTION LIST").text().starts_with("ERR unknown command"));
        wait_until("its threads are gone", || server.thread_names().iter().all(|name| !name.starts_with("shadow")));
        // What the module had registered is not called any more: not by the timer, not when the server saves.
        assert_eq!(client.run("SAVE").text(), "OK");
        let ticks = client.info_number("uptime_in_seconds");
        wait_until("the timer has run", || client.info_number("uptime_in_seconds") > ticks);
        let again = ["MODULE", "LOADEX", &path, "CONFIG", "shadow.memory-limit", "24mb"];
        assert!(client.call(&again).is_error() || setting(&mut client, "memory-limit") == "25165824");
    }
}
