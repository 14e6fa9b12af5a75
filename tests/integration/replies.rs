//! Conversion of values to replies and back, where the differential suite cannot compare bytes.

use crate::support::library::{callback, evaluate, load};
use crate::support::{Server, Value};

fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by_key(|value| format!("{value:?}"));
    values
}

#[test]
fn a_map_of_many_members_arrives_whole() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("local m={} for i=1,100 do m['k'..i]=i end return {map=m}"));
    assert_eq!(client.run("SHADOW.FCALL f 0").items().len(), 200);
    client.hello3();
    let Value::Map(pairs) = client.run("SHADOW.FCALL f 0") else { panic!("a map") };
    assert_eq!(pairs.len(), 100);
    for (key, value) in pairs {
        assert_eq!(key.text(), format!("k{}", value.text()));
    }
}

#[test]
fn a_set_of_many_members_arrives_whole() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("local s={} for i=1,100 do s['m'..i]=true end return {set=s}"));
    let mut expected: Vec<String> = (1..=100).map(|number| format!("m{number}")).collect();
    expected.sort();
    assert_eq!(client.run("SHADOW.FCALL f 0").sorted_texts(), expected);
    client.hello3();
    let reply = client.run("SHADOW.FCALL f 0");
    assert!(matches!(reply, Value::Set(_)));
    assert_eq!(reply.sorted_texts(), expected);
}

#[test]
fn a_hash_goes_through_unchanged_in_resp3() {
    let server = Server::start();
    let mut client = server.client();
    client.hello3();
    client.run("HSET hash a 1 b 2 c 3");
    let own = client.run("HGETALL hash");
    let shadow = evaluate(&mut client, "redis.setresp(3) return redis.call('hgetall','hash')");
    assert!(matches!(shadow, Value::Map(_)));
    let pairs = |value: Value| sorted(value.items().chunks(2).map(|pair| Value::Array(pair.to_vec())).collect());
    assert_eq!(pairs(own), pairs(shadow));
}

#[test]
fn deep_and_cyclic_tables_end_in_a_reply() {
    let server = Server::start();
    let mut client = server.client();
    for body in [
        "local t={} t[1]=t return t",
        "local t={} t[1]={map={a=t}} return t",
        "local t={} local x=t for i=1,100000 do x[1]={} x=x[1] end return t",
    ] {
        load(&mut client, &callback(body));
        let raw = client.raw(&["SHADOW.FCALL", "f", "0"]);
        let text = String::from_utf8_lossy(&raw).into_owned();
        assert!(
            text.ends_with("-ERR reached lua stack limit\r\n"),
            "{body}: ends in {:?}",
            &text[text.len().saturating_sub(60)..]
        );
    }
    assert_eq!(client.run("PING").text(), "PONG");
}

#[test]
fn a_megabyte_goes_in_and_out() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[1])"));
    let value: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
    let reply = client.call(&[b"SHADOW.FCALL", b"f".as_slice(), b"1", b"key", &value]);
    assert!(reply == Value::Bulk(value), "the value has changed on its way");
}

#[test]
fn setresp_lasts_for_one_call() {
    let server = Server::start();
    let mut client = server.client();
    client.hello3();
    assert_eq!(evaluate(&mut client, "redis.setresp(3) return true"), Value::Boolean(true));
    assert_eq!(evaluate(&mut client, "return true"), Value::Integer(1));
}
