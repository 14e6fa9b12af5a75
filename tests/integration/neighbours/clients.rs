//! Clients that are killed, or leave, in the middle of a command.

use super::{as_stock, beside_neighbour, check_unharmed, library, load_both, wait_until_busy};
use crate::support::library::{load, names, numbered};
use crate::support::{Client, Options, Server, Value, wait_until};

/// The only client that is left is this one.
fn wait_until_alone(client: &mut Client) {
    // While a function is yet to end it is told nothing.
    wait_until("the others are gone", || client.info("connected_clients").as_deref() == Some("1"));
    wait_until("nobody waits", || client.info("blocked_clients").as_deref() == Some("0"));
}

fn kill(client: &mut Client, id: &str) -> Value {
    client.run(&format!("CLIENT KILL ID {id}"))
}

#[test]
fn whatever_a_client_is_killed_in_the_others_go_on() {
    let server = Options::new().set("appendonly", "yes").set("appendfsync", "always").start();
    let mut client = server.client();
    load(&mut client, &library());
    let work = "local t = {} for i = 1, 50000 do t[i % 100] = tostring(i) end return 'done'";
    let (library, many) = (library(), (0..200).map(numbered).collect::<Vec<_>>());
    let deploy: Vec<&str> =
        ["SHADOW.FUNCTION", "DEPLOY", &library].into_iter().chain(many.iter().map(String::as_str)).collect();
    let commands: [&[&[&str]]; 8] = [
        &[&["SHADOW.FCALL", "set", "1", "key"]],
        &[&["SHADOW.EVAL", work, "0"]],
        &[&["SHADOW.FUNCTION", "LOAD", "REPLACE", &library]],
        &[&deploy],
        &[&["MULTI"], &["SHADOW.FUNCTION", "LOAD", "REPLACE", &library], &deploy, &["SHADOW.FUNCTION", "ROLLBACK"]],
        &[&["MULTI"], &deploy, &["EXEC"]],
        &[&["SHADOW.FCALL", "set", "1", "key"], &["WAIT", "1", "0"]],
        &[&["SHADOW.FUNCTION", "ROLLBACK"], &["SHADOW.FUNCTION", "FLUSH", "ASYNC"], &deploy],
    ];
    for commands in commands {
        for protected in [false, true] {
            for _ in 0..5 {
                let mut victim = server.client();
                let id = victim.run("CLIENT ID").text();
                if protected {
                    assert_eq!(victim.run("CLIENT NO-EVICT ON").text(), "OK");
                }
                commands.iter().for_each(|words| victim.send(words));
                // It may have been served already, but it is there.
                assert_eq!(kill(&mut client, &id), Value::Integer(1));
                drop(victim);
                assert_eq!(client.run("PING").text(), "PONG");
            }
        }
        wait_until_alone(&mut client);
    }
    check_unharmed(&server);
}

#[test]
fn a_library_of_a_transaction_whose_client_is_killed_is_not_loaded() {
    let server = Server::start();
    let mut client = server.client();
    let mut victim = server.client();
    let id = victim.run("CLIENT ID").text();
    assert_eq!(victim.run("MULTI").text(), "OK");
    assert_eq!(victim.call(&["SHADOW.FUNCTION", "LOAD", &library()]).text(), "QUEUED");
    assert_eq!(kill(&mut client, &id), Value::Integer(1));
    assert!(victim.read_raw().is_err());
    assert!(names(&mut client).is_empty());
    check_unharmed(&server);
}

#[test]
fn nobody_is_killed_while_a_function_keeps_all_waiting() {
    let server = Options::new().set("busy-reply-threshold", "50").start();
    let mut client = server.client();
    load_both(&mut client);
    let mut said = Vec::new();
    for prefix in ["", "SHADOW."] {
        let (mut caller, mut other) = (server.client(), server.client());
        let id = caller.run("CLIENT ID").text();
        caller.send(&[&*format!("{prefix}FCALL"), "loop", "0"]);
        wait_until_busy(&mut other);
        let lines = [&*format!("CLIENT KILL ID {id}"), "CLIENT NO-EVICT ON", "CLIENT PAUSE 1", "RESET", "QUIT"];
        let replies: Vec<String> = lines.iter().map(|line| as_stock(&other.run(line).text())).collect();
        said.push(replies);
        let mut other = server.client();
        assert_eq!(other.run(&format!("{prefix}FUNCTION KILL")).text(), "OK");
        assert!(caller.read().is_error());
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0][0].starts_with("BUSY "), "{said:?}");
    check_unharmed(&server);
}

#[test]
fn a_caller_that_leaves_a_busy_function_is_gone_at_its_end() {
    let server = beside_neighbour().set("busy-reply-threshold", "50").start();
    let mut other = server.client();
    load(&mut other, &library());
    // By itself, and by a thread of another module.
    for head in
        [&["SHADOW.FCALL"][..], &["NEIGHBOUR.CALL", "E", "SHADOW.FCALL"], &["NEIGHBOUR.THREAD", "E", "SHADOW.FCALL"]]
    {
        let mut caller = server.client();
        caller.send(&[head, &["loop", "0"]].concat());
        wait_until_busy(&mut other);
        drop(caller);
        wait_until_busy(&mut other);
        assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
        wait_until_alone(&mut other);
    }
    check_unharmed(&server);
}

#[test]
fn a_function_cannot_kill_its_own_client() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.run("CLIENT ID").text();
    let mut refused = Vec::new();
    for command in ["EVAL", "SHADOW.EVAL"] {
        for script in ["return redis.pcall('CLIENT', 'KILL', 'ID', ARGV[1]).err", "return redis.pcall('QUIT').err"] {
            refused.push(client.call(&[command, script, "0", &id]).text());
        }
    }
    assert_eq!(refused[..2], refused[2..]);
    assert_eq!(client.run("PING").text(), "PONG");
    check_unharmed(&server);
}
