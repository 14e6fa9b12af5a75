//! The ways in which inner commands reach the server.

use crate::support::library::{callback, load};
use crate::support::{Client, Options, Server, Value};

/// Whether this is a server that the faster way was tested on.
fn has_call_argv(server: &Server) -> bool {
    server.valkey_version() == Some((9, 1, 2))
}

/// The path that the module uses.
fn path(client: &mut Client) -> String {
    client.info("shadow_call_path").expect("the field is there")
}

/// A server on which the faster way is taken, or the only one, whatever the environment says.
fn preferring(path: &str) -> Server {
    Options::new().module_arguments(&format!("call-path {path}")).start()
}

#[test]
fn the_faster_way_is_taken_on_the_versions_that_it_was_tested_on_and_nowhere_else() {
    let server = preferring("auto");
    let expected = if has_call_argv(&server) { "call-argv" } else { "rm-call" };
    let mut client = server.client();
    assert_eq!(path(&mut client), expected);
    // Nothing was found wrong with it.
    assert!(!server.log().contains("VM_CallArgv"), "{}", server.log());
    client.run("CONFIG SET shadow.call-path rm-call");
    assert_eq!(path(&mut client), "rm-call");
    client.run("CONFIG SET shadow.call-path auto");
    assert_eq!(path(&mut client), expected);
    assert_eq!(path(&mut preferring("rm-call").client()), "rm-call");
}

#[test]
fn the_path_that_is_set_is_the_one_that_is_taken() {
    let server = preferring("auto");
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set', 'number', 12) return redis.call('object', 'encoding', 'number')"));
    // As the server's own functions have it, which are called in the same way.
    let expected = if has_call_argv(&server) { "embstr" } else { "int" };
    for (path, encoding) in [("auto", expected), ("rm-call", "int"), ("auto", expected)] {
        client.run(&format!("CONFIG SET shadow.call-path {path}"));
        assert_eq!(client.run("SHADOW.FCALL f 0").text(), encoding, "{path}");
    }
}

/// In what the two paths might differ: one word or a thousand, words that come twice or are empty, of every length
/// around that of the words which are kept, replies of every type and length, errors of commands and of the server, in
/// both protocols.
const BODIES: &[&str] = &[
    "return redis.call('echo', '')",
    "return redis.call('mset', 'a', 'a', 'b', '', 'c', 'a')",
    "return redis.call('mget', 'a', 'a', 'b', 'a', 'nothing', 'c', 'a', 'b', 'c')",
    "for i = 0, 60 do local w = ('w'):rep(i) assert(redis.call('echo', w) == w) end return 1",
    "for i = 0, 60 do local w = 'x' .. ('w'):rep(i) .. 'y' assert(redis.call('echo', w) == w) end return 1",
    "for i = 1, 300 do local k = 'k' .. i redis.call('set', k, i) assert(redis.call('get', k) == tostring(i)) end",
    "for i = 1, 300 do redis.call('hset', 'h', i, 301 - i) end return redis.call('hgetall', 'h')",
    "local t = {} for i = 1, 1000 do t[i] = 'word' .. i % 7 end redis.call('rpush', 'l', unpack(t)) \
     return redis.call('lrange', 'l', 0, -1)",
    "return redis.call('set', 'long', ('x'):rep(100000)) and #redis.call('get', 'long')",
    "return redis.call('append', 'long', 'y')",
    "return {redis.call('incr', 'n'), redis.call('incrby', 'n', -5), redis.call('incrbyfloat', 'n', 0.5)}",
    "return {redis.call('setrange', 'bytes', 3, '\\0\\r\\n\\255'), redis.call('get', 'bytes')}",
    "return redis.call('get', 'nothing')",
    "return redis.call('ping')",
    "return redis.call('exists', 'a', 'a', 'nothing')",
    "return redis.pcall('incr', 'a')",
    "return redis.pcall('lpush', 'a', 'x')",
    "return redis.pcall('get')",
    "return redis.pcall('')",
    "return redis.pcall('nothing', 'of', 'the kind')",
    "return redis.pcall('subscribe', 'c')",
    "return redis.pcall('shadow.fcall', 'f', 0)",
    "return redis.pcall('eval', 'return 1', 0)",
    "return redis.pcall('config', 'nothing')",
    "return redis.call('blpop', 'nothing', 0)",
    "return redis.pcall('xread', 'block', 0, 'streams', 's', '$')",
    "return {redis.call('xadd', 's', '1-1', 'f', 'v'), redis.call('xrange', 's', '-', '+')}",
    "redis.setresp(3) return redis.call('hgetall', 'h').map['7']",
    "redis.setresp(3) redis.call('sadd', 'members', 1, 2, 1) return redis.call('smembers', 'members').set['2']",
    "redis.setresp(3) redis.call('zadd', 'z', 1.5, 'm') return redis.call('zscore', 'z', 'm').double",
    "redis.setresp(3) return redis.call('get', 'nothing') == nil",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'bignum').big_number",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'verbatim').verbatim_string.string",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'attrib')",
    "redis.setresp(3) return redis.call('debug', 'protocol', 'true')",
    "redis.call('select', 9) redis.call('set', 'there', 1) redis.call('select', 0) return redis.call('get', 'there')",
    "return redis.call('sort', 'members', 'by', 'nosort')",
    "redis.set_repl(redis.REPL_NONE) redis.call('set', 'unknown', 1) redis.set_repl(redis.REPL_ALL)",
    "return redis.call('set', 'expiring', 1, 'px', 100000) and redis.call('pttl', 'expiring') > 0",
    "return redis.call('getset', 'a', 7) .. redis.call('getdel', 'a')",
    "return redis.call('publish', 'channel', 'message')",
    "return redis.call('rename', 'k1', 'k2') and redis.call('copy', 'k2', 'k1')",
];

/// The replies to the bodies, and what the server has counted of their commands then.
fn replies_and_counts(server: &Server) -> (Vec<Value>, Vec<String>) {
    let mut client = server.client();
    client.run("CONFIG RESETSTAT");
    let mut replies = Vec::new();
    for body in BODIES {
        client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &callback(body)]);
        replies.push(client.run("SHADOW.FCALL f 0"));
    }
    let statistics = client.run("INFO commandstats").text() + &client.run("INFO errorstats").text();
    // The module itself asks for settings now and then.
    let lines = statistics.lines().filter(|line| !line.starts_with("cmdstat_config"));
    let counts = lines.map(|line| {
        let fields = line.split(',').filter(|field| !field.starts_with("usec"));
        fields.collect::<Vec<_>>().join(",")
    });
    let mut counts: Vec<String> = counts.collect();
    counts.sort();
    (replies, counts)
}

#[test]
fn both_ways_reply_count_and_write_the_same() {
    let [one, other] = ["auto", "rm-call"].map(preferring);
    let (one_replies, one_counts) = replies_and_counts(&one);
    let (other_replies, other_counts) = replies_and_counts(&other);
    for (body, (one, other)) in BODIES.iter().zip(one_replies.iter().zip(&other_replies)) {
        assert_eq!(one, other, "{body}");
    }
    assert!(one_counts.iter().any(|line| line.starts_with("cmdstat_hset:calls=300")), "{one_counts:?}");
    assert_eq!(one_counts, other_counts);
    let [one, other] = [&one, &other].map(|server| server.client().run("DEBUG DIGEST").text());
    assert_eq!(one, other);
}
