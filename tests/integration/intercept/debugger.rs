//! SCRIPT DEBUG, which is left to the server, and who gets a session of its debugger.

use super::{intercepting_with, tells_who_sends};
use crate::support::{Client, Value};

/// Whether this is the begin of a session, rather than the reply of the script.
fn is_session(reply: &Value) -> bool {
    reply.items().first().is_some_and(|line| line.text().contains("Stopped at 1"))
}

/// Lets the script of a session run to its end.
fn finish(client: &mut Client) {
    let reply = client.call(&["c"]);
    assert!(reply.items().last().is_some_and(|line| line.text().contains("<endsession>")), "{reply:?}");
    assert_eq!(client.read(), Value::Integer(1), "the reply of the script");
    assert!(client.read_raw().is_err(), "the server closes the connection");
}

#[test]
fn a_client_that_asked_for_the_debugger_gets_a_session() {
    for mode in ["yes", "SYNC"] {
        let (server, mut client) = intercepting_with("all");
        // A session of SYNC keeps all others waiting.
        let tells = tells_who_sends(&server);
        assert_eq!(client.run(&format!("SCRIPT DEBUG {mode}")).text(), "OK");
        let reply = client.call(&["EVAL", "return 1", "0"]);
        if tells {
            assert!(is_session(&reply), "{mode}: {reply:?}");
            finish(&mut client);
        } else {
            assert_eq!(reply, Value::Integer(1), "the filter of 7.0 cannot tell");
        }
        let mut other = server.client();
        assert_eq!(other.call(&["EVAL", "return 1", "0"]), Value::Integer(1));
        // What a child of the server counts for a session of YES is lost with the child.
        assert!(other.command_stat("eval", "calls") <= 1.0, "the others are still answered by the module");
    }
}

#[test]
fn a_session_begins_in_a_transaction_as_well() {
    let (server, mut client) = intercepting_with("scripts");
    assert_eq!(client.run("SCRIPT DEBUG YES").text(), "OK");
    client.run("MULTI");
    client.call(&["EVAL", "return 1", "0"]);
    client.call(&["EVAL_RO", "return 1", "0"]);
    client.run("DISCARD");
    assert_eq!(client.run("SCRIPT DEBUG NO").text(), "OK");
    let (mut replies, before) = (client.call(&["EVAL", "return 1", "0"]), client.command_stat("eval", "calls"));
    assert_eq!((replies, before), (Value::Integer(1), 0.0), "it is answered by the module again");
    if tells_who_sends(&server) {
        client.run("SCRIPT DEBUG YES");
        replies = client.call(&["EVALSHA", &"0".repeat(40), "0"]);
        assert_eq!(replies.text(), "ERR Please use EVAL instead of EVALSHA for debugging");
    }
}

#[test]
fn a_request_that_was_refused_leads_nobody_to_the_servers_engine() {
    let (server, mut admin) = intercepting_with("all");
    admin.run("ACL SETUSER user reset on nopass ~* +@all -script|debug");
    let mut user = server.client();
    user.run("AUTH user x");
    for mode in ["YES", "SYNC"] {
        let refusal = user.run(&format!("SCRIPT DEBUG {mode}")).text();
        assert!(refusal.starts_with("NOPERM") && refusal.contains("'script|debug'"), "{refusal}");
        assert_eq!(user.call(&["EVAL", "return 1", "0"]), Value::Integer(1));
    }
    // Nor one that was sent as somebody else.
    let mut other = server.client();
    assert_eq!(other.run("SCRIPT DEBUG YES").text(), "OK");
    other.run("AUTH user x");
    assert_eq!(other.call(&["EVAL", "return 1", "0"]), Value::Integer(1));
    assert_eq!(admin.command_stat("eval", "calls"), 0.0);
    assert_eq!(admin.info_number("number_of_cached_scripts"), 0);
}

#[test]
fn a_request_that_makes_no_sense_changes_nothing() {
    let (_server, mut client) = intercepting_with("all");
    for request in ["SCRIPT DEBUG", "SCRIPT DEBUG maybe", "SCRIPT DEBUG no"] {
        client.run(request);
        assert_eq!(client.call(&["EVAL", "return 1", "0"]), Value::Integer(1), "{request}");
    }
    assert_eq!(client.command_stat("eval", "calls"), 0.0);
}

#[test]
fn those_who_left_are_forgotten() {
    let (server, mut client) = intercepting_with("all");
    // More than are kept before those who left are looked for.
    for _ in 0..40 {
        let mut other = server.client();
        assert_eq!(other.run("SCRIPT DEBUG YES").text(), "OK");
    }
    assert_eq!(client.call(&["EVAL", "return 1", "0"]), Value::Integer(1));
    let mut last = server.client();
    assert_eq!(last.run("SCRIPT DEBUG YES").text(), "OK");
    if tells_who_sends(&server) {
        assert!(is_session(&last.call(&["EVAL", "return 1", "0"])));
        finish(&mut last);
    }
}
