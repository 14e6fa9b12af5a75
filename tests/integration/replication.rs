//! What reaches the append only file and the replicas.

use crate::support::library::{callback, evaluate, load, load_many, names, numbered, source};
use crate::support::replicas::{Monitor, replica_of, replica_with, wait_in_step};
use crate::support::{Client, Options, Server, Value, wait_until};

/// A server that has every write in its append only file before it replies.
pub fn with_aof() -> Server {
    Options::new().set("appendonly", "yes").set("appendfsync", "always").start()
}

/// The commands in the file so far, but for those that select a database.
fn written(server: &Server) -> Vec<Vec<String>> {
    server.aof().into_iter().filter(|command| !command[0].eq_ignore_ascii_case("select")).collect()
}

/// Puts a mark into the file and returns what was written since the last mark.
pub fn since_last_mark(server: &Server, client: &mut Client) -> Vec<Vec<String>> {
    client.run("SET mark x");
    let all = written(server);
    let is_mark = |command: &Vec<String>| command.len() == 3 && command[1] == "mark";
    let (last, before) = all.split_last().expect("the mark is in the file");
    assert!(is_mark(last), "the file is written before the reply is sent");
    let start = before.iter().rposition(is_mark).map_or(0, |at| at + 1);
    before[start..].to_vec()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn changes_of_the_registry_are_written_word_for_word() {
    let server = with_aof();
    let mut client = server.client();
    let (code, other) = (callback("return 1"), numbered(1));
    let commands: Vec<Vec<String>> = vec![
        ["SHADOW.FUNCTION", "LOAD", &code].map(str::to_owned).to_vec(),
        ["shadow.function", "Load", "rEpLaCe", "REPLACE", &code].map(str::to_owned).to_vec(),
        ["SHADOW.FUNCTION", "LOAD", &other].map(str::to_owned).to_vec(),
        words("Shadow.Function delete lib1"),
        words("SHADOW.FUNCTION FLUSH"),
        words("SHADOW.FUNCTION flush async"),
        words("SHADOW.FUNCTION FLUSH SYNC"),
    ];
    for command in &commands {
        let reply = client.call(command);
        assert!(!reply.is_error(), "{reply:?}");
    }
    assert_eq!(
        since_last_mark(&server, &mut client),
        commands,
        "the last two flushed nothing and are written all the same"
    );
}

#[test]
fn what_fails_or_only_reads_is_not_written() {
    let server = with_aof();
    let mut client = server.client();
    load(&mut client, &callback("return 1"));
    since_last_mark(&server, &mut client);
    for command in [
        vec!["SHADOW.FUNCTION", "LOAD", "nothing"],
        vec!["SHADOW.FUNCTION", "LOAD", &callback("return 2")],
        vec!["SHADOW.FUNCTION", "DELETE", "missing"],
        vec!["SHADOW.FUNCTION", "FLUSH", "BAD"],
        vec!["SHADOW.FUNCTION", "LIST"],
        vec!["SHADOW.FUNCTION", "STATS"],
        vec!["SHADOW.FUNCTION", "HELP"],
        vec!["SHADOW.FCALL", "f", "0"],
        vec!["SHADOW.FCALL", "missing", "0"],
    ] {
        client.call(&command);
    }
    assert_eq!(since_last_mark(&server, &mut client), Vec::<Vec<String>>::new());
}

#[test]
fn effects_of_a_call_are_written_like_those_of_the_servers_own() {
    let server = with_aof();
    let mut client = server.client();
    for body in [
        "redis.call('set','a',1)",
        "redis.call('set','a',1) redis.call('incr','a')",
        "redis.call('SET','a',1) error('x')",
        "redis.call('set','a',1) redis.call('get','a') redis.pcall('lpush','a',1) redis.call('del','a')",
        "redis.call('sadd','s','x') redis.call('spop','s')",
        "redis.call('set','a',0.5) redis.call('incrbyfloat','a',0.25)",
        "redis.call('select',3) redis.call('set','a',1)",
        "redis.call('set','here',1) redis.call('select',3) redis.call('set','there',1)",
        "redis.call('publish','channel','x')",
        "redis.call('get','a')",
        "redis.call('del','missing')",
        "redis.set_repl(redis.REPL_NONE) redis.call('set','a',1)",
        "redis.set_repl(redis.REPL_NONE) redis.call('set','a',1) redis.set_repl(redis.REPL_ALL) redis.call('set','b',1)",
        "redis.set_repl(redis.REPL_AOF) redis.call('set','a',1)",
        "redis.set_repl(redis.REPL_REPLICA) redis.call('set','a',1)",
        "local t=redis.call('time') redis.call('hset','h','f',#t)",
    ] {
        client.run("FLUSHALL");
        client.call(&["FUNCTION", "LOAD", "REPLACE", &callback(body)]);
        since_last_mark(&server, &mut client);
        client.run("FCALL f 0");
        let own = since_last_mark(&server, &mut client);
        client.run("FLUSHALL");
        load(&mut client, &callback(body));
        since_last_mark(&server, &mut client);
        client.run("SHADOW.FCALL f 0");
        assert_eq!(since_last_mark(&server, &mut client), own, "{body}");
    }
}

#[test]
fn several_effects_are_one_transaction() {
    let server = with_aof();
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set','a',1) redis.call('set','b',2)"));
    since_last_mark(&server, &mut client);
    client.run("SHADOW.FCALL f 0");
    assert_eq!(
        since_last_mark(&server, &mut client),
        [words("MULTI"), words("set a 1"), words("set b 2"), words("EXEC")]
    );
}

#[test]
fn a_transaction_of_the_client_is_one_in_the_file() {
    let server = with_aof();
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set','a',1) redis.call('set','b',2)"));
    since_last_mark(&server, &mut client);
    client.run("MULTI");
    client.run("SHADOW.FCALL f 0");
    client.run("SHADOW.FUNCTION FLUSH");
    client.run("EXEC");
    let expected = [words("MULTI"), words("set a 1"), words("set b 2"), words("SHADOW.FUNCTION FLUSH"), words("EXEC")];
    assert_eq!(since_last_mark(&server, &mut client), expected);
}

#[test]
fn a_replica_follows_the_registry() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &numbered(1));
    load(&mut client, &numbered(2));
    wait_until("the replica has both", || names(&mut reader) == ["lib1", "lib2"]);
    client.run("SHADOW.FUNCTION DELETE lib1");
    wait_until("the replica has deleted one", || names(&mut reader) == ["lib2"]);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    wait_until("the replica is empty", || names(&mut reader).is_empty());
    load(&mut client, &numbered(3));
    wait_until("the replica has the new one", || names(&mut reader) == ["lib3"]);
}

#[test]
fn a_flush_of_an_empty_registry_still_reaches_the_replica() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    reader.run("CONFIG SET replica-read-only no");
    load(&mut reader, &numbered(1));
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH").text(), "OK");
    wait_until("the replica is empty", || names(&mut reader).is_empty());
}

#[test]
fn a_replica_gets_the_effects_of_calls_only() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &callback("redis.call('set','a',1) redis.call('rpush','l',1,2) return 1"));
    client.run("SHADOW.FCALL f 0");
    wait_until("the effects are there", || {
        reader.run("EXISTS a l").text() == "2" && reader.run("LRANGE l 0 -1").items().len() == 2
    });
    evaluate(&mut client, "redis.set_repl(redis.REPL_AOF) redis.call('set','hidden',1)");
    evaluate(&mut client, "redis.set_repl(redis.REPL_REPLICA) redis.call('set','shown',1)");
    wait_until("the later write is there", || reader.run("EXISTS shown").text() == "1");
    assert_eq!(reader.run("EXISTS hidden").text(), "0");
    assert_eq!(reader.command_stat("shadow.fcall", "calls"), 0.0);
}

#[test]
fn a_replica_runs_several_effects_in_a_transaction() {
    let master = Server::start();
    let replica = replica_of(&master);
    let mut client = master.client();
    load(&mut client, &callback("for at = 1, #ARGV do redis.call('rpush', KEYS[1], ARGV[at]) end"));
    wait_in_step(&master, &replica);
    let mut monitor = Monitor::of(&replica);
    client.run("SHADOW.FCALL f 1 l one");
    client.run("SHADOW.FCALL f 1 l two three");
    client.run("SHADOW.FCALL f 1 l");
    client.run("MULTI");
    client.run("SHADOW.FCALL f 1 l four");
    client.run("SHADOW.FUNCTION DELETE mylib");
    client.run("EXEC");
    client.run("SET mark x");
    let expected = [
        "rpush l one",
        "multi",
        "rpush l two",
        "rpush l three",
        "exec",
        "multi",
        "rpush l four",
        "shadow.function delete mylib",
        "exec",
    ];
    assert_eq!(monitor.until("set mark"), expected);
}

#[test]
fn effects_before_an_error_reach_the_replica() {
    let master = Server::start();
    let replica = replica_of(&master);
    let mut client = master.client();
    assert!(evaluate(&mut client, "redis.call('set','a',1) redis.call('set','b',2) error('x')").is_error());
    wait_in_step(&master, &replica);
    assert_eq!(replica.client().run("EXISTS a b").text(), "2");
}

#[test]
fn a_flush_frees_on_the_replica_too() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    for (mode, freed) in [("ASYNC", 1_000), ("SYNC", 1_000), ("ASYNC", 2_000)] {
        load_many(&mut client, 1_000);
        wait_in_step(&master, &replica);
        assert_eq!(reader.info_number("shadow_libraries"), 1_000);
        client.run(&format!("SHADOW.FUNCTION FLUSH {mode}"));
        wait_in_step(&master, &replica);
        assert_eq!(reader.info_number("shadow_libraries"), 0);
        wait_until("they are freed", || reader.info_number("shadow_pending_libraries") == 0);
        // The worker counts what it frees; SYNC does not need it.
        assert_eq!(reader.info_number("shadow_freed_libraries"), freed, "{mode}");
    }
    assert_eq!(reader.info_number("shadow_flushes"), 3);
    assert_eq!(reader.info_number("shadow_flushes_in_place"), 0);
}

#[test]
fn restored_and_imported_libraries_reach_the_replica() {
    let (master, other) = (Server::start(), Server::start());
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut other.client(), &numbered(1));
    let payload = other.client().call(&["SHADOW.FUNCTION", "DUMP"]);
    let Value::Bulk(payload) = payload else { panic!("{payload:?}") };
    let restore = |policy: &str| {
        vec![b"SHADOW.FUNCTION".to_vec(), b"RESTORE".to_vec(), payload.clone(), policy.as_bytes().to_vec()]
    };
    load(&mut client, &numbered(2));
    assert_eq!(client.call(&restore("APPEND")).text(), "OK");
    assert!(client.call(&restore("APPEND")).is_error());
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut reader), ["lib1", "lib2"]);
    assert_eq!(client.call(&restore("FLUSH")).text(), "OK");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut reader), ["lib1"]);

    client.call(&["FUNCTION", "LOAD", &numbered(3)]);
    assert_eq!(client.run("SHADOW.FUNCTION IMPORT APPEND").text(), "OK");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut reader), ["lib1", "lib3"]);
    // What the replica's own registry holds is not asked for.
    reader.run("CONFIG SET replica-read-only no");
    reader.run("FUNCTION FLUSH");
    assert_eq!(client.run("SHADOW.FUNCTION IMPORT FLUSH").text(), "OK");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut reader), ["lib3"]);
    assert_eq!(reader.run("SHADOW.FCALL f3 0").text(), "3");
}

#[test]
fn a_link_that_breaks_goes_on_where_it_was() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &numbered(1));
    // In one transaction, so that the replica gets it after the link was cut.
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.call(&["SHADOW.FUNCTION", "LOAD", &numbered(2)]);
    client.call(&["SHADOW.FUNCTION", "LOAD", &callback("return redis.call('incr','n')")]);
    client.run("SHADOW.FCALL f 0");
    client.run("EXEC");
    wait_in_step(&master, &replica);
    assert_eq!(names(&mut reader), ["lib2", "mylib"]);
    assert_eq!(reader.run("GET n").text(), "1");
    assert_eq!((client.info_number("sync_full"), client.info_number("sync_partial_ok")), (1, 1));
}

#[test]
fn a_replica_of_a_replica_follows_the_registry() {
    let master = Server::start();
    load(&mut master.client(), &numbered(1));
    let middle = replica_of(&master);
    let last = replica_of(&middle);
    let (mut client, mut reader) = (master.client(), last.client());
    assert_eq!(names(&mut reader), ["lib1"]);
    load(&mut client, &callback("redis.call('set','a',1) redis.call('set','b',2)"));
    client.run("SHADOW.FCALL f 0");
    client.run("SHADOW.FUNCTION DELETE lib1");
    wait_in_step(&master, &middle);
    wait_in_step(&middle, &last);
    assert_eq!(names(&mut reader), ["mylib"]);
    assert_eq!(reader.run("EXISTS a b").text(), "2");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    wait_in_step(&master, &middle);
    wait_in_step(&middle, &last);
    assert_eq!(names(&mut reader), [""; 0]);
}

#[test]
fn an_intercepting_replica_follows_a_master_that_does_not_intercept() {
    let master = Server::start();
    let replica = replica_with(Options::new().module_arguments("intercept yes"), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &callback("return redis.call('get', 'key')"));
    client.run("SET key value");
    wait_in_step(&master, &replica);
    assert_eq!(reader.run("FCALL f 0").text(), "READONLY You can't write against a read only replica.");
    let body = "redis.register_function{function_name='f', flags={'no-writes'}, callback=function() return redis.call('get', 'key') end}";
    load(&mut client, &source("mylib", body));
    wait_in_step(&master, &replica);
    assert_eq!(reader.run("FCALL f 0").text(), "value");
    assert_eq!(reader.run("FCALL_RO f 0").text(), "value");
}

#[test]
fn libraries_come_back_from_the_append_only_file() {
    let server = with_aof();
    let mut client = server.client();
    client.run("SHADOW.FUNCTION FLUSH");
    load(&mut client, &numbered(1));
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    load(&mut client, &numbered(2));
    load(&mut client, &numbered(3));
    client.run("SHADOW.FUNCTION DELETE lib3");
    assert!(!client.run("DEBUG LOADAOF").is_error());
    assert_eq!(names(&mut client), ["lib2"]);
    assert_eq!(client.run("SHADOW.FCALL f2 0").text(), "2");
}
