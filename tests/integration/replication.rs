//! What reaches the append only file and the replicas.

use crate::library::{callback, evaluate, load, names, numbered};
use crate::support::{Client, Options, Server, wait_until};

fn with_aof() -> Server {
    Options::new().set("appendonly", "yes").set("appendfsync", "always").start()
}

/// A replica of `master`, in step with it.
fn replica_of(master: &Server) -> Server {
    let replica = Options::new().set("replicaof", &format!("127.0.0.1 {}", master.port())).start();
    let mut client = replica.client();
    wait_until("the replica is in step", || client.info("master_link_status").as_deref() == Some("up"));
    replica
}

/// The commands in the file so far, but for those that select a database.
fn written(server: &Server) -> Vec<Vec<String>> {
    server.aof().into_iter().filter(|command| !command[0].eq_ignore_ascii_case("select")).collect()
}

/// Puts a mark into the file and returns what was written since the last mark.
fn since_last_mark(server: &Server, client: &mut Client) -> Vec<Vec<String>> {
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
