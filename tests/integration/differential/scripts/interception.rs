//! The setting `intercept`: which of the commands that clients type are answered by the module.

use std::io::Write;

use super::Pair;
use crate::support::library::callback;
use crate::support::resp::encode;
use crate::support::scripts::digest;
use crate::support::{Client, Options, Server, Value};

const SCRIPT: &str = "return {KEYS[1], ARGV[1]}";

fn server(intercept: &str) -> (Server, Client) {
    let server = Options::new().module_arguments(&format!("intercept {intercept}")).start();
    let client = server.client();
    (server, client)
}

/// Whether the module has the script.
fn is_ours(client: &mut Client, script: &str) -> bool {
    client.run(&format!("SHADOW.SCRIPT EXISTS {}", digest(script))).items() == [Value::Integer(1)]
}

#[test]
fn each_value_takes_what_it_names() {
    for (value, scripts, functions) in [
        ("no", false, false),
        ("functions", false, true),
        ("yes", false, true),
        ("scripts", true, false),
        ("all", true, true),
    ] {
        let (_server, mut client) = server(value);
        for (number, command) in ["EVAL", "eval", "EvAl", "EVAL_RO", "eval_ro"].iter().enumerate() {
            let script = format!("return {number}");
            assert_eq!(client.call(&[*command, &script, "0"]), Value::Integer(number as i64), "{value} {command}");
            assert_eq!(is_ours(&mut client, &script), scripts, "{value} {command}");
        }
        let digest = client.call(&["script", "LOAD", SCRIPT]).text();
        assert_eq!(is_ours(&mut client, SCRIPT), scripts, "{value}");
        for command in ["EVALSHA", "evalsha_ro"] {
            assert_eq!(
                client.call(&[command, &*digest, "1", "a", "b"]).sorted_texts(),
                ["a", "b"],
                "{value} {command}"
            );
        }
        assert_eq!(client.run("SCRIPT FLUSH").text(), "OK");
        assert!(client.run(&format!("EVALSHA {digest} 0")).text().starts_with("NOSCRIPT "), "{value}");
        assert_eq!(client.call(&["FUNCTION", "LOAD", &callback("return 1")]).text(), "mylib");
        assert_eq!(client.run("SHADOW.FUNCTION LIST").items().len(), usize::from(functions), "{value}");
        let stock = client.info_number("number_of_cached_scripts");
        assert_eq!(stock, 0, "{value}: the server's own cache was flushed, or never held anything");
    }
}

#[test]
fn nothing_reaches_the_servers_own_cache() {
    let (_server, mut client) = server("scripts");
    client.call(&["EVAL", SCRIPT, "0"]);
    client.call(&["SCRIPT", "LOAD", "return 1"]);
    client.run("MULTI");
    client.call(&["EVAL", "return 2", "0"]);
    client.call(&["SCRIPT", "LOAD", "return 3"]);
    client.run("EXEC");
    assert_eq!(client.info_number("number_of_cached_scripts"), 0);
    for script in [SCRIPT, "return 1", "return 2", "return 3"] {
        assert!(is_ours(&mut client, script), "{script}");
    }
}

#[test]
fn a_word_that_is_none_stops_the_start() {
    for value in ["script", "everything", "scripts,functions"] {
        assert!(Options::new().module_arguments(&format!("intercept {value}")).try_start().is_err(), "{value}");
    }
}

/// The server does not ask filters about the commands of such a file.
#[test]
fn a_script_in_an_append_only_file_runs_on_the_servers_own_engine() {
    let options =
        Options::new().module_arguments("intercept all").set("appendonly", "yes").set("appendfsync", "always");
    let mut server = options.clone().start();
    server.client().run("SET before 1");
    server.kill();
    let directory = server.directory().join("appendonlydir");
    let files = std::fs::read_dir(directory).expect("a directory of files");
    let mut paths = files.map(|entry| entry.expect("a file").path());
    let path = paths.find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("the newest file");
    let script = "return redis.call('set', KEYS[1], ARGV[1])";
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("the file");
    file.write_all(&encode(&["EVAL", script, "1", "key", "value"])).expect("the command is written");
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(client.run("MGET before key").sorted_texts(), ["1", "value"]);
    assert_eq!(client.info_number("number_of_cached_scripts"), 1);
    assert!(!is_ours(&mut client, script));
}

/// What only the module has stays behind its own names.
#[test]
fn the_modules_own_subcommands_are_unknown_by_the_servers_names() {
    let mut pair = Pair::intercepting();
    for words in [&["SCRIPT", "LIST"][..], &["SCRIPT", "list", "WITHCODE"], &["SCRIPT", "KILL", "FORCE"]] {
        pair.compare(words);
    }
    pair.finish();
}

#[test]
fn errors_that_leave_a_script_are_the_servers_word_for_word() {
    let mut pair = Pair::intercepting();
    for script in
        ["error('x')", "return redis.call('nosuch')", "#!lua\nerror({err='MY x'})", "return redis.pcall('get')"]
    {
        pair.compare(&["EVAL", script, "0"]);
        pair.compare(&["EVALSHA", &digest(script), "0"]);
    }
    pair.finish();
}
