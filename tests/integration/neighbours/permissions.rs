//! Rights that change while a function runs: what it runs next is judged as in a function of the server's own.

use super::{arm, as_stock, beside_neighbour, check_unharmed, results, wait_until_busy};
use crate::support::library::source;
use crate::support::{Client, Server};

const RULES: &str = "on nopass ~* +@all -flushall";

/// `f` runs commands, sets off what changes the rights of its caller, and runs them again.
fn library() -> String {
    let body = "local said = {}
         local function try(...)
             local reply = redis.pcall(...)
             said[#said + 1] = type(reply) == 'table' and (reply.err or reply.ok) or tostring(reply)
         end
         local function all()
             try('SET', 'one', 1) try('GET', 'one') try('SET', 'two', 1) try('FLUSHALL')
             said[#said + 1] = tostring(redis.acl_check_cmd('GET', 'one'))
         end
         all() redis.call('SET', 'watched', 1) all() redis.call('SET', 'watched', 1) all()
         return said";
    let register = "redis.register_function";
    source(
        "lib",
        &format!("{register}('f', function() {body} end) {register}('loop', function() while true do end end)"),
    )
}

fn load_both(client: &mut Client) {
    for command in ["FUNCTION", "SHADOW.FUNCTION"] {
        assert_eq!(client.call(&[command, "LOAD", "REPLACE", &library()]).text(), "lib");
    }
}

/// What ann is told, and what becomes of her connection, when these commands run in the middle of her call.
fn told(server: &Server, call: &str, changes: &[&str]) -> Vec<String> {
    let mut client = server.client();
    assert_eq!(client.run(&format!("ACL SETUSER ann reset {RULES}")).text(), "OK");
    let mut ann = server.client();
    assert_eq!(ann.run("AUTH ann x").text(), "OK");
    for change in changes {
        arm(&mut client, "keyspace", "E", &change.split(' ').collect::<Vec<_>>());
    }
    let mut told = Vec::new();
    for words in [&[call, "f", "0"][..], &["GET", "one"], &["ACL", "WHOAMI"]] {
        match ann.try_raw(words) {
            Ok(reply) => told.push(as_stock(&String::from_utf8_lossy(&reply))),
            Err(_) => told.push("the connection is closed".to_owned()),
        }
    }
    told.extend(results(&mut client));
    client.run("ACL DELUSER ann");
    told
}

#[test]
fn what_a_user_loses_in_the_middle_of_a_call_is_lost_for_the_rest_of_it() {
    let server = beside_neighbour().start();
    load_both(&mut server.client());
    let changes: [&[&str]; 9] = [
        &["ACL SETUSER ann -get"],
        &["ACL SETUSER ann resetkeys ~one ~watched"],
        &["ACL SETUSER ann +flushall"],
        &["ACL SETUSER ann off"],
        &["ACL SETUSER ann resetpass >secret"],
        &["ACL SETUSER ann -@all"],
        &["ACL SETUSER ann reset"],
        &["ACL DELUSER ann"],
        &["ACL DELUSER ann", "ACL SETUSER ann on nopass ~* +@all"],
    ];
    for changes in changes {
        let expected = told(&server, "FCALL", changes);
        assert_eq!(told(&server, "SHADOW.FCALL", changes), expected, "{changes:?}");
    }
    check_unharmed(&server);
}

#[test]
fn a_function_cannot_change_rights_and_nobody_does_while_it_keeps_all_waiting() {
    let server = beside_neighbour().set("busy-reply-threshold", "50").start();
    let mut client = server.client();
    load_both(&mut client);
    let script = "local said = {}
        local all = {{'ACL', 'SETUSER', 'ann', '+@all'}, {'ACL', 'DELUSER', 'default'}, {'AUTH', 'ann', 'x'}}
        for _, words in ipairs(all) do
            said[#said + 1] = redis.pcall(unpack(words)).err
        end
        return said";
    let expected = client.raw(&["EVAL", script, "0"]);
    assert_eq!(client.raw(&["SHADOW.EVAL", script, "0"]), expected);
    let mut said = Vec::new();
    for prefix in ["", "SHADOW."] {
        client.run(&format!("ACL SETUSER ann reset {RULES}"));
        let (mut ann, mut other) = (server.client(), server.client());
        ann.run("AUTH ann x");
        ann.send(&[&*format!("{prefix}FCALL"), "loop", "0"]);
        wait_until_busy(&mut other);
        let replies = ["ACL SETUSER ann reset", "ACL DELUSER ann", "AUTH ann x"].map(|line| other.run(line).text());
        said.push(replies.map(|text| as_stock(&text)));
        // AUTH is let in: another user ends the call, if it may.
        let mut other = server.client();
        assert_eq!(other.run(&format!("{prefix}FUNCTION KILL")).text(), "OK");
        assert!(ann.read().is_error());
        assert_eq!(ann.run("ACL WHOAMI").text(), "ann");
    }
    assert_eq!(said[0], said[1]);
    check_unharmed(&server);
}

#[test]
fn the_next_call_is_that_of_the_next_user() {
    let server = beside_neighbour().start();
    let mut client = server.client();
    load_both(&mut client);
    client.run("ACL SETUSER ann reset on nopass ~one +@all -get");
    client.run("ACL SETUSER bob reset on nopass ~* +@all -set");
    let mut said = Vec::new();
    for call in ["FCALL", "SHADOW.FCALL"] {
        let mut one = server.client();
        let mut replies = Vec::new();
        for user in ["ann", "bob", "ann", "default"] {
            one.run(&format!("AUTH {user} x"));
            replies.push(as_stock(&String::from_utf8_lossy(&one.raw(&[call, "f", "0"]))));
        }
        said.push(replies);
    }
    assert_eq!(said[0], said[1]);
    check_unharmed(&server);
}
