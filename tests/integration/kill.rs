//! Functions that run too long: who is let in meanwhile, and how they are ended. What keeps a script from being ended
//! is tested in `security`.

use crate::security::impatient;
use crate::support::library::{callback, load, source};
use crate::support::{Client, Options, Server, Value, Words, wait_until};

/// What clients are told that have to wait, and without interception name the module's KILL.
pub fn busy(server: &Server) -> String {
    Words::of(server).busy("SHADOW.FUNCTION KILL")
}

/// How `f` ends that was killed on its second line.
fn killed(server: &Server) -> String {
    let words = Words::of(server);
    format!("{}{}", words.killed, words.place("f", 2))
}

const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset.";

/// Calls `f` with this body and returns once others are told that the server is busy: the client that waits for the
/// reply, and another one.
fn start(server: &Server, body: &str) -> (Client, Client) {
    let mut caller = server.client();
    let mut other = server.client();
    load(&mut caller, &callback(body));
    let busy = busy(server);
    caller.send(&["SHADOW.FCALL", "f", "1", "key", "argument"]);
    wait_until("the server is busy", || other.run("GET x").text() == busy);
    (caller, other)
}

#[test]
fn a_function_that_runs_long_is_shown_and_can_be_ended() {
    let server = impatient();
    let busy = busy(&server);
    let (mut caller, mut other) = start(&server, "while true do end");
    let running = other.run("SHADOW.FUNCTION STATS").field("running_script").expect("a running function");
    assert_eq!(running.field("name").map(|name| name.text()).as_deref(), Some("f"));
    let command: Vec<String> = running.field("command").expect("its command").items().iter().map(Value::text).collect();
    assert_eq!(command, ["SHADOW.FCALL", "f", "1", "key", "argument"]);
    assert!(matches!(running.field("duration_ms"), Some(Value::Integer(elapsed)) if elapsed >= 90));
    for command in ["PING", "SHADOW.FUNCTION LIST", "SHADOW.FCALL f 0", "FCALL f 0", "SHADOW.FUNCTION FLUSH"] {
        assert_eq!(other.run(command).text(), busy, "{command}");
    }
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
    assert_eq!(other.run("PING").text(), "PONG");
    assert_eq!(other.run("SHADOW.FUNCTION STATS").field("running_script"), Some(Value::Null));
    assert!(server.log().contains("Script name is: f."));
}

/// The row `killed-pcall`.
#[test]
fn what_is_ended_cannot_catch_it() {
    let server = impatient();
    let body = "local ok, e = pcall(function() while true do end end) return e";
    let (mut caller, mut other) = start(&server, body);
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
}

/// A tail call takes a frame, so that the VM raises where the server would go on for good.
#[test]
fn tail_calls_without_end_can_be_ended() {
    let server = impatient();
    let body = "local function r(n) return r(n + 1) end while true do pcall(r, 1) end";
    let (mut caller, mut other) = start(&server, body);
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
}

#[test]
fn a_caller_that_leaves_meanwhile_is_gone_when_its_function_has_ended() {
    let server = impatient();
    let (caller, mut other) = start(&server, "while true do end return {KEYS[1], ARGV[1]}");
    drop(caller);
    // The server sees that in one of the moments in which it lets others in. The words of the command stay.
    for _ in 0..20 {
        let running = other.run("SHADOW.FUNCTION STATS").field("running_script").expect("a running function");
        let words = running.field("command").expect("its command").items();
        assert_eq!(words.last().map(Value::text).as_deref(), Some("argument"));
    }
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    wait_until("only this client is left", || other.info("connected_clients").as_deref() == Some("1"));
    assert_eq!(other.run("PING").text(), "PONG");
}

#[test]
fn without_a_running_function_there_is_nothing_to_kill() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("SHADOW.FUNCTION KILL").text(), "NOTBUSY No scripts in execution right now.");
    assert_eq!(client.run("SHADOW.FUNCTION KILL FORCE").text(), "NOTBUSY No scripts in execution right now.");
    for words in ["x", "FORCE x", "FORCE FORCE"] {
        let reply = client.run(&format!("SHADOW.FUNCTION KILL {words}"));
        assert_eq!(reply.text(), "ERR wrong number of arguments for 'shadow.function|kill' command", "{words}");
    }
}

#[test]
fn a_function_that_has_written_is_ended_by_force_alone_and_what_it_wrote_stays() {
    let server =
        Options::new().set("busy-reply-threshold", "100").set("appendonly", "yes").set("appendfsync", "always").start();
    let (mut caller, mut other) = start(&server, "redis.call('set', KEYS[1], 'v') while true do end");
    assert!(other.run("SHADOW.FUNCTION KILL").text().starts_with(UNKILLABLE));
    assert_eq!(other.run("SHADOW.FUNCTION KILL FORCE").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
    assert_eq!(other.run("GET key").text(), "v");
    let written = server.aof();
    assert!(written.iter().any(|command| command == &["set", "key", "v"]), "{written:?}");
}

#[test]
fn a_write_that_failed_counts_as_one() {
    let server = impatient();
    server.client().run("SET key text");
    for write in ["redis.pcall('lpush', KEYS[1], 'v')", "redis.pcall('set', 'too', 'many', 'words')"] {
        let (mut caller, mut other) = start(&server, &format!("{write} while true do end"));
        assert!(other.run("SHADOW.FUNCTION KILL").text().starts_with(UNKILLABLE), "{write}");
        other.run("SHADOW.FUNCTION KILL FORCE");
        assert_eq!(caller.read().text(), killed(&server));
    }
}

#[test]
fn reading_and_refused_commands_do_not_count_as_writing() {
    let server = impatient();
    let body = "redis.call('get', 'x') redis.pcall('set', 'few') redis.pcall('nosuch') \
                redis.pcall('config', 'set', 'save', '') while true do end";
    let (mut caller, mut other) = start(&server, body);
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
}

#[test]
fn a_threshold_of_zero_lets_nobody_in() {
    let server = Options::new().set("busy-reply-threshold", "0").start();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &callback("local n = 0 for i = 1, 3e7 do n = n + i % 7 end return 'done'"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    assert_eq!(other.run("PING").text(), "PONG", "after the function, not during it");
    assert_eq!(caller.read().text(), "done");
}

#[test]
fn a_script_of_the_server_is_not_ours_to_kill() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    caller.send(&["EVAL", "while true do end", "0"]);
    let busy = "You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    wait_until("the server is busy", || other.run("GET x").text().contains(busy));
    for command in ["SHADOW.FUNCTION KILL", "SHADOW.FUNCTION STATS"] {
        let reply = other.run(command);
        assert!(reply.text().starts_with("BUSY ") && reply.text().contains(busy), "{command}: {reply:?}");
    }
    assert_eq!(other.run("SCRIPT KILL").text(), "OK");
    assert!(caller.read().is_error());
}

#[test]
fn with_interception_the_usual_commands_see_and_end_it() {
    let server = Options::new().module_arguments("intercept yes").set("busy-reply-threshold", "100").start();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &source("mylib", "redis.register_function('f', function() while true do end end)"));
    // It names the commands that clients know.
    let busy = Words::of(&server).busy("FUNCTION KILL");
    caller.send(&["FCALL", "f", "0"]);
    wait_until("the server is busy", || other.run("GET x").text() == busy);
    assert_eq!(other.run("SCRIPT KILL").text(), busy);
    let running = other.run("FUNCTION STATS").field("running_script").expect("a running function");
    assert_eq!(running.field("command").expect("its command").items()[0].text(), "fcall");
    assert_eq!(other.run("FUNCTION KILL").text(), "OK");
    assert_eq!(caller.read().text(), killed(&server));
}

#[test]
fn the_functions_loaded_before_still_answer_and_memory_comes_back() {
    let server = impatient();
    load(&mut server.client(), &source("other", "redis.register_function('other', function() return 'here' end)"));
    for _ in 0..3 {
        let (mut caller, mut other) = start(&server, "local t = {} while true do t[#t % 1000 + 1] = {} end");
        assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
        assert_eq!(caller.read().text(), killed(&server));
        assert_eq!(other.run("SHADOW.FCALL other 0").text(), "here");
    }
}
