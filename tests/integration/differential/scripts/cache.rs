//! What the cache of scripts outlives and what it does not.

use super::{Pair, Server};
use crate::support::library::{callback, load};
use crate::support::replicas::{follow, replica_of, wait_in_step};
use crate::support::scripts::digest;
use crate::support::{Client, Options, Value, Words};

const LOADED: &str = "return 'loaded'";
const EVALUATED: &str = "return 'evaluated'";

/// Puts both scripts into both caches.
fn fill(pair: &mut Pair) {
    pair.compare(&["SCRIPT", "LOAD", LOADED]);
    pair.compare(&["EVAL", EVALUATED, "0"]);
}

/// Compares whether they are there and can be called.
fn compare_presence(pair: &mut Pair) {
    let (loaded, evaluated) = (digest(LOADED), digest(EVALUATED));
    pair.compare(&["SCRIPT", "EXISTS", &loaded, &evaluated]);
    pair.compare(&["EVALSHA", &loaded, "0"]);
    pair.compare(&["EVALSHA_RO", &evaluated, "0"]);
}

fn exist(client: &mut Client, scripts: &[&str]) -> Vec<Value> {
    let digests = scripts.iter().map(digest);
    let words: Vec<String> = ["SHADOW.SCRIPT", "EXISTS"].map(str::to_owned).into_iter().chain(digests).collect();
    client.call(&words).items()
}

#[test]
fn commands_about_other_things_leave_the_cache() {
    for options in [Options::new(), Options::new().set("appendonly", "yes")] {
        let mut pair = Pair::with(options.start());
        fill(&mut pair);
        for command in [
            "FLUSHALL",
            "FLUSHDB",
            "FLUSHALL ASYNC",
            "FUNCTION FLUSH",
            "SHADOW.FUNCTION FLUSH SYNC",
            "SHADOW.FUNCTION FLUSH ASYNC",
            "CONFIG RESETSTAT",
            "SWAPDB 0 1",
            "DEBUG RELOAD",
            "REPLICAOF NO ONE",
        ] {
            pair.command(&command.split(' ').collect::<Vec<_>>());
            pair.loaded = format!(" after {command}");
            compare_presence(&mut pair);
        }
        pair.finish();
    }
}

#[test]
fn reading_the_append_only_file_again_leaves_the_cache() {
    let options = Options::new().set("appendonly", "yes").set("appendfsync", "always");
    let mut pair = Pair::with(options.start());
    fill(&mut pair);
    pair.command(&["SET", "key", "value"]);
    pair.command(&["DEBUG", "LOADAOF"]);
    compare_presence(&mut pair);
    pair.finish();
}

#[test]
fn a_flush_of_one_cache_leaves_the_other() {
    let server = Server::start();
    let mut client = server.client();
    let no_script = Words::of(&server).no_script;
    let digest = digest(LOADED);
    for mode in ["SYNC", "ASYNC"] {
        for (flushed, other) in [("", "SHADOW."), ("SHADOW.", "")] {
            for prefix in ["", "SHADOW."] {
                assert_eq!(client.call(&[&format!("{prefix}SCRIPT"), "LOAD", LOADED]).text(), digest);
            }
            assert_eq!(client.run(&format!("{flushed}SCRIPT FLUSH {mode}")).text(), "OK");
            assert_eq!(client.run(&format!("{flushed}EVALSHA {digest} 0")).text(), no_script);
            assert_eq!(client.run(&format!("{other}EVALSHA {digest} 0")).text(), "loaded");
        }
    }
}

#[test]
fn scripts_and_functions_leave_each_other() {
    let server = Server::start();
    let mut client = server.client();
    let no_script = Words::of(&server).no_script;
    let evalsha = format!("SHADOW.EVALSHA {} 0", digest(LOADED));
    for mode in ["SYNC", "ASYNC"] {
        load(&mut client, &callback("return 'function'"));
        client.call(&["SHADOW.SCRIPT", "LOAD", LOADED]);
        client.run(&format!("SHADOW.SCRIPT FLUSH {mode}"));
        assert_eq!(client.run("SHADOW.FCALL f 0").text(), "function");
        assert_eq!(client.run(&evalsha).text(), no_script);
        client.call(&["SHADOW.SCRIPT", "LOAD", LOADED]);
        client.run(&format!("SHADOW.FUNCTION FLUSH {mode}"));
        assert_eq!(client.run("SHADOW.FCALL f 0").text(), "ERR Function not found");
        assert_eq!(client.run(&evalsha).text(), "loaded");
    }
}

#[test]
fn the_caches_of_a_master_and_its_replica_are_their_own() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut client, mut reader) = (master.client(), replica.client());
    client.call(&["SHADOW.SCRIPT", "LOAD", LOADED]);
    client.call(&["SHADOW.EVAL", EVALUATED, "0"]);
    client.run("SET key value");
    wait_in_step(&master, &replica);
    assert_eq!(exist(&mut reader, &[LOADED, EVALUATED]), [Value::Integer(0), Value::Integer(0)]);
    reader.call(&["SHADOW.SCRIPT", "LOAD", LOADED]);
    client.run("SHADOW.SCRIPT FLUSH");
    client.run("SET key other");
    wait_in_step(&master, &replica);
    assert_eq!(exist(&mut reader, &[LOADED, EVALUATED]), [Value::Integer(1), Value::Integer(0)]);
    // A full synchronisation and a promotion change nothing of that.
    let other = Server::start();
    other.client().call(&["SHADOW.SCRIPT", "LOAD", EVALUATED]);
    follow(&replica, &other);
    wait_in_step(&other, &replica);
    assert_eq!(exist(&mut reader, &[LOADED, EVALUATED]), [Value::Integer(1), Value::Integer(0)]);
    reader.run("REPLICAOF NO ONE");
    assert_eq!(exist(&mut reader, &[LOADED, EVALUATED]), [Value::Integer(1), Value::Integer(0)]);
}

#[test]
fn a_restart_empties_the_cache() {
    let options = Options::new().set("appendonly", "yes").set("appendfsync", "always");
    let mut server = options.clone().start();
    let mut client = server.client();
    client.call(&["SHADOW.SCRIPT", "LOAD", LOADED]);
    client.call(&["SHADOW.EVAL", "redis.call('set', 'key', 'v') return 'evaluated'", "0"]);
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(exist(&mut client, &[LOADED, EVALUATED]), [Value::Integer(0), Value::Integer(0)]);
    assert_eq!(client.run("GET key").text(), "v");
}
