//! The table `redis` of a running function, where a reply alone does not show what it did.

use crate::support::library::{callback, evaluate, load, source};
use crate::support::{Options, Server, Value};

#[test]
fn log_writes_to_the_servers_log_at_its_level() {
    let server = Options::new().set("loglevel", "verbose").start();
    let mut client = server.client();
    evaluate(&mut client, "redis.log(redis.LOG_WARNING, 'first', 1, nil, {}, true, 2.5, 'end')");
    evaluate(&mut client, "redis.log(redis.LOG_NOTICE, '%s%n%d')");
    evaluate(&mut client, "redis.log(redis.LOG_VERBOSE, 'chatter')");
    evaluate(&mut client, "redis.log(redis.LOG_DEBUG, 'details')");
    evaluate(&mut client, "redis.log(redis.LOG_WARNING, 'the last line')");
    server.wait_for_log("the last line");
    let log = server.log();
    assert!(log.contains("# <shadow> first 1 2.5 end\n"), "a warning, of strings and numbers only");
    assert!(log.contains("* <shadow> %s%n%d\n"), "a notice that is no format");
    assert!(log.contains("- <shadow> chatter\n"), "a verbose one");
    assert!(!log.contains("details"), "below the level");
}

#[test]
fn log_works_at_load() {
    let server = Server::start();
    let mut client = server.client();
    load(
        &mut client,
        &source("mylib", "redis.log(redis.LOG_WARNING, 'at load') redis.register_function('f', function() end)"),
    );
    server.wait_for_log("# <shadow> at load\n");
}

#[test]
fn acl_check_cmd_asks_for_the_caller() {
    let server = Server::start();
    let mut client = server.client();
    let body = "return {tostring(redis.acl_check_cmd('set', 'mine', 'v')), tostring(redis.acl_check_cmd('set', 'other', 'v')), \
                tostring(redis.acl_check_cmd('get', 'mine'))}";
    load(&mut client, &callback(body));
    let texts = |reply: Value| reply.items().iter().map(Value::text).collect::<Vec<_>>();
    assert_eq!(texts(client.run("SHADOW.FCALL f 0")), ["true", "true", "true"]);
    client.run("ACL SETUSER ann on nopass ~mine +shadow.fcall +set");
    let mut ann = server.client();
    ann.run("AUTH ann x");
    assert_eq!(texts(ann.run("SHADOW.FCALL f 0")), ["true", "false", "false"]);
    client.run("ACL SETUSER ann allkeys +get");
    assert_eq!(texts(ann.run("SHADOW.FCALL f 0")), ["true", "true", "true"]);
}

#[test]
fn the_version_is_the_servers() {
    let server = Server::start();
    let mut client = server.client();
    let (major, minor, patch) = server.version();
    assert_eq!(evaluate(&mut client, "return redis.REDIS_VERSION").text(), format!("{major}.{minor}.{patch}"));
    let number = i64::from(major << 16 | minor << 8 | patch);
    assert_eq!(evaluate(&mut client, "return redis.REDIS_VERSION_NUM"), Value::Integer(number));
}

#[test]
fn keyspace_events_of_inner_commands_are_sent() {
    let server = Options::new().set("notify-keyspace-events", "KEA").start();
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyevent@0__:set");
    let mut client = server.client();
    evaluate(&mut client, "redis.call('set','k','v')");
    assert_eq!(
        listener.read().items().iter().map(Value::text).collect::<Vec<_>>(),
        ["message", "__keyevent@0__:set", "k"]
    );
}
