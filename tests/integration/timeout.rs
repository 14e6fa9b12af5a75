//! The limit of time for functions that have written nothing.

use crate::support::library::{callback, evaluate, load, source};
use crate::support::{Options, Server, Value, Words, wait_until};

const TIMED_OUT: &str = "ERR Script timed out, it ran longer than 'shadow.read-only-timeout' allows.";

/// What follows the error of `f`.
fn place(server: &Server) -> String {
    Words::of(server).place("f", 2)
}

/// A server with this limit, which lets others in after this time.
fn limited(timeout: &str, threshold: &str) -> Server {
    let arguments = format!("read-only-timeout {timeout}");
    Options::new().module_arguments(&arguments).set("busy-reply-threshold", threshold).start()
}

#[test]
fn a_function_that_has_written_nothing_is_ended() {
    // Never busy, busy long after, busy before.
    for threshold in ["0", "60000", "20"] {
        let server = limited("100", threshold);
        let mut client = server.client();
        load(&mut client, &source("other", "redis.register_function('other', function() return 'here' end)"));
        client.run("SET key 5");
        let body = "local n = redis.call('GET', 'key') while true do n = n + 1 end";
        assert_eq!(evaluate(&mut client, body).text(), format!("{TIMED_OUT}{}", place(&server)), "{threshold}");
        assert_eq!(client.run("SHADOW.FCALL other 0").text(), "here");
        assert_eq!(client.info_number("shadow_timeouts"), 1);
        assert_eq!(client.info_number("shadow_kills"), 0);
        server.wait_for_log("Script name is: f.");
    }
}

/// The row `long-transactions`.
#[test]
fn in_a_transaction_others_wait_until_the_limit_ends_the_call() {
    let server = limited("300", "20");
    let mut client = server.client();
    load(&mut client, &callback("while true do end"));
    for (number, call) in (1..).zip([&["SHADOW.FCALL", "f", "0"][..], &["SHADOW.EVAL", "while true do end", "0"]]) {
        client.run("MULTI");
        client.call(call);
        client.send(&["EXEC"]);
        wait_until("it is slow", || server.log().matches("Slow script detected").count() == number);
        // Would be -BUSY outside of a transaction.
        assert_eq!(server.client().run("PING").text(), "PONG");
        let replies = client.read();
        assert!(replies.items()[0].text().starts_with(TIMED_OUT), "{replies:?}");
    }
}

#[test]
fn a_function_in_time_is_left_alone() {
    let server = limited("60000", "0");
    let mut client = server.client();
    let body = "local n = 0 for i = 1, 1e7 do n = n + i % 7 end return 'done'";
    assert_eq!(evaluate(&mut client, body).text(), "done");
    assert_eq!(client.info_number("shadow_timeouts"), 0);
}

#[test]
fn nothing_that_a_script_does_keeps_it_from_being_ended() {
    let server = limited("50", "5000");
    let mut client = server.client();
    for body in [
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "xpcall(function() error('x') end, function() while true do end end)",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "('x'):rep(9):gsub('.', function() while true do end end)",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
        "while true do redis.call('get', 'x') end",
        "while true do redis.pcall('nosuch') end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "for _ in function() return 1 end do end",
        "local s = '' while true do s = ('x'):rep(100) .. #s end",
        "return load(function() while true do end end)",
    ] {
        let reply = evaluate(&mut client, body);
        assert!(reply.is_error() && reply.text().starts_with(TIMED_OUT), "{body}: {reply:?}");
    }
}

#[test]
fn a_function_that_has_written_goes_on() {
    let server = limited("50", "150");
    let busy = Words::of(&server).busy("SHADOW.FUNCTION KILL");
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &callback("redis.call('SET', KEYS[1], 'v') while true do end"));
    caller.send(&["SHADOW.FCALL", "f", "1", "key"]);
    wait_until("it has run far beyond the limit", || {
        let running = other.run("SHADOW.FUNCTION STATS").field("running_script");
        let elapsed = running.and_then(|running| running.field("duration_ms"));
        matches!(elapsed, Some(Value::Integer(elapsed)) if elapsed > 500)
    });
    assert_eq!(other.run("GET key").text(), busy);
    assert!(other.run("SHADOW.FUNCTION KILL").text().starts_with("UNKILLABLE"));
    assert_eq!(other.run("SHADOW.FUNCTION KILL FORCE").text(), "OK");
    assert!(caller.read().text().starts_with("ERR Script killed by user"));
    assert_eq!(other.run("GET key").text(), "v");
    assert_eq!(other.info_number("shadow_timeouts"), 0);
    assert_eq!(other.info_number("shadow_kills"), 1);
}

#[test]
fn a_function_that_has_written_goes_on_where_nobody_is_ever_let_in() {
    let server = limited("50", "0");
    let mut client = server.client();
    let body = "redis.call('SET', 'key', 'v') local n = 0 for i = 1, 6e7 do n = n + i % 7 end return 'done'";
    assert_eq!(evaluate(&mut client, body).text(), "done");
    assert_eq!(client.info_number("shadow_timeouts"), 0);
}

#[test]
fn it_counts_as_a_write_what_counts_for_kill() {
    let server = Options::new()
        .module_arguments("read-only-timeout 50")
        .set("busy-reply-threshold", "0")
        .rename_command("COMMAND", "")
        .start();
    let mut client = server.client();
    // Without COMMAND nobody can say that GET does not write.
    let body = "redis.call('GET', 'key') local n = 0 for i = 1, 6e7 do n = n + i % 7 end return 'done'";
    assert_eq!(evaluate(&mut client, body).text(), "done");
    let text = source(
        "mylib",
        "redis.register_function{function_name = 'f', flags = {'no-writes'}, callback = function() \
         redis.call('GET', 'key') while true do end end}",
    );
    load(&mut client, &text);
    assert!(client.run("SHADOW.FCALL_RO f 0").text().starts_with(TIMED_OUT));
}

#[test]
fn the_limit_can_be_set_and_lifted_while_the_server_runs() {
    let server = limited("0", "0");
    let mut client = server.client();
    let long = "local n = 0 for i = 1, 6e7 do n = n + i % 7 end return 'done'";
    assert_eq!(evaluate(&mut client, long).text(), "done");
    client.run("CONFIG SET shadow.read-only-timeout 20");
    assert!(evaluate(&mut client, "while true do end").text().starts_with(TIMED_OUT));
    client.run("CONFIG SET shadow.read-only-timeout 0");
    assert_eq!(evaluate(&mut client, long).text(), "done");
}

#[test]
fn a_replica_ends_its_own_calls() {
    let master = Server::start();
    let replica = limited("50", "0");
    let (mut client, mut reader) = (master.client(), replica.client());
    reader.call(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let text = source(
        "mylib",
        "redis.register_function{function_name = 'f', flags = {'no-writes'}, callback = function() while true do end end}",
    );
    wait_until("the replica follows", || reader.info("master_link_status").as_deref() == Some("up"));
    load(&mut client, &text);
    wait_until("the library has arrived", || reader.info_number("shadow_libraries") == 1);
    assert_eq!(reader.run("SHADOW.FCALL_RO f 0").text(), format!("{TIMED_OUT}{}", place(&replica)));
}
