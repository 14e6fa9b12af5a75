//! Libraries in snapshots and in the append only file.

use std::fs;
use std::path::PathBuf;

use crate::support::library::{callback, load, load_many, names, numbered, source};
use crate::support::server::module_path;
use crate::support::snapshot::{field, find, make_newer};
use crate::support::{Client, Flavour, Options, Server, Value, wait_until};

/// Saves nothing by itself; files are such that a test can change bytes in them.
fn plain_files() -> Options {
    Options::new().set("rdbcompression", "no").set("rdbchecksum", "no")
}

/// Everything that is acknowledged is in the file.
fn append_only() -> Options {
    Options::new().set("appendonly", "yes").set("appendfsync", "always")
}

/// The sources of all libraries, sorted.
fn sources(client: &mut Client) -> Vec<String> {
    let list = client.run("SHADOW.FUNCTION LIST WITHCODE").items();
    let mut sources: Vec<String> =
        list.iter().map(|library| library.field("library_code").expect("asked for").text()).collect();
    sources.sort();
    sources
}

fn save(client: &mut Client) {
    assert_eq!(client.run("SAVE").text(), "OK");
}

/// Rewrites the append only file and waits until that is done.
fn rewrite(client: &mut Client) {
    let reply = client.run("BGREWRITEAOF");
    assert!(!reply.is_error(), "{reply:?}");
    rewritten(client);
}

fn rewritten(client: &mut Client) {
    // In this order: what is scheduled becomes what is in progress between the two questions.
    wait_until("the file is rewritten", || {
        client.info_number("aof_rewrite_scheduled") + client.info_number("aof_rewrite_in_progress") == 0
    });
    assert_eq!(client.info("aof_last_bgrewrite_status").as_deref(), Some("ok"));
}

fn snapshot(server: &Server) -> PathBuf {
    server.directory().join("dump.rdb")
}

/// A server that has saved these libraries and was killed.
fn saved(libraries: &[String]) -> Server {
    let mut server = plain_files().start();
    let mut client = server.client();
    libraries.iter().for_each(|library| load(&mut client, library));
    save(&mut client);
    server.kill();
    server
}

/// Changes the bytes of the snapshot.
fn patch(server: &Server, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(snapshot(server)).expect("the snapshot");
    change(&mut bytes);
    fs::write(snapshot(server), bytes).expect("the snapshot is written");
}

/// What the server logs when it does not start on its files.
fn refusal(server: &mut Server, options: &Options) -> String {
    server.try_restart(options).expect_err("the server starts")
}

fn assert_logged(log: &str, text: &str) {
    assert!(log.contains(text), "the log does not say {text:?}:\n{log}");
}

#[test]
fn a_snapshot_brings_the_libraries_back_after_a_crash() {
    let options = Options::new();
    let mut server = options.clone().start();
    let mut client = server.client();
    (0..3).for_each(|number| load(&mut client, &numbered(number)));
    let before = sources(&mut client);
    save(&mut client);
    load(&mut client, &numbered(3));
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(sources(&mut client), before, "those of the snapshot, and no later one");
    assert_eq!(client.run("SHADOW.FCALL f2 0"), Value::Integer(2));
}

#[test]
fn a_reload_keeps_the_libraries() {
    let server = Server::start();
    let mut client = server.client();
    (0..3).for_each(|number| load(&mut client, &numbered(number)));
    let before = sources(&mut client);
    for _ in 0..2 {
        assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
        assert_eq!(sources(&mut client), before);
        assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    }
}

#[test]
fn a_reload_of_an_older_snapshot_takes_the_newer_libraries_away() {
    let server = Server::start();
    let mut client = server.client();
    for before in [vec![], vec!["lib1".to_owned()]] {
        save(&mut client);
        load(&mut client, &numbered(2));
        assert_eq!(client.run("DEBUG RELOAD NOSAVE").text(), "OK");
        assert_eq!(names(&mut client), before);
        load(&mut client, &numbered(1));
    }
}

#[test]
fn a_shutdown_that_saves_keeps_the_libraries() {
    for (options, command) in [
        (Options::new(), "SHUTDOWN SAVE"),
        (Options::new().set("save", "3600 1"), "SHUTDOWN"),
        (append_only(), "SHUTDOWN"),
    ] {
        let mut server = options.clone().start();
        let mut client = server.client();
        (0..3).for_each(|number| load(&mut client, &numbered(number)));
        // The worker has something to do at the end.
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
        (1..4).for_each(|number| load(&mut client, &numbered(number)));
        client.send(&command.split(' ').collect::<Vec<_>>());
        assert!(server.wait_for_exit().success());
        server.restart(&options);
        assert_eq!(names(&mut server.client()), ["lib1", "lib2", "lib3"], "{command}");
    }
}

#[test]
fn a_change_of_the_registry_counts_for_the_save_points() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("SHADOW.FUNCTION DELETE lib1");
    client.run("SHADOW.FUNCTION FLUSH");
    assert_eq!(client.info_number("rdb_changes_since_last_save"), 3);
}

#[test]
fn the_append_only_file_brings_back_all_that_was_acknowledged() {
    let options = append_only();
    let mut server = options.clone().start();
    let mut client = server.client();
    (0..4).for_each(|number| load(&mut client, &numbered(number)));
    let payload = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let Value::Bulk(payload) = crate::support::resp::parse(&payload) else { panic!("a payload") };
    client.run("SHADOW.FUNCTION DELETE lib0");
    load(&mut client, &source("lib1", "redis.register_function('f1', function() return 'new' end)"));
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(names(&mut client), ["lib1", "lib2", "lib3"]);
    assert_eq!(client.run("SHADOW.FCALL f1 0").text(), "new");
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
    load(&mut client, &numbered(7));
    let restored = client.call(&[b"SHADOW.FUNCTION", b"RESTORE".as_slice(), &payload, b"APPEND"]);
    assert_eq!(restored.text(), "OK");
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(names(&mut client), ["lib0", "lib1", "lib2", "lib3", "lib7"]);
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    client.run("SHADOW.FUNCTION FLUSH");
    server.restart(&options);
    assert_eq!(names(&mut server.client()), [""; 0]);
}

#[test]
fn a_rewritten_file_brings_back_the_libraries_with_a_preamble_and_without() {
    for preamble in ["yes", "no"] {
        let options = append_only().set("aof-use-rdb-preamble", preamble);
        let mut server = options.clone().start();
        let mut client = server.client();
        client.run("SET key value");
        (0..3).for_each(|number| load(&mut client, &numbered(number)));
        // Twice: the second rewrite drops the file that the first one's libraries may have been sent to.
        for _ in 0..2 {
            rewrite(&mut client);
        }
        client.run("SHADOW.FUNCTION DELETE lib0");
        load(&mut client, &numbered(5));
        let before = sources(&mut client);
        server.restart(&options);
        let mut client = server.client();
        assert_eq!(sources(&mut client), before, "with preamble {preamble}");
        assert_eq!(client.run("SHADOW.FCALL f5 0"), Value::Integer(5));
        assert_eq!(client.run("GET key").text(), "value");
    }
}

/// Where the server takes such a library.
#[test]
fn a_library_with_a_nul_comes_back_whole() {
    let options = append_only().set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    let code = source("mylib", "--\0\nredis.register_function('f', function() return #'x\0y' end)");
    let reply = client.call(&["SHADOW.FUNCTION", "LOAD", &code]);
    assert_eq!(reply.is_error(), server.flavour() == Flavour::Valkey, "{reply:?}");
    if reply.is_error() {
        return;
    }
    for file in ["as it was written", "rewritten"] {
        server.restart(&options);
        let mut client = server.client();
        assert_eq!(sources(&mut client), [&*code], "{file}");
        assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
        assert_eq!(sources(&mut client), [&*code], "{file}");
        assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(3), "{file}");
        rewrite(&mut client);
    }
}

#[test]
fn a_rewritten_file_without_a_preamble_ends_with_the_libraries() {
    let server = append_only().set("aof-use-rdb-preamble", "no").start();
    let replica = Options::new().set("replicaof", &format!("127.0.0.1 {}", server.port())).start();
    let (mut client, mut reader) = (server.client(), replica.client());
    client.run("SET key value");
    load(&mut client, &numbered(1));
    wait_until("the replica has it", || names(&mut reader) == ["lib1"]);
    let seen = reader.command_stat("shadow.function|load", "calls");
    rewrite(&mut client);
    let words: Vec<String> = server.rewritten_aof().into_iter().map(|command| command[0].clone()).collect();
    assert_eq!(words, ["SELECT", "SET", "SHADOW.FUNCTION"]);
    load(&mut client, &numbered(2));
    wait_until("the replica has the next one", || names(&mut reader) == ["lib1", "lib2"]);
    let now = reader.command_stat("shadow.function|load", "calls");
    assert_eq!(now, seen + 1.0, "only the file got the first one again");
}

#[test]
fn a_flush_before_a_rewrite_is_remembered() {
    for preamble in ["yes", "no"] {
        let options = append_only().set("aof-use-rdb-preamble", preamble);
        let mut server = options.clone().start();
        let mut client = server.client();
        load(&mut client, &numbered(1));
        rewrite(&mut client);
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
        rewrite(&mut client);
        server.restart(&options);
        assert_eq!(names(&mut server.client()), [""; 0], "with preamble {preamble}");
    }
}

#[test]
fn an_append_only_file_that_is_turned_on_later_holds_the_libraries() {
    for preamble in ["yes", "no"] {
        let options = Options::new().set("aof-use-rdb-preamble", preamble);
        let mut server = options.clone().start();
        let mut client = server.client();
        load(&mut client, &numbered(1));
        client.run("CONFIG SET appendfsync always");
        assert_eq!(client.run("CONFIG SET appendonly yes").text(), "OK");
        load(&mut client, &numbered(2));
        wait_until("the first file is there", || client.info("aof_rewrite_in_progress").as_deref() == Some("0"));
        load(&mut client, &numbered(3));
        server.restart(&append_only().set("aof-use-rdb-preamble", preamble));
        assert_eq!(names(&mut server.client()), ["lib1", "lib2", "lib3"], "with preamble {preamble}");
    }
}

/// What the server rewrites for later use.
#[test]
fn a_file_that_is_rewritten_while_append_only_is_off_holds_the_libraries() {
    for preamble in ["yes", "no"] {
        let options = Options::new().set("aof-use-rdb-preamble", preamble);
        let mut server = options.clone().start();
        let mut client = server.client();
        load(&mut client, &numbered(1));
        rewrite(&mut client);
        server.restart(&append_only().set("aof-use-rdb-preamble", preamble));
        assert_eq!(names(&mut server.client()), ["lib1"], "with preamble {preamble}");
    }
}

#[test]
fn a_file_that_is_rewritten_while_writes_are_paused_holds_the_libraries() {
    let options = append_only().set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("CLIENT PAUSE 600000 WRITE");
    rewrite(&mut client);
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib1"]);
}

/// The keys of the new file fit, which the old one does not hold, the libraries after them do not.
#[test]
fn a_rewrite_that_cannot_hold_the_libraries_fails_and_the_old_file_stays() {
    let options = append_only().set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().file_limit(1280).start();
    let mut client = server.client();
    for number in [1, 2] {
        load(&mut client, &format!("{}--{}", numbered(number), "-".repeat(600_000)));
    }
    assert_eq!(client.run("DEBUG POPULATE 1000 key 500").text(), "OK");
    client.run("BGREWRITEAOF");
    wait_until("the rewrite has failed", || client.info("aof_last_bgrewrite_status").as_deref() == Some("err"));
    let warning = "<shadow> the rewritten append-only file cannot hold the libraries: temp-rewriteaof-bg-";
    assert!(server.log().contains(warning), "{}", server.log());
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib1", "lib2"]);
}

#[test]
fn a_rewrite_holds_the_libraries_where_commands_that_the_module_asks_are_renamed() {
    for command in ["CONFIG", "FUNCTION"] {
        let options = append_only().set("aof-use-rdb-preamble", "no").rename_command(command, "hidden");
        let mut server = options.clone().start();
        let mut client = server.client();
        assert!(client.call(&[command, "HELP"]).is_error(), "it is renamed");
        load(&mut client, &numbered(1));
        rewrite(&mut client);
        server.restart(&options);
        assert_eq!(names(&mut server.client()), ["lib1"], "without {command}");
    }
}

#[test]
fn payloads_are_written_and_read_where_function_is_renamed() {
    let plain = Server::start();
    let hidden = Options::new().rename_command("FUNCTION", "hidden").start();
    let (mut plain, mut hidden) = (plain.client(), hidden.client());
    load(&mut plain, &numbered(1));
    load(&mut hidden, &numbered(2));
    for _ in 0..2 {
        let Value::Bulk(payload) = plain.run("SHADOW.FUNCTION DUMP") else { panic!("a payload") };
        let reply = hidden.call(&[b"SHADOW.FUNCTION", b"RESTORE".as_slice(), &payload, b"REPLACE"]);
        assert_eq!(reply.text(), "OK");
        std::mem::swap(&mut plain, &mut hidden);
    }
    assert_eq!(names(&mut plain), ["lib1", "lib2"]);
    assert_eq!(names(&mut hidden), ["lib1", "lib2"]);
}

#[test]
fn an_empty_registry_leaves_the_snapshot_readable_without_the_module() {
    let options = Options::new();
    let mut server = options.clone().start();
    let can_omit = server.version() >= (7, 2, 0);
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("SHADOW.FUNCTION FLUSH");
    client.run("SET key value");
    save(&mut client);
    let started = server.try_restart(&options.without_module());
    if can_omit {
        assert_eq!(started, Ok(()));
        assert_eq!(server.client().run("GET key").text(), "value");
    } else {
        // Redis 7.0 has no way to leave the field out.
        assert_logged(&started.expect_err("the server starts"), "shadow-fn");
    }
}

#[test]
fn a_snapshot_with_libraries_needs_the_module() {
    let mut server = saved(&[numbered(1)]);
    assert_logged(&refusal(&mut server, &plain_files().without_module()), "shadow-fn");
    server.restart(&plain_files());
    assert_eq!(names(&mut server.client()), ["lib1"], "and nothing is lost by the attempt");
}

#[test]
fn a_flush_before_the_save_is_remembered() {
    let options = Options::new();
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    save(&mut client);
    client.run("SHADOW.FUNCTION FLUSH");
    save(&mut client);
    server.restart(&options);
    assert_eq!(names(&mut server.client()), [""; 0]);
}

#[test]
fn keys_and_libraries_are_saved_together() {
    for options in [Options::new(), append_only(), append_only().set("aof-use-rdb-preamble", "no")] {
        let mut server = options.clone().start();
        let mut client = server.client();
        client.run("MULTI");
        client.call(&["SHADOW.FUNCTION", "LOAD", &callback("return redis.call('incr', KEYS[1])")]);
        client.run("SHADOW.FCALL f 1 count");
        client.run("SET other 5");
        assert_eq!(client.run("EXEC").items().len(), 3);
        client.run("SELECT 3");
        client.run("SHADOW.FCALL f 1 elsewhere");
        client.run("FUNCTION FLUSH");
        client.call(&["FUNCTION", "LOAD", &callback("return 'own'")]);
        if client.info("aof_enabled").as_deref() == Some("1") {
            rewrite(&mut client)
        } else {
            save(&mut client)
        }
        server.restart(&options);
        let mut client = server.client();
        assert_eq!(client.run("SHADOW.FCALL f 1 count"), Value::Integer(2));
        assert_eq!(client.run("GET other").text(), "5");
        assert_eq!(client.run("FCALL f 0").text(), "own");
        client.run("SELECT 3");
        assert_eq!(client.run("SHADOW.FCALL f 1 elsewhere"), Value::Integer(2));
    }
}

#[test]
fn a_library_that_no_longer_compiles_stops_the_load_and_is_named() {
    let mut server = saved(&[numbered(1), numbered(22)]);
    patch(&server, |bytes| {
        let at = find(bytes, b"return 22 end");
        bytes[at..at + 13].copy_from_slice(b"return (2 end");
    });
    let log = refusal(&mut server, &plain_files());
    assert_logged(&log, "<shadow> failed loading library 'lib22' from the file: ERR Error compiling function: ");
}

#[test]
fn two_libraries_of_one_name_stop_the_load() {
    let mut server = saved(&[numbered(1), numbered(2)]);
    patch(&server, |bytes| {
        let at = find(bytes, b"name=lib2");
        bytes[at..at + 9].copy_from_slice(b"name=lib1");
    });
    let log = refusal(&mut server, &plain_files());
    assert_logged(&log, "<shadow> failed loading library 'lib1' from the file: ERR Library 'lib1' already exists");
}

#[test]
fn a_field_of_a_newer_version_is_refused_in_clear_words() {
    let mut server = saved(&[numbered(1)]);
    patch(&server, |bytes| make_newer(bytes));
    let log = refusal(&mut server, &plain_files());
    assert_logged(
        &log,
        "<shadow> the file holds libraries in format 2, and this version of the module reads formats up to 1",
    );
}

#[test]
fn a_field_that_is_cut_short_is_refused() {
    const CUT: &str = "<shadow> the libraries in the file are cut short";
    // The file ends in the middle of a library, ...
    let mut server = saved(&[numbered(1)]);
    patch(&server, |bytes| bytes.truncate(find(bytes, b"register_function")));
    assert_logged(&refusal(&mut server, &plain_files()), CUT);
    // ... or in its length (at the end of a whole value, the server's own check of the file would not come to an end),
    // ...
    let mut server = saved(&[numbered(1)]);
    patch(&server, |bytes| bytes.truncate(find(bytes, b"#!lua") - 2));
    assert_logged(&refusal(&mut server, &plain_files()), CUT);
    // ... or the field ends before its last library.
    let mut server = saved(&[numbered(1)]);
    patch(&server, |bytes| {
        // The id, then the kind of the number that says when the field comes, and that; the kind of our own, and that.
        let count = field(bytes) + 10 + 3;
        assert_eq!(bytes[count], 1, "the number of libraries");
        bytes[count] = 2;
    });
    assert_logged(&refusal(&mut server, &plain_files()), CUT);
}

#[test]
fn ten_thousand_libraries_come_back() {
    const COUNT: usize = 10_000;
    let options = append_only().set("appendfsync", "no").set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    load_many(&mut client, COUNT);
    let before = sources(&mut client);
    assert_eq!(before.len(), COUNT);
    assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
    assert!(sources(&mut client) == before, "through the snapshot");
    rewrite(&mut client);
    // What the server has written is in the file, whenever the disk has it.
    load(&mut client, &numbered(COUNT));
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(client.run("SHADOW.FCALL f10000 0"), Value::Integer(10_000));
    client.run("SHADOW.FUNCTION DELETE lib10000");
    assert!(sources(&mut client) == before, "through the rewritten file");
    assert_eq!(client.run("SHADOW.FCALL f9999 0"), Value::Integer(9999));
}

#[test]
fn a_snapshot_in_the_background_holds_what_was_loaded_when_it_began() {
    // A hundred keys, two hundredths of a second each.
    let options = Options::new().set("rdb-key-save-delay", "20000");
    let mut server = options.clone().start();
    let mut client = server.client();
    client.run("DEBUG POPULATE 100");
    (0..3).for_each(|number| load(&mut client, &numbered(number)));
    let before = sources(&mut client);
    let reply = client.run("BGSAVE");
    assert!(!reply.is_error(), "{reply:?}");
    client.run("SHADOW.FUNCTION DELETE lib1");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    (5..50).for_each(|number| load(&mut client, &numbered(number)));
    assert_eq!(client.run("SHADOW.FCALL f7 0"), Value::Integer(7));
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    assert_eq!(client.info_number("rdb_bgsave_in_progress"), 1, "all that happened during the save");
    client.run("CONFIG SET rdb-key-save-delay 0");
    wait_until("the snapshot is written", || client.info_number("rdb_bgsave_in_progress") == 0);
    assert_eq!(client.info("rdb_last_bgsave_status").as_deref(), Some("ok"));
    server.restart(&Options::new());
    assert_eq!(sources(&mut server.client()), before);
}

#[test]
fn what_functions_remember_is_not_saved() {
    let server = Server::start();
    let mut client = server.client();
    load(
        &mut client,
        &source("counter", "local n = 0 redis.register_function('n', function() n = n + 1 return n end)"),
    );
    for expected in 1..=3 {
        assert_eq!(client.run("SHADOW.FCALL n 0"), Value::Integer(expected));
    }
    assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
    assert_eq!(client.run("SHADOW.FCALL n 0"), Value::Integer(1), "the library was loaded anew");
}

/// The RESTORE commands in the file, but for their payloads.
fn restores(server: &Server) -> Vec<Vec<String>> {
    let commands = server.aof().into_iter().filter(|command| command.get(1).is_some_and(|word| word == "RESTORE"));
    commands.map(|command| [&command[..2], &command[3..]].concat()).collect()
}

fn own(client: &mut Client, code: &str) {
    let reply = client.call(&["FUNCTION", "LOAD", "REPLACE", code]);
    assert!(!reply.is_error(), "{reply:?}");
}

#[test]
fn an_import_copies_the_servers_own_libraries_under_each_policy() {
    let options = append_only();
    let mut server = options.clone().start();
    let mut client = server.client();
    own(&mut client, &numbered(1));
    own(&mut client, &numbered(2));
    for (command, loaded, expected) in [
        ("IMPORT", vec![], Ok(vec!["lib1", "lib2"])),
        ("import append", vec![7], Ok(vec!["lib1", "lib2", "lib7"])),
        ("IMPORT", vec![2], Err("ERR Library lib2 already exists")),
        ("IMPORT APPEND", vec![2], Err("ERR Library lib2 already exists")),
        ("IMPORT REPLACE", vec![2, 7], Ok(vec!["lib1", "lib2", "lib7"])),
        ("IMPORT Flush", vec![2, 7], Ok(vec!["lib1", "lib2"])),
        (
            "IMPORT ALL",
            vec![7],
            Err("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."),
        ),
        (
            "IMPORT REPLACE x",
            vec![7],
            Err("ERR unknown subcommand or wrong number of arguments for 'IMPORT'. Try SHADOW.FUNCTION HELP."),
        ),
    ] {
        client.run("SHADOW.FUNCTION FLUSH");
        loaded.iter().for_each(|number| load(&mut client, &numbered(*number)));
        let before = sources(&mut client);
        let reply = client.run(&format!("SHADOW.FUNCTION {command}"));
        match expected {
            Ok(expected) => {
                assert_eq!(reply, Value::Simple("OK".to_owned()), "{command}");
                assert_eq!(names(&mut client), expected, "{command}");
                assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
            }
            Err(text) => {
                assert_eq!(reply, Value::Error(text.to_owned()), "{command}");
                assert_eq!(sources(&mut client), before, "{command}");
            }
        }
    }
    let expected = ["APPEND", "APPEND", "REPLACE", "FLUSH"].map(|policy| ["SHADOW.FUNCTION", "RESTORE", policy]);
    assert_eq!(restores(&server), expected, "an import is written as what it amounts to, a refused one not at all");
    let before = sources(&mut client);
    client.run("FUNCTION FLUSH");
    server.restart(&options);
    assert_eq!(sources(&mut server.client()), before);
}

#[test]
fn an_import_that_collides_with_a_function_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    own(&mut client, &numbered(1));
    own(&mut client, &numbered(2));
    load(&mut client, &source("other", "redis.register_function('F2', function() return 'mine' end)"));
    for policy in ["", "APPEND", "REPLACE"] {
        let reply = client.run(&format!("SHADOW.FUNCTION IMPORT {policy}"));
        assert_eq!(reply.text(), "ERR Function f2 already exists", "{policy}");
        assert_eq!(names(&mut client), ["other"]);
    }
    assert_eq!(client.run("SHADOW.FUNCTION IMPORT FLUSH").text(), "OK");
    assert_eq!(names(&mut client), ["lib1", "lib2"]);
}

#[test]
fn an_import_reaches_what_interception_hides() {
    let options = append_only();
    let mut server = options.clone().without_module().start();
    let mut client = server.client();
    own(&mut client, &numbered(1));
    let path = module_path().to_string_lossy().into_owned();
    assert_eq!(client.call(&["MODULE", "LOAD", &path, "intercept", "yes"]).text(), "OK");
    assert_eq!(client.run("FUNCTION LIST").items(), []);
    assert_eq!(client.run("FCALL f1 0").text(), "ERR Function not found");
    assert_eq!(client.run("SHADOW.FUNCTION IMPORT").text(), "OK");
    assert_eq!(client.run("FCALL f1 0"), Value::Integer(1));
    assert_eq!(restores(&server), [["SHADOW.FUNCTION", "RESTORE", "APPEND"]]);
    server.restart(&options.module_arguments("intercept yes"));
    assert_eq!(server.client().run("FCALL f1 0"), Value::Integer(1));
}

#[test]
fn an_append_only_file_with_libraries_needs_the_module() {
    // With one, Redis 7.0 would begin the file with a snapshot that needs the module anyway.
    let options = append_only().set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    load(&mut server.client(), &numbered(1));
    assert_logged(&refusal(&mut server, &options.clone().without_module()), "SHADOW.FUNCTION");
    server.restart(&options);
    assert_eq!(names(&mut server.client()), ["lib1"], "and nothing is lost by the attempt");
}

/// The way out on Redis 7.0 as well, where a snapshot always has the field.
#[test]
fn a_rewrite_of_an_empty_registry_without_a_preamble_needs_no_module() {
    let mut server = Options::new().start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    client.run("SET key value");
    client.run("SHADOW.FUNCTION FLUSH");
    client.run("CONFIG SET aof-use-rdb-preamble no");
    client.run("CONFIG SET appendonly yes");
    rewritten(&mut client);
    client.send(&["SHUTDOWN"]);
    assert!(server.wait_for_exit().success());
    server.restart(&append_only().without_module());
    assert_eq!(server.client().run("GET key").text(), "value");
}
