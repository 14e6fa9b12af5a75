//! The server is told to end while a function runs or a deploy is built.

use super::{as_stock, library, load_both, wait_until_busy};
use crate::support::library::{callback, load, names, source};
use crate::support::{Client, Options, Server, wait_until};

fn options() -> Options {
    Options::new().set("appendonly", "yes").set("appendfsync", "always").set("busy-reply-threshold", "50")
}

/// Ends the server with this command, which must not be refused.
fn end(server: &mut Server, client: &mut Client, line: &str) {
    client.send(&line.split(' ').collect::<Vec<_>>());
    let status = server.wait_for_exit();
    assert!(status.success(), "{line}: {status}\n{}", server.log());
    assert!(!server.log().contains("internal error"), "{}", server.log());
}

/// Calls what writes and does not end, and ends the server by `line`. What is written afterwards.
fn kept(options: &Options, call: &str, line: &str) -> String {
    let mut server = options.clone().start();
    let (mut caller, mut other) = (server.client(), server.client());
    let body = "redis.call('SET', KEYS[1], 'kept') while true do end";
    for command in ["FUNCTION", "SHADOW.FUNCTION"] {
        assert_eq!(caller.call(&[command, "LOAD", &callback(body)]).text(), "mylib");
    }
    let callee = if call.ends_with("EVAL") { body } else { "f" };
    caller.send(&[call, callee, "1", "key"]);
    wait_until_busy(&mut other);
    end(&mut server, &mut other, line);
    server.restart(options);
    let mut client = server.client();
    assert_eq!(names(&mut client), ["mylib"]);
    client.run("GET key").text()
}

#[test]
fn while_a_function_or_a_script_runs_it_ends_and_keeps_what_the_servers_own_keep() {
    let options = options();
    for line in ["SHUTDOWN NOSAVE", "SHUTDOWN NOSAVE NOW FORCE", "SHUTDOWN NOSAVE FORCE"] {
        for call in ["FCALL", "EVAL"] {
            let expected = kept(&options, call, line);
            assert_eq!(kept(&options, &format!("SHADOW.{call}"), line), expected, "{call} {line}");
        }
    }
}

#[test]
fn what_is_refused_while_a_function_runs_is_refused_in_the_servers_words() {
    let server = options().set("save", "").start();
    let mut client = server.client();
    load_both(&mut client);
    let mut said = Vec::new();
    for prefix in ["", "SHADOW."] {
        let (mut caller, mut other) = (server.client(), server.client());
        caller.send(&[&*format!("{prefix}FCALL"), "loop", "0"]);
        wait_until_busy(&mut other);
        let replies = ["SHUTDOWN", "SHUTDOWN SAVE", "SHUTDOWN ABORT", "SHUTDOWN NOSAVE ABORT", "SHUTDOWN NOSUCH"]
            .map(|line| as_stock(&other.run(line).text()));
        said.push(replies);
        assert_eq!(other.run(&format!("{prefix}FUNCTION KILL")).text(), "OK");
        assert!(caller.read().is_error());
    }
    assert_eq!(said[0], said[1]);
    // And nothing of it is left to be done.
    assert_eq!(client.run("SHUTDOWN ABORT").text(), "ERR No shutdown in progress.");
    assert_eq!(client.run("SHADOW.FCALL get 0").text(), "got");
}

#[test]
fn while_a_deploy_is_built_it_ends() {
    for line in ["SHUTDOWN NOSAVE", "SHUTDOWN NOSAVE NOW FORCE", "SHUTDOWN SAVE"] {
        let options = options();
        let mut server = options.clone().start();
        let (mut client, mut other) = (server.client(), server.client());
        load(&mut client, &library());
        // Far more than is built before the server has ended.
        let slow: Vec<String> = (0..1_000)
            .map(|number| {
                let body = format!("for i = 1, 1e7 do end redis.register_function('f{number}', function() end)");
                source(&format!("lib{number}"), &body)
            })
            .collect();
        let words: Vec<&str> =
            ["SHADOW.FUNCTION", "DEPLOY"].into_iter().chain(slow.iter().map(String::as_str)).collect();
        client.send(&words);
        wait_until("it is built", || other.info_number("shadow_deploys_pending") == 1);
        end(&mut server, &mut other, line);
        assert!(client.read_raw().is_err(), "the client is told nothing");
        server.restart(&options);
        assert_eq!(names(&mut server.client()), ["lib"]);
    }
}
