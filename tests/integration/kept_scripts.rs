//! The cache of scripts: how much stays in it, and with `shadow.keep-scripts` what outlives the server.

use std::fs;

use shadow::registry::Digest;

use crate::support::replicas::{follow, replica_of, replica_with, wait_in_step};
use crate::support::{Client, Flavour, Options, Server, Value, wait_until};

/// A server that keeps scripts.
fn keeping() -> Options {
    Options::new().module_arguments("keep-scripts yes")
}

/// Everything that is acknowledged is in the file.
fn append_only(options: Options) -> Options {
    options.set("appendonly", "yes").set("appendfsync", "always")
}

/// The script with this number.
fn script(number: usize) -> String {
    format!("return {number}")
}

/// A script with this number that takes some 20 KB.
fn large(number: usize) -> String {
    format!("return {number} -- {}", "x".repeat(20_000))
}

fn load(client: &mut Client, code: &str) -> String {
    let reply = client.call(&["SHADOW.SCRIPT", "LOAD", code]);
    assert!(!reply.is_error(), "{reply:?}");
    reply.text()
}

fn eval(client: &mut Client, code: &str) -> String {
    client.call(&["SHADOW.EVAL", code, "0"]).text()
}

fn digest(code: &str) -> String {
    Digest::of(code.as_bytes()).to_string()
}

/// Which of these scripts are cached.
fn has(client: &mut Client, scripts: &[String]) -> Vec<bool> {
    let digests = scripts.iter().map(|code| digest(code));
    let words: Vec<String> = ["SHADOW.SCRIPT", "EXISTS"].map(str::to_owned).into_iter().chain(digests).collect();
    client.call(&words).items().iter().map(|found| *found == Value::Integer(1)).collect()
}

fn has_all(client: &mut Client, scripts: &[String]) -> bool {
    has(client, scripts).into_iter().all(|found| found)
}

fn has_none(client: &mut Client, scripts: &[String]) -> bool {
    !has(client, scripts).into_iter().any(|found| found)
}

/// The commands in the file so far, but for those that select a database.
fn written(server: &Server) -> Vec<Vec<String>> {
    server.aof().into_iter().filter(|command| !command[0].eq_ignore_ascii_case("select")).collect()
}

fn kept(words: &[&str]) -> Vec<String> {
    ["SHADOW.SCRIPT", "KEPT"].iter().chain(words).map(|&word| word.to_owned()).collect()
}

/// A replica that has got a file rewrites its own, which is not complete before.
fn rewritten(client: &mut Client) {
    wait_until("the file is rewritten", || {
        client.info_number("aof_rewrite_scheduled") + client.info_number("aof_rewrite_in_progress") == 0
    });
    assert_eq!(client.info("aof_last_bgrewrite_status").as_deref(), Some("ok"));
}

fn rewrite(client: &mut Client) {
    rewritten(client);
    let reply = client.run("BGREWRITEAOF");
    assert!(!reply.is_error(), "{reply:?}");
    rewritten(client);
}

fn scripts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(script).collect()
}

// ---- what is written ------------------------------------------------------------------------------------------------

#[test]
fn what_brings_a_script_is_written_once_and_before_its_reply() {
    let server = append_only(keeping()).start();
    let mut client = server.client();
    load(&mut client, "return 1");
    load(&mut client, "return 1");
    for command in ["SHADOW.EVAL", "SHADOW.EVAL_RO"] {
        for _ in 0..2 {
            client.call(&[command, &format!("return '{command}'"), "0"]);
        }
    }
    assert_eq!(client.call(&["SHADOW.EVALSHA", &digest("return 1"), "0"]), Value::Integer(1));
    let refused = "#!lua\nreturn redis.call('set', 'x', 1)";
    assert!(client.call(&["SHADOW.EVAL_RO", refused, "0"]).is_error());
    let failing = "error('no')";
    assert!(client.call(&["SHADOW.EVAL", failing, "0"]).is_error());
    for code in ["return (", "#!lua flags=x\nreturn 1"] {
        assert!(client.call(&["SHADOW.EVAL", code, "0"]).is_error());
        assert!(client.call(&["SHADOW.SCRIPT", "LOAD", code]).is_error());
    }
    client.call(&["SHADOW.EVAL", "return redis.call('set', KEYS[1], 1)", "1", "key"]);
    client.run("SHADOW.SCRIPT FLUSH");
    client.run("SHADOW.SCRIPT FLUSH SYNC");
    let words = [
        kept(&["LOAD", "return 1"]),
        kept(&["EVAL", "return 'SHADOW.EVAL'"]),
        kept(&["EVAL", "return 'SHADOW.EVAL_RO'"]),
        kept(&["EVAL", refused]),
        kept(&["EVAL", failing]),
        vec!["MULTI".to_owned()],
        ["set", "key", "1"].map(str::to_owned).to_vec(),
        kept(&["EVAL", "return redis.call('set', KEYS[1], 1)"]),
        vec!["EXEC".to_owned()],
        kept(&["FLUSH", if server.flavour() == Flavour::Valkey { "ASYNC" } else { "SYNC" }]),
        kept(&["FLUSH", "SYNC"]),
    ];
    assert_eq!(written(&server), words);
}

#[test]
fn nothing_is_written_or_saved_unless_that_is_asked_for() {
    let options = append_only(Options::new());
    let mut server = options.clone().start();
    let replica = replica_of(&server);
    let mut client = server.client();
    load(&mut client, "return 1");
    eval(&mut client, "return 2");
    client.run("SHADOW.SCRIPT FLUSH");
    load(&mut client, "return 1");
    eval(&mut client, "return 2");
    client.run("SET key value");
    wait_in_step(&server, &replica);
    let both = scripts(1..3);
    assert!(has_none(&mut replica.client(), &both));
    assert_eq!(written(&server), [["SET", "key", "value"].map(str::to_owned).to_vec()]);
    rewrite(&mut client);
    server.restart(&options);
    assert!(has_none(&mut server.client(), &both));
    assert_eq!(server.client().run("DEBUG RELOAD").text(), "OK");
    load(&mut server.client(), "return 1");
    assert_eq!(server.client().run("DEBUG RELOAD").text(), "OK");
    assert_eq!(has(&mut server.client(), &both), [true, false], "a reload leaves the cache alone");
}

#[test]
fn a_transaction_keeps_what_it_brings() {
    let options = append_only(keeping());
    let mut server = options.clone().start();
    let mut client = server.client();
    client.run("MULTI");
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    client.call(&["SHADOW.EVAL_RO", "return 2", "0"]);
    client.call(&["SHADOW.EVALSHA_RO", &digest("return 2"), "0"]);
    assert!(client.run("EXEC").items().iter().all(|reply| !reply.is_error()));
    server.restart(&options);
    assert!(has_all(&mut server.client(), &scripts(1..3)));
}

#[test]
fn what_was_cached_before_is_kept_from_its_next_use_on() {
    let options = append_only(Options::new());
    let mut server = options.clone().start();
    let mut client = server.client();
    let all = scripts(1..6);
    all.iter().for_each(|code| drop(load(&mut client, code)));
    assert_eq!(client.run("CONFIG SET shadow.keep-scripts yes").text(), "OK");
    load(&mut client, &all[0]);
    eval(&mut client, &all[1]);
    client.call(&["SHADOW.EVALSHA", &digest(&all[2]), "0"]);
    client.call(&["SHADOW.EVALSHA_RO", &digest(&all[2]), "0"]);
    client.call(&["SHADOW.SCRIPT", "EXISTS", &digest(&all[3])]);
    let words: Vec<_> = all[..3].iter().map(|code| kept(&["LOAD", code])).collect();
    assert_eq!(written(&server), words);
    client.run("CONFIG SET shadow.keep-scripts no");
    load(&mut client, "return 'late'");
    client.run("CONFIG SET shadow.keep-scripts yes");
    eval(&mut client, &all[0]);
    assert_eq!(written(&server)[3..], [kept(&["LOAD", &all[0]])], "after a pause it is not known who has what");
    server.restart(&options);
    assert_eq!(has(&mut server.client(), &all), [true, true, true, false, false]);
}

// ---- files ----------------------------------------------------------------------------------------------------------

#[test]
fn a_snapshot_brings_scripts_back_and_how_they_came() {
    let options = keeping();
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, "return 1");
    eval(&mut client, "return 2");
    client.call(&["SHADOW.FUNCTION", "LOAD", "#!lua name=a\nredis.register_function('f', function() return 3 end)"]);
    for _ in 0..2 {
        assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
        assert!(has_all(&mut client, &scripts(1..3)));
    }
    assert_eq!(client.run("SAVE").text(), "OK");
    eval(&mut client, "return 3");
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(has(&mut client, &scripts(1..4)), [true, true, false]);
    assert_eq!(client.call(&["SHADOW.EVALSHA", &digest("return 2"), "0"]), Value::Integer(2));
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(3));
    // What EVAL brought may go, what LOAD brought may not.
    client.run("CONFIG SET shadow.script-cache 1mb");
    (0..100).for_each(|number| drop(eval(&mut client, &large(number))));
    assert_eq!(has(&mut client, &scripts(1..3)), [true, false]);
}

#[test]
fn the_append_only_file_brings_back_what_was_acknowledged() {
    for preamble in ["yes", "no"] {
        let options = append_only(keeping()).set("aof-use-rdb-preamble", preamble);
        let mut server = options.clone().start();
        let mut client = server.client();
        client.run("SET key value");
        load(&mut client, "return 1");
        eval(&mut client, "return 2");
        server.restart(&options);
        let mut client = server.client();
        assert!(has_all(&mut client, &scripts(1..3)), "with preamble {preamble}");
        for _ in 0..2 {
            rewrite(&mut client);
        }
        client.call(&["SHADOW.EVAL_RO", "return 3", "0"]);
        server.restart(&options);
        let mut client = server.client();
        assert!(has_all(&mut client, &scripts(1..4)), "rewritten, with preamble {preamble}");
        assert_eq!(client.run("GET key").text(), "value");
        client.run("SHADOW.SCRIPT FLUSH ASYNC");
        load(&mut client, "return 4");
        server.restart(&options);
        assert_eq!(has(&mut server.client(), &scripts(1..5)), [false, false, false, true]);
        rewrite(&mut server.client());
        server.restart(&options);
        assert_eq!(has(&mut server.client(), &scripts(1..5)), [false, false, false, true]);
    }
}

#[test]
fn a_script_with_a_nul_is_kept_whole() {
    let options = append_only(keeping()).set("aof-use-rdb-preamble", "no");
    let mut server = options.clone().start();
    let replica = replica_of(&server);
    let codes = ["--\0\nreturn #'x\0y'", "return #[[\0]]"];
    load(&mut server.client(), codes[0]);
    eval(&mut server.client(), codes[1]);
    let lengths = |client: &mut Client| codes.map(|code| client.call(&["SHADOW.EVALSHA", &digest(code), "0"]));
    let expected = [3, 1].map(Value::Integer);
    wait_in_step(&server, &replica);
    assert_eq!(lengths(&mut replica.client()), expected);
    server.restart(&options);
    assert_eq!(lengths(&mut server.client()), expected);
    rewrite(&mut server.client());
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(lengths(&mut client), expected);
    assert_eq!(client.run("DEBUG RELOAD").text(), "OK");
    assert_eq!(lengths(&mut client), expected);
}

#[test]
fn a_rewritten_file_without_a_preamble_says_how_scripts_came() {
    let server = append_only(keeping()).set("aof-use-rdb-preamble", "no").start();
    let mut client = server.client();
    eval(&mut client, "return 2");
    load(&mut client, "return 1");
    eval(&mut client, "return 2");
    rewrite(&mut client);
    assert_eq!(server.rewritten_aof(), [kept(&["LOAD", "return 1"]), kept(&["EVAL", "return 2"])], "in order of use");
}

#[test]
fn a_file_without_scripts_is_what_it_was() {
    let mut files = Vec::new();
    for options in [keeping(), Options::new()] {
        let server = options.set("rdbcompression", "no").set("rdbchecksum", "no").start();
        let mut client = server.client();
        client.call(&[
            "SHADOW.FUNCTION",
            "LOAD",
            "#!lua name=a\nredis.register_function('f', function() return 3 end)",
        ]);
        if !files.is_empty() {
            // Not kept, so not in the file.
            load(&mut client, "return 'secret'");
        }
        assert_eq!(client.run("SAVE").text(), "OK");
        let file = fs::read(server.directory().join("dump.rdb")).expect("the snapshot");
        // Before it, the time of the save and the like.
        let at = file.windows(9).position(|window| window == b"#!lua nam").expect("the library");
        files.push(file[at - 12..].to_vec());
    }
    assert_eq!(files[0], files[1]);
}

#[test]
fn a_server_that_does_not_keep_scripts_adds_those_of_a_file() {
    let mut server = keeping().start();
    let mut client = server.client();
    load(&mut client, "return 1");
    assert_eq!(client.run("SAVE").text(), "OK");
    server.restart(&Options::new());
    let mut client = server.client();
    load(&mut client, "return 2");
    assert!(has_all(&mut client, &scripts(1..3)));
    assert_eq!(client.run("DEBUG RELOAD NOSAVE").text(), "OK");
    assert!(has_all(&mut client, &scripts(1..3)));
    assert_eq!(client.run("SAVE").text(), "OK");
    server.restart(&Options::new());
    assert!(has_none(&mut server.client(), &scripts(1..3)), "it saves none");
}

#[test]
fn a_script_that_no_longer_compiles_stays_as_a_text_and_answers_why() {
    let options = keeping().set("rdbcompression", "no").set("rdbchecksum", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, "return 'one'");
    eval(&mut client, "return 'two'");
    assert_eq!(client.run("SAVE").text(), "OK");
    server.kill();
    let path = server.directory().join("dump.rdb");
    let mut file = fs::read(&path).expect("the snapshot");
    let at = file.windows(5).position(|window| window == b"'two'").expect("the script");
    file[at..at + 5].copy_from_slice(b"(wo((");
    fs::write(&path, file).expect("the snapshot is written");
    for _ in 0..2 {
        server.restart(&options);
        let broken = "return (wo((";
        let line = format!("<shadow> the kept script {} cannot be called: ERR Error compiling script ", digest(broken));
        assert!(server.log().contains(&line), "{}", server.log());
        let mut client = server.client();
        assert!(has_all(&mut client, &["return 'one'".to_owned(), broken.to_owned()]));
        for words in [["SHADOW.EVALSHA", &digest(broken), "0"], ["SHADOW.EVAL", broken, "0"]] {
            let reply = client.call(&words).text();
            assert!(reply.starts_with("ERR Error compiling script (new function): user_script:1: "), "{reply}");
        }
        assert_eq!(client.call(&["SHADOW.EVALSHA", &digest("return 'one'"), "0"]).text(), "one");
        assert_eq!(client.run("SAVE").text(), "OK", "it is saved again");
    }
}

#[test]
fn scripts_that_are_cut_short_stop_the_load() {
    let options = keeping().set("rdbcompression", "no").set("rdbchecksum", "no");
    let mut server = options.clone().start();
    let mut client = server.client();
    eval(&mut client, "return 'two'");
    assert_eq!(client.run("SAVE").text(), "OK");
    server.kill();
    let path = server.directory().join("dump.rdb");
    let mut file = fs::read(&path).expect("the snapshot");
    file.truncate(file.windows(5).position(|window| window == b"'two'").expect("the script"));
    fs::write(&path, file).expect("the snapshot is written");
    let log = server.try_restart(&options).expect_err("the server starts");
    assert!(log.contains("<shadow> the scripts in the file are cut short"), "{log}");
}

// ---- replicas -------------------------------------------------------------------------------------------------------

#[test]
fn a_replica_follows_the_cache() {
    let master = keeping().start();
    let replica = replica_with(append_only(keeping()), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, "return 1");
    eval(&mut client, "return 2");
    client.call(&["SHADOW.EVAL_RO", "return 3", "0"]);
    wait_in_step(&master, &replica);
    let all = scripts(1..4);
    assert!(has_all(&mut reader, &all));
    assert_eq!(reader.call(&["SHADOW.EVALSHA_RO", &digest("return 3"), "0"]), Value::Integer(3));
    wait_until("they are in the replica's own file", || {
        written(&replica) == [kept(&["LOAD", &all[0]]), kept(&["EVAL", &all[1]]), kept(&["EVAL", &all[2]])]
    });
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    wait_in_step(&master, &replica);
    assert!(has_none(&mut reader, &all));
}

#[test]
fn a_replica_of_a_replica_follows_the_cache() {
    let master = keeping().start();
    let middle = replica_with(keeping(), &master);
    let last = replica_with(keeping(), &middle);
    load(&mut master.client(), "return 1");
    eval(&mut master.client(), "return 2");
    wait_in_step(&master, &middle);
    wait_in_step(&middle, &last);
    assert!(has_all(&mut last.client(), &scripts(1..3)));
}

/// Fills the cache of a master beyond its bound. The scripts that it still has, and those that it has evicted.
fn overflow(client: &mut Client) -> (Vec<String>, Vec<String>) {
    client.run("CONFIG SET shadow.script-cache 1mb");
    let all: Vec<String> = (0..100).map(large).collect();
    for code in &all {
        eval(client, code);
    }
    let found = has(client, &all);
    assert!(found[99] && !found[0]);
    let (present, gone): (Vec<_>, Vec<_>) = all.into_iter().zip(found).partition(|(_, found)| *found);
    let codes = |scripts: Vec<(String, bool)>| scripts.into_iter().map(|(code, _)| code).collect();
    (codes(present), codes(gone))
}

#[test]
fn what_the_master_evicts_goes_on_the_replica_and_nothing_else() {
    let master = keeping().start();
    // Its own bound does not count for what its master keeps.
    let replica = replica_with(keeping(), &master);
    let mut client = master.client();
    load(&mut client, "return 1");
    let (present, gone) = overflow(&mut client);
    assert!(present.len() > 10 && gone.len() > 10, "{} and {}", present.len(), gone.len());
    wait_in_step(&master, &replica);
    let mut reader = replica.client();
    assert!(has_all(&mut reader, &present) && has_none(&mut reader, &gone));
    reader.run("CONFIG SET shadow.script-cache 1mb");
    client.run("CONFIG SET shadow.script-cache 0");
    for number in 100..150 {
        eval(&mut client, &large(number));
    }
    wait_in_step(&master, &replica);
    assert!(has_all(&mut reader, &present));
    // What clients bring to the replica is bounded there.
    for number in 200..300 {
        reader.call(&["SHADOW.EVAL_RO", &large(number), "0"]);
    }
    let own: Vec<String> = (200..300).map(large).collect();
    assert_eq!(has(&mut reader, &own).iter().filter(|found| **found).count(), 1, "only the last one fits");
    assert!(has_all(&mut reader, &present));
    // Once it is the master, it is its to evict.
    assert_eq!(reader.run("REPLICAOF NO ONE").text(), "OK");
    wait_until("the oldest are evicted", || has_none(&mut reader, &present[..3]));
    assert!(has(&mut reader, &[script(1)])[0], "what LOAD brought stays");
}

#[test]
fn a_lower_bound_is_followed_at_once_and_on_the_replica() {
    let master = keeping().start();
    let replica = replica_with(append_only(keeping()), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    let all: Vec<String> = (0..100).map(large).collect();
    for code in &all {
        eval(&mut client, code);
    }
    assert!(has_all(&mut client, &all));
    client.run("CONFIG SET shadow.script-cache 1mb");
    wait_until("the oldest are evicted", || has_none(&mut client, &all[..10]));
    wait_in_step(&master, &replica);
    wait_until("on the replica, too", || has_none(&mut reader, &all[..10]));
    assert_eq!(has(&mut client, &all), has(&mut reader, &all));
    assert!(has(&mut client, &all)[99]);
}

#[test]
fn a_read_only_replica_has_scripts_of_its_own_which_nobody_else_gets() {
    let master = keeping().start();
    let options = append_only(keeping());
    let mut replica = replica_with(options.clone(), &master);
    let mut reader = replica.client();
    load(&mut master.client(), "return 1");
    wait_in_step(&master, &replica);
    load(&mut reader, "return 2");
    reader.call(&["SHADOW.EVAL_RO", "return 3", "0"]);
    assert!(has_all(&mut reader, &scripts(1..4)));
    assert_eq!(
        reader.run("SHADOW.SCRIPT FLUSH").text(),
        "READONLY You can't write against a read only replica.",
        "it could not take its master's place any more"
    );
    assert!(reader.run("SHADOW.SCRIPT KEPT FLUSH").text().starts_with("READONLY "));
    assert!(has_all(&mut reader, &scripts(1..4)));
    assert!(has_none(&mut master.client(), &scripts(2..4)));
    rewrite(&mut reader);
    assert_eq!(written(&replica), [[""; 0]; 0]);
    replica.restart(&options);
    assert_eq!(has(&mut replica.client(), &scripts(1..4)), [true, false, false]);
}

#[test]
fn a_promoted_replica_keeps_its_own_scripts_from_their_next_use_on() {
    let master = keeping().start();
    let replica = replica_with(keeping(), &master);
    let mut client = replica.client();
    load(&mut master.client(), "return 1");
    wait_in_step(&master, &replica);
    load(&mut client, "return 2");
    load(&mut client, "return 3");
    client.run("REPLICAOF NO ONE");
    drop(master);
    let next = replica_with(keeping(), &replica);
    assert_eq!(has(&mut next.client(), &scripts(1..4)), [true, false, false]);
    assert_eq!(client.call(&["SHADOW.EVALSHA", &digest("return 2"), "0"]), Value::Integer(2));
    wait_in_step(&replica, &next);
    assert_eq!(has(&mut next.client(), &scripts(1..4)), [true, true, false]);
}

#[test]
fn loading_makes_a_script_of_eval_stay_on_the_replica_where_it_does_on_the_master() {
    let master = keeping().start();
    let replica = replica_with(keeping(), &master);
    let mut client = master.client();
    eval(&mut client, "return 1");
    load(&mut client, "return 1");
    wait_in_step(&master, &replica);
    assert!(has_all(&mut replica.client(), &scripts(1..2)));
    let promotes = master.flavour() == Flavour::Valkey;
    // It is the replica that evicts now.
    let mut reader = replica.client();
    reader.run("REPLICAOF NO ONE");
    let (_, gone) = overflow(&mut reader);
    assert!(!gone.is_empty());
    assert_eq!(has(&mut reader, &[script(1)]), [promotes]);
}

#[test]
fn a_full_sync_replaces_the_cache_of_a_replica_that_keeps_scripts() {
    for (sync, way) in [("no", "disabled"), ("yes", "disabled"), ("yes", "on-empty-db"), ("yes", "swapdb")] {
        for keeps in ["yes", "no"] {
            let master = keeping().set("repl-diskless-sync", sync).start();
            load(&mut master.client(), "return 1");
            eval(&mut master.client(), "return 2");
            let arguments = format!("keep-scripts {keeps}");
            let replica = Options::new().module_arguments(&arguments).set("repl-diskless-load", way).start();
            let mut reader = replica.client();
            load(&mut reader, "return 3");
            follow(&replica, &master);
            wait_in_step(&master, &replica);
            let own = keeps == "no";
            assert_eq!(has(&mut reader, &scripts(1..4)), [true, true, own], "{sync} {way} {keeps}");
            eval(&mut master.client(), "return 4");
            wait_in_step(&master, &replica);
            assert!(has(&mut reader, &[script(4)])[0], "{sync} {way} {keeps}");
        }
    }
}

#[test]
fn a_full_sync_without_scripts_empties_the_cache_of_a_replica_that_keeps_scripts() {
    for way in ["disabled", "swapdb"] {
        let master = keeping().start();
        master.client().run("SET key value");
        let replica = keeping().set("repl-diskless-load", way).start();
        load(&mut replica.client(), "return 1");
        follow(&replica, &master);
        wait_in_step(&master, &replica);
        assert!(has_none(&mut replica.client(), &scripts(1..2)), "{way}");
    }
}

#[test]
fn a_link_that_breaks_goes_on_where_it_was() {
    let master = keeping().start();
    let replica = replica_with(keeping(), &master);
    let mut client = master.client();
    load(&mut client, "return 1");
    // In one transaction, so that the replica gets it after the link was cut.
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 2"]);
    client.call(&["SHADOW.EVAL_RO", "return 3", "0"]);
    let replies = client.run("EXEC").items();
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    wait_in_step(&master, &replica);
    assert_eq!(has(&mut replica.client(), &scripts(1..4)), [false, true, true]);
    assert_eq!((client.info_number("sync_full"), client.info_number("sync_partial_ok")), (1, 1));
}

// ---- paused clients -------------------------------------------------------------------------------------------------

const PAUSED: &str = "ERR Writes are paused, and with 'shadow.keep-scripts yes' this would have to reach the replicas";

#[test]
fn while_writes_are_paused_scripts_run_and_are_not_kept() {
    let server = append_only(keeping()).start();
    let replica = replica_with(keeping(), &server);
    let (mut client, mut other) = (server.client(), server.client());
    load(&mut client, "return 1");
    client.run("CLIENT PAUSE 600000 WRITE");
    assert_eq!(client.call(&["SHADOW.EVAL_RO", "return 2", "0"]), Value::Integer(2));
    assert!(client.call(&["SHADOW.EVAL_RO", "error('no')", "0"]).is_error());
    assert!(has_none(&mut client, &scripts(2..3)));
    assert_eq!(client.call(&["SHADOW.SCRIPT", "LOAD", "return 3"]), Value::Error(PAUSED.to_owned()));
    assert!(has_none(&mut client, &scripts(3..4)));
    assert_eq!(load(&mut client, "return 1"), digest("return 1"), "it is kept already");
    assert_eq!(client.call(&["SHADOW.EVALSHA_RO", &digest("return 1"), "0"]), Value::Integer(1));
    assert_eq!(client.run("SHADOW.SCRIPT FLUSH"), Value::Error(PAUSED.to_owned()));
    // Those are held.
    other.send(&["SHADOW.EVAL", "return 4", "0"]);
    client.run("CLIENT UNPAUSE");
    assert_eq!(other.read(), Value::Integer(4));
    assert_eq!(load(&mut client, "return 3"), digest("return 3"));
    wait_in_step(&server, &replica);
    for server in [&server, &replica] {
        assert_eq!(has(&mut server.client(), &scripts(1..5)), [true, false, true, true]);
    }
}

#[test]
fn a_pause_that_a_transaction_begins_holds_for_the_rest_of_it() {
    let server = append_only(keeping()).start();
    let mut client = server.client();
    client.run("MULTI");
    client.run("CLIENT PAUSE 600000 WRITE");
    client.call(&["SHADOW.EVAL", "return redis.call('set', KEYS[1], 1)", "1", "key"]);
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    let replies = client.run("EXEC").items();
    assert_eq!(replies[1].text(), "OK");
    assert_eq!(replies[2], Value::Error(PAUSED.to_owned()));
    assert_eq!(client.run("GET key").text(), "1");
    client.run("CLIENT UNPAUSE");
    assert!(has_none(&mut client, &["return redis.call('set', KEYS[1], 1)".to_owned()]));
}

#[test]
fn evictions_wait_until_writes_are_not_paused() {
    let master = keeping().start();
    let replica = replica_with(keeping(), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    let all: Vec<String> = (0..100).map(large).collect();
    for code in &all {
        eval(&mut client, code);
    }
    wait_in_step(&master, &replica);
    assert!(has_all(&mut reader, &all));
    client.run("CLIENT PAUSE 600000 WRITE");
    client.run("CONFIG SET shadow.script-cache 1mb");
    let ticks = |client: &mut Client| client.info_number("uptime_in_seconds");
    let now = ticks(&mut client);
    wait_until("the server's timer has run", || ticks(&mut client) > now);
    assert!(has_all(&mut client, &all));
    client.run("CLIENT UNPAUSE");
    wait_until("the oldest are evicted", || has_none(&mut client, &all[..10]));
    wait_until("on the replica, too", || has_none(&mut reader, &all[..10]));
}

/// Its own file is written then, too, which no server does while it is paused.
#[test]
fn a_replica_whose_clients_are_paused_takes_what_its_master_sends_afterwards() {
    let master = keeping().start();
    let options = append_only(keeping());
    let mut replica = replica_with(options.clone(), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    rewritten(&mut reader);
    reader.run("CLIENT PAUSE 600000 WRITE");
    load(&mut client, "return 1");
    client.run("SHADOW.SCRIPT FLUSH");
    eval(&mut client, "return 2");
    client.run("SET key value");
    reader.run("CLIENT UNPAUSE");
    wait_in_step(&master, &replica);
    assert_eq!(has(&mut reader, &scripts(1..3)), [false, true]);
    drop(master);
    replica.restart(&options);
    assert_eq!(has(&mut replica.client(), &scripts(1..3)), [false, true]);
}

// ---- the bounds -----------------------------------------------------------------------------------------------------

#[test]
fn the_bound_of_the_cache_lets_go_what_eval_brought_and_was_not_used() {
    let server = Options::new().module_arguments("script-cache 1mb").start();
    let mut client = server.client();
    let loaded: Vec<String> = (0..10).map(large).collect();
    loaded.iter().for_each(|code| drop(load(&mut client, code)));
    let used = large(10);
    eval(&mut client, &used);
    for number in 11..100 {
        eval(&mut client, &large(number));
        client.call(&["SHADOW.EVALSHA", &digest(&used), "0"]);
    }
    assert!(has_all(&mut client, &loaded));
    assert!(has_all(&mut client, &[used, large(98), large(99)]));
    assert!(has_none(&mut client, &[large(11), large(12)]));
    // One that alone is more than the bound has room for takes the places of all, and stays.
    let huge = format!("return 1 -- {}", "x".repeat(1_000_000));
    assert_eq!(eval(&mut client, &huge), "1");
    assert_eq!(has(&mut client, &[huge, large(99)]), [true, false]);
    assert!(has_all(&mut client, &loaded));
}

#[test]
fn a_cache_that_fills_the_vm_lets_new_scripts_in() {
    let server = keeping().module_arguments("memory-limit 3mb").start();
    let replica = replica_with(keeping(), &server);
    let mut client = server.client();
    let texts: Vec<String> = (0..300).map(|number| format!("return '{}'", number.to_string().repeat(7_000))).collect();
    for code in &texts {
        assert!(eval(&mut client, code).len() >= 7_000);
    }
    let found = has(&mut client, &texts);
    assert!(found[299] && !found[0]);
    wait_in_step(&server, &replica);
    assert_eq!(has(&mut replica.client(), &texts), found);
    assert_eq!(eval(&mut client, "return #('x'):rep(100000)"), "100000");
}
