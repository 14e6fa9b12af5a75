//! What of scripts reaches the append only file and the replicas: their effects, like those of the server's own.

use super::{Pair, Server};
use crate::replication::{since_last_mark, with_aof};
use crate::support::replicas::{Monitor, replica_of, wait_in_step};
use crate::support::scripts::digest;
use crate::support::{Client, wait_until};

/// Scripts that write, or might.
const EFFECTS: &[&str] = &[
    "return 1",
    "redis.call('get', 'a')",
    "redis.call('set', 'a', 1)",
    "redis.call('SET', 'a', 1)",
    "redis.call('set', 'a', 1) redis.call('incr', 'a')",
    "redis.call('set', 'a', 1) error('x')",
    "redis.call('set', 'a', 1) redis.call('nosuch')",
    "redis.call('set', 'a', 1) redis.pcall('lpush', 'a', 1) redis.call('del', 'a')",
    "redis.call('del', 'missing')",
    "redis.call('set', KEYS[1], ARGV[1])",
    "redis.call('sadd', 's', 'x') redis.call('spop', 's')",
    "redis.call('set', 'a', 0.5) redis.call('incrbyfloat', 'a', 0.25)",
    "redis.call('set', 'a', 1) redis.call('getdel', 'a')",
    "redis.call('select', 3) redis.call('set', 'a', 1)",
    "redis.call('set', 'here', 1) redis.call('select', 3) redis.call('set', 'there', 1)",
    "redis.call('publish', 'channel', 'x')",
    "redis.call('set', 'a', 1) redis.call('publish', 'channel', 'x')",
    "redis.call('pfadd', 'h', 'a') redis.call('pfcount', 'h')",
    "redis.call('pfcount', 'hll')",
    "redis.set_repl(redis.REPL_NONE) redis.call('set', 'a', 1)",
    "redis.set_repl(redis.REPL_NONE) redis.call('set', 'a', 1) redis.set_repl(redis.REPL_ALL) redis.call('set', 'b', 1)",
    "redis.call('set', 'a', 1) redis.set_repl(redis.REPL_NONE) redis.call('set', 'b', 1) redis.set_repl(redis.REPL_ALL) \
     redis.call('set', 'c', 1)",
    "redis.set_repl(redis.REPL_AOF) redis.call('set', 'a', 1)",
    "redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'a', 1)",
    "redis.replicate_commands() redis.call('set', 'a', 1)",
    "redis.call('flushall')",
    "redis.call('flushdb') redis.call('set', 'a', 1)",
    "local t = redis.call('time') redis.call('hset', 'h', 'f', #t)",
    "#!lua flags=no-writes\nredis.pcall('set', 'a', 1)",
    "#!lua\nredis.call('set', 'a', 1)",
];

/// Two writes for one of file and replicas: the other gets an empty transaction.
const SELECTED: &[&str] = &[
    "redis.set_repl(redis.REPL_AOF) redis.call('set', 'a', 1) redis.call('set', 'b', 1)",
    "redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'a', 1) redis.call('set', 'b', 1)",
    "redis.set_repl(redis.REPL_SLAVE) redis.call('set', 'a', 1) redis.call('set', 'b', 1)",
];

/// Makes the keyspace the same before each script.
fn prepare(client: &mut Client) {
    client.run("FLUSHALL");
    client.run("PFADD hll a b c");
    // Its cached count is stale from here on.
    client.run("PFADD hll d");
}

#[test]
fn effects_are_written_alike() {
    let server = with_aof();
    let mut client = server.client();
    for script in EFFECTS.iter().chain(SELECTED) {
        for (own, ours, first) in
            [("EVAL", "SHADOW.EVAL", script.to_string()), ("EVALSHA", "SHADOW.EVALSHA", digest(script))]
        {
            let [own, ours] = [own, ours].map(|command| {
                prepare(&mut client);
                since_last_mark(&server, &mut client);
                client.call(&[command, &first, "1", "key", "argument"]);
                since_last_mark(&server, &mut client)
            });
            assert_eq!(ours, own, "{script}");
        }
    }
}

#[test]
fn effects_in_a_transaction_are_written_alike() {
    let server = with_aof();
    let mut client = server.client();
    for script in EFFECTS {
        let [own, ours] = ["EVAL", "SHADOW.EVAL"].map(|command| {
            prepare(&mut client);
            since_last_mark(&server, &mut client);
            client.run("MULTI");
            client.run("SET before 1");
            client.call(&[command, script, "1", "key", "argument"]);
            client.run("SET after 1");
            client.run("EXEC");
            since_last_mark(&server, &mut client)
        });
        assert_eq!(ours, own, "{script}");
    }
}

#[test]
fn effects_are_sent_to_replicas_alike() {
    let master = Server::start();
    let replica = replica_of(&master);
    let mut client = master.client();
    let mut monitor = Monitor::of(&replica);
    for script in EFFECTS.iter().chain(SELECTED) {
        let [own, ours] = ["EVAL", "SHADOW.EVAL"].map(|command| {
            prepare(&mut client);
            client.run("SET prepared x");
            monitor.until("set prepared");
            client.call(&[command, script, "1", "key", "argument"]);
            client.run("SET mark x");
            monitor.until("set mark")
        });
        assert_eq!(ours, own, "{script}");
    }
}

#[test]
fn scripts_and_changes_of_the_cache_are_not_written() {
    let server = with_aof();
    let mut client = server.client();
    since_last_mark(&server, &mut client);
    for command in [
        vec!["SHADOW.SCRIPT", "LOAD", "return 1"],
        vec!["SHADOW.EVAL", "return 2", "0"],
        vec!["SHADOW.EVAL_RO", "return 3", "0"],
        vec!["SHADOW.EVALSHA", &digest("return 1"), "0"],
        vec!["SHADOW.EVALSHA", "unknown", "0"],
        vec!["SHADOW.EVAL", "return (", "0"],
        vec!["SHADOW.SCRIPT", "EXISTS", "x"],
        vec!["SHADOW.SCRIPT", "FLUSH"],
        vec!["SHADOW.SCRIPT", "FLUSH", "ASYNC"],
        vec!["MULTI"],
        vec!["SHADOW.SCRIPT", "LOAD", "return 1"],
        vec!["SHADOW.SCRIPT", "FLUSH"],
        vec!["EXEC"],
    ] {
        client.call(&command);
    }
    assert_eq!(since_last_mark(&server, &mut client), Vec::<Vec<String>>::new());
}

#[test]
fn a_key_that_has_expired_is_deleted_in_the_scripts_transaction() {
    let server = with_aof();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let script = "redis.call('set', 'a', 1) return redis.call('exists', 'short') + redis.call('incr', 'short')";
    let [own, ours] = ["EVAL", "SHADOW.EVAL"].map(|command| {
        client.run("FLUSHALL");
        client.run("SET short 5 PX 1");
        // Asking for its time would delete it.
        let milliseconds = |time: Vec<i64>| time[0] * 1_000 + time[1] / 1_000;
        let mut now = || {
            let parts = client.run("TIME").items();
            milliseconds(parts.iter().map(|part| part.text().parse().expect("a number")).collect())
        };
        let start = now();
        wait_until("the key has expired", || now() > start + 2);
        since_last_mark(&server, &mut client);
        assert_eq!(client.call(&[command, script, "0"]).text(), "1");
        since_last_mark(&server, &mut client)
    });
    assert_eq!(ours, own);
    assert!(own.iter().any(|command| command[1..] == ["short"]), "{own:?}");
}

#[test]
fn a_replica_runs_no_script_of_its_master() {
    let master = Server::start();
    let replica = replica_of(&master);
    let mut client = master.client();
    client.call(&["SHADOW.EVAL", "redis.call('set', 'a', 1) redis.call('set', 'b', 2)", "0"]);
    wait_in_step(&master, &replica);
    let mut reader = replica.client();
    assert_eq!(reader.run("EXISTS a b").text(), "2");
    assert_eq!(reader.command_stat("shadow.eval", "calls"), 0.0);
}

/// The time, and what is left of a key's, stand still for a script where they do for the server's own.
#[test]
fn time_passes_alike() {
    let mut pair = Pair::start();
    let spin = "local n = 0 for i = 1, 3000000 do n = n + i % 7 end";
    for script in [
        format!(
            "local first = redis.call('time') {spin} local last = redis.call('time') \
                 return tostring(first[1] == last[1] and first[2] == last[2])"
        ),
        format!("redis.call('set', 'k', 'v', 'px', 100000) {spin} return tostring(redis.call('pttl', 'k') == 100000)"),
        format!("redis.call('set', 'k', 'v', 'px', 3) {spin} return redis.call('get', 'k')"),
    ] {
        pair.compare(&["EVAL", &script, "0"]);
    }
    for protocol in [2, 3] {
        let first = "return redis.call('set', 'time', table.concat(redis.call('time'), ' '))";
        let second =
            format!("{spin} return tostring(redis.call('get', 'time') == table.concat(redis.call('time'), ' '))");
        pair.compare_sequence_in(
            protocol,
            &[vec!["MULTI"], vec!["EVAL", first, "0"], vec!["EVAL", &second, "0"], vec!["EXEC"]],
        );
    }
    pair.finish();
}
