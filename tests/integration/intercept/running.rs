//! KILL, STATS and BUSY while a call runs on an intercepting server.

use crate::support::library::{callback, load};
use crate::support::{Client, Options, Server, Words, wait_until};

const ENDLESS: &str = "while true do end";

fn impatient(arguments: &str) -> Server {
    Options::new().module_arguments(arguments).set("busy-reply-threshold", "100").start()
}

/// Sends `call` and returns once other clients are told that `kill` would end it: the client that waits for the reply,
/// and another one.
fn start(server: &Server, call: &[&str], kill: &str) -> (Client, Client) {
    let (mut caller, mut other) = (server.client(), server.client());
    let busy = Words::of(server).busy(kill);
    caller.send(call);
    wait_until("the server is busy", || other.run("GET x").text() == busy);
    (caller, other)
}

#[test]
fn a_script_is_ended_by_script_kill_alone() {
    for (scope, kill) in [("functions", "SHADOW.SCRIPT KILL"), ("scripts", "SCRIPT KILL"), ("all", "SCRIPT KILL")] {
        let server = impatient(&format!("intercept {scope}"));
        let busy = Words::of(&server).busy(kill);
        let typed = if scope == "functions" { "SHADOW.EVAL" } else { "EVAL" };
        let (mut caller, mut other) = start(&server, &[typed, ENDLESS, "0"], kill);
        for command in ["FUNCTION KILL", "FUNCTION STATS", "SHADOW.FUNCTION KILL", "SHADOW.FUNCTION STATS"] {
            assert_eq!(other.run(command).text(), busy, "{command} with {scope}");
        }
        if scope == "functions" {
            assert_eq!(other.run("SCRIPT KILL").text(), busy);
        }
        assert_eq!(other.run(kill).text(), "OK");
        assert!(caller.read().text().contains("Script killed by user with SCRIPT KILL."), "{scope}");
        assert!(other.run("SCRIPT KILL").text().starts_with("NOTBUSY"));
    }
}

#[test]
fn a_function_is_ended_by_function_kill_alone() {
    for (scope, kill) in [("functions", "FUNCTION KILL"), ("scripts", "SHADOW.FUNCTION KILL"), ("all", "FUNCTION KILL")]
    {
        let server = impatient(&format!("intercept {scope}"));
        load(&mut server.client(), &callback(ENDLESS));
        let busy = Words::of(&server).busy(kill);
        let (mut caller, mut other) = start(&server, &["SHADOW.FCALL", "f", "0"], kill);
        for command in ["SCRIPT KILL", "SHADOW.SCRIPT KILL"] {
            assert_eq!(other.run(command).text(), busy, "{command} with {scope}");
        }
        if scope == "scripts" {
            // The server, which knows of no function that runs, would deny that there is one.
            for command in ["FUNCTION KILL", "FUNCTION STATS"] {
                assert_eq!(other.run(command).text(), busy, "{command}");
            }
        }
        assert_eq!(other.run(kill).text(), "OK");
        assert!(caller.read().is_error());
        assert!(other.run("FUNCTION KILL").text().starts_with("NOTBUSY"));
    }
}

/// A call of the server's own can still come up: out of an old file, from another module, in a session of the debugger.
/// Here it was queued before the filter was there.
#[test]
fn a_script_of_the_servers_own_can_be_ended() {
    let server = impatient("enable-debug-command yes");
    let (mut caller, mut other) = (server.client(), server.client());
    let busy = Words::of(&server).busy("SCRIPT KILL");
    caller.run("MULTI");
    assert_eq!(caller.call(&["EVAL", ENDLESS, "0"]).text(), "QUEUED");
    assert_eq!(other.run("SHADOW.DEBUG FILTER ON").text(), "OK");
    caller.send(&["EXEC"]);
    wait_until("the server is busy", || other.run("GET x").text() == busy);
    assert_eq!(other.run("FUNCTION KILL").text(), busy);
    assert_eq!(other.run("FUNCTION STATS").text(), busy);
    assert_eq!(other.run("SCRIPT KILL").text(), "OK");
    assert!(caller.read().items()[0].text().contains("Script killed by user"));
}

#[test]
fn a_script_that_has_written_is_not_ended() {
    let server = impatient("intercept all");
    let script = "redis.call('set', 'k', 'v') while true do end";
    let (mut caller, mut other) = start(&server, &["EVAL", script, "0"], "SCRIPT KILL");
    assert!(other.run("SCRIPT KILL").text().starts_with("UNKILLABLE"));
    assert_eq!(other.run("SCRIPT KILL FORCE").text(), "ERR wrong number of arguments for 'script|kill' command");
    assert_eq!(other.run("SHADOW.SCRIPT KILL FORCE").text(), "OK");
    assert!(caller.read().is_error());
}
