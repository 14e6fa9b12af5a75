//! The setting `shadow.intercept`: the server's own commands for functions and for scripts, answered by the module.
//! Here what holds for both kinds and what is about functions.

mod debugger;
mod permissions;
mod running;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest, Sha1};

use crate::commands::{all_of_ours, counterparts};
use crate::support::library::{callback, load, names, numbered};
use crate::support::replicas::{replica_with, wait_in_step};
use crate::support::{Client, Options, Server, Value, Words, wait_until};

fn intercepting() -> (Server, Client) {
    intercepting_with("functions")
}

/// A server that intercepts what this value of the setting says.
fn intercepting_with(scope: &str) -> (Server, Client) {
    let server = Options::new().module_arguments(&format!("intercept {scope}")).start();
    let client = server.client();
    (server, client)
}

/// The name of a script.
fn digest_of(script: &str) -> String {
    Sha1::digest(script).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commands_in_any_case_are_answered_by_the_shadow_registry() {
    let (_server, mut client) = intercepting();
    assert_eq!(client.call(&["fUnCtIoN", "load", &callback("return 'here'")]).text(), "mylib");
    for command in ["FCALL f 0", "fcall f 0", "Fcall F 0", "SHADOW.FCALL f 0"] {
        assert_eq!(client.run(command).text(), "here", "{command}");
    }
    assert_eq!(client.run("SHADOW.FUNCTION LIST"), client.run("FUNCTION LIST"));
    // In the tenth of a second after the start the same time may be told a nanosecond longer or shorter.
    wait_until("it is known how long a tick is", || client.info_number("uptime_in_seconds") >= 2);
    assert_eq!(client.run("SHADOW.FUNCTION LIST WITHSTATS"), client.run("FUNCTION LIST WITHSTATS"));
    assert_eq!(client.info_number("number_of_libraries"), 0, "the server's own registry stays empty");
    assert_eq!(client.run("FUNCTION FLUSH").text(), "OK");
    assert_eq!(client.run("SHADOW.FCALL f 0").text(), "ERR Function not found");
}

#[test]
fn commands_queued_in_a_transaction_are_intercepted() {
    let (_server, mut client) = intercepting();
    client.run("MULTI");
    assert_eq!(client.call(&["FUNCTION", "LOAD", &callback("return 'here'")]).text(), "QUEUED");
    assert_eq!(client.run("FCALL f 0").text(), "QUEUED");
    assert_eq!(client.run("FUNCTION FLUSH SYNC").text(), "QUEUED");
    assert_eq!(client.run("FCALL_RO f 0").text(), "QUEUED");
    let replies = client.run("EXEC");
    let texts: Vec<String> = replies.items().iter().map(Value::text).collect();
    assert_eq!(texts, ["mylib", "here", "OK", "ERR Function not found"]);
}

#[test]
fn refusals_name_what_the_client_typed() {
    let (_server, mut client) = intercepting();
    for (command, text) in [
        ("FUNCTION", "ERR wrong number of arguments for 'function' command"),
        ("FUNCTION LOAD", "ERR wrong number of arguments for 'function|load' command"),
        ("FUNCTION DELETE a b", "ERR wrong number of arguments for 'function|delete' command"),
        ("FUNCTION NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try FUNCTION HELP."),
        ("FUNCTION RESETSTAT", "ERR unknown subcommand 'RESETSTAT'. Try FUNCTION HELP."),
        ("FCALL f", "ERR wrong number of arguments for 'fcall' command"),
        ("FCALL_RO f", "ERR wrong number of arguments for 'fcall_ro' command"),
        ("FUNCTION FLUSH a b", "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP."),
        (
            "SHADOW.FUNCTION FLUSH a b",
            "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try SHADOW.FUNCTION HELP.",
        ),
    ] {
        assert_eq!(client.run(command).text(), text, "{command}");
    }
    assert!(client.run("FUNCTION HELP").items()[0].text().starts_with("FUNCTION <subcommand>"));
}

#[test]
fn scripts_of_the_server_are_refused_as_ever() {
    let (server, mut client) = intercepting();
    client.call(&["FUNCTION", "LOAD", &callback("return 1")]);
    let words = Words::of(&server);
    for command in ["'fcall','f',0", "'function','list'", "'shadow.fcall','f',0"] {
        let reply = client.call(&["EVAL", &format!("return redis.pcall({command})"), "0"]);
        assert_eq!(reply.text(), words.not_for_scripts, "{command}");
    }
}

#[test]
fn without_the_argument_nothing_is_intercepted() {
    let server = Server::start();
    let mut client = server.client();
    client.call(&["FUNCTION", "LOAD", &callback("return 'stock'")]);
    assert_eq!(client.run("SHADOW.FCALL f 0").text(), "ERR Function not found");
    assert_eq!(client.run("FCALL f 0").text(), "stock");
}

#[test]
fn the_debug_command_puts_the_filter_in_place_and_takes_it_away() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    client.call(&["SHADOW.FUNCTION", "LOAD", &callback("return 'here'")]);
    for (command, answer) in [
        ("SHADOW.DEBUG FILTER ON", "here"),
        ("SHADOW.DEBUG FILTER ON", "here"),
        ("SHADOW.DEBUG FILTER OFF", "ERR Function not found"),
        ("SHADOW.DEBUG FILTER OFF", "ERR Function not found"),
        ("SHADOW.DEBUG filter on", "here"),
    ] {
        assert_eq!(client.run(command).text(), "OK");
        assert_eq!(client.run("FCALL f 0").text(), answer, "after {command}");
    }
    assert_eq!(client.run("SHADOW.DEBUG FILTER maybe").text(), "ERR FILTER needs ON or OFF");
    assert_eq!(client.run("FCALL f 0").text(), "here", "a refused word changes nothing");
}

#[test]
fn a_rule_for_a_typed_command_holds_for_its_shadow() {
    let (_server, mut client) = intercepting();
    client.call(&["FUNCTION", "LOAD", &callback("return 'here'")]);
    for (rules, call, list) in [
        ("+fcall", true, false),
        ("+function", false, true),
        ("+function|list", false, true),
        ("+fcall -fcall", false, false),
        ("+@all -fcall", false, true),
        ("+@all -function|list", true, false),
        ("-@all +@scripting", true, true),
    ] {
        client.run(&format!("ACL SETUSER user reset on nopass ~* +auth {rules}"));
        client.run("AUTH user x");
        for prefix in ["", "SHADOW."] {
            let reply = client.run(&format!("{prefix}FCALL f 0"));
            assert_eq!(reply.text() == "here", call, "{prefix}FCALL after {rules}: {reply:?}");
            let reply = client.run(&format!("{prefix}FUNCTION LIST"));
            assert_eq!(!reply.is_error(), list, "{prefix}FUNCTION LIST after {rules}: {reply:?}");
        }
        client.run("AUTH default x");
    }
}

/// Whether the server says that a user of these rules may run the command, with as few words as it takes.
fn may_run(client: &mut Client, rules: &str, command: &str) -> bool {
    assert_eq!(client.run(&format!("ACL SETUSER user reset on nopass ~* {rules}")).text(), "OK", "{rules}");
    let info = client.call(&["COMMAND", "INFO", command]).items()[0].items();
    let Value::Integer(arity) = info[1] else { panic!("{command} has an arity: {info:?}") };
    let mut words: Vec<&str> = ["ACL", "DRYRUN", "user"].into_iter().chain(command.split('|')).collect();
    words.resize(3 + arity.unsigned_abs() as usize, "0");
    let reply = client.call(&words).text();
    assert!(reply == "OK" || reply.contains("no permissions to run"), "{command}: {reply}");
    reply == "OK"
}

#[test]
fn a_rule_for_a_category_holds_for_every_subcommand_as_for_the_servers_own() {
    let server = Options::new().module_arguments("intercept all enable-debug-command yes").start();
    let mut client = server.client();
    let mut commands = all_of_ours(&mut client);
    // A container without a subcommand is nothing to run.
    assert!(commands.remove("shadow.function") && commands.remove("shadow.script"));
    let categories = client.run("ACL CAT").sorted_texts();
    let members: BTreeMap<&String, BTreeSet<String>> = categories
        .iter()
        .map(|category| (category, client.run(&format!("ACL CAT {category}")).sorted_texts().into_iter().collect()))
        .collect();
    for command in &commands {
        let known = members.values().filter(|members| counterparts(command).iter().any(|one| members.contains(*one)));
        assert!(known.count() > 1, "{command} has counterparts that the server knows");
        for (category, members) in &members {
            let inside = counterparts(command).iter().any(|counterpart| members.contains(*counterpart));
            let granted = may_run(&mut client, &format!("-@all +@{category}"), command);
            assert_eq!(granted, inside, "{command} after -@all +@{category}");
            let left = may_run(&mut client, &format!("+@all -@{category}"), command);
            assert_eq!(left, !inside, "{command} after +@all -@{category}");
        }
    }
}

#[test]
fn a_user_who_may_not_write_cannot_change_the_registry_by_any_name() {
    let (server, mut client) = intercepting();
    load(&mut client, &numbered(1));
    let payload = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let payload = payload.splitn(2, |&byte| byte == b'\n').nth(1).expect("a payload").strip_suffix(b"\r\n");
    client.run("ACL SETUSER app on nopass ~* +@all -@write");
    let mut app = server.client();
    app.run("AUTH app x");
    for prefix in ["", "SHADOW."] {
        let function = format!("{prefix}FUNCTION");
        let code = numbered(2);
        let changes: [&[&[u8]]; 4] = [
            &[b"LOAD", code.as_bytes()],
            &[b"DELETE", b"lib1"],
            &[b"FLUSH", b"SYNC"],
            &[b"RESTORE", payload.expect("its end"), b"FLUSH"],
        ];
        for change in changes {
            let words: Vec<&[u8]> = [function.as_bytes()].into_iter().chain(change.iter().copied()).collect();
            let reply = app.call(&words).text();
            assert!(reply.starts_with("NOPERM "), "{function} {}: {reply}", String::from_utf8_lossy(change[0]));
        }
    }
    for policy in ["", "APPEND", "FLUSH", "REPLACE"] {
        let reply = app.run(&format!("SHADOW.FUNCTION IMPORT {policy}")).text();
        assert!(reply.starts_with("NOPERM "), "IMPORT {policy}: {reply}");
    }
    assert_eq!(client.run("FCALL f1 0"), Value::Integer(1), "it is still there");
}

#[test]
fn what_the_server_refuses_for_its_words_alone_is_refused_in_its_words() {
    let (_server, mut client) = intercepting_with("all");
    let stock = Options::new().without_module().start();
    let mut stock = stock.client();
    let mut refused = 0;
    let of_functions =
        ["load", "delete", "flush", "restore", "dump", "list", "stats", "kill", "help", "import", "resetstat"];
    let of_scripts = ["load", "exists", "flush", "kill", "debug", "help", "show", "list"];
    let functions = of_functions.map(|subcommand| vec!["function", subcommand]);
    let scripts = of_scripts.map(|subcommand| vec!["script", subcommand]);
    let commands = ["function", "fcall", "fcall_ro", "script", "eval", "evalsha", "eval_ro", "evalsha_ro"];
    for start in functions.into_iter().chain(scripts).chain(commands.map(|command| vec![command])) {
        for more in 0..4 {
            let mut words = start.clone();
            words.resize(start.len() + more, "0");
            let expected = stock.raw(&words);
            let text = String::from_utf8_lossy(&expected);
            if text.starts_with("-ERR wrong number of arguments") || text.starts_with("-ERR unknown subcommand '") {
                assert_eq!(client.raw(&words), expected, "{words:?}: {text}");
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn a_rule_in_a_selector_keeps_to_its_keys() {
    let (_server, mut client) = intercepting();
    client.call(&["FUNCTION", "LOAD", &callback("return 'here'")]);
    client.call(&[
        "ACL",
        "SETUSER",
        "user",
        "reset",
        "on",
        "nopass",
        "+auth",
        "(+fcall ~Mine:*)",
        "(+fcall",
        "~also:*)",
    ]);
    client.run("AUTH user x");
    assert_eq!(client.run("FCALL f 1 Mine:1").text(), "here");
    assert_eq!(client.run("FCALL f 1 also:1").text(), "here");
    assert!(client.run("FCALL f 1 other").text().starts_with("NOPERM"));
}

#[test]
fn a_user_without_the_typed_command_does_not_get_it_by_its_other_name() {
    let (_server, mut client) = intercepting();
    client.call(&["FUNCTION", "LOAD", &callback("return 'here'")]);
    // As rules in a file would stand: for the shadow command alone.
    client.run("ACL SETUSER user reset on nopass ~* +auth +shadow.fcall +shadow.function");
    client.run("AUTH user x");
    assert_eq!(client.run("SHADOW.FCALL f 0").text(), "here");
    for (command, name) in [("FCALL f 0", "fcall"), ("FUNCTION LIST", "function|list")] {
        let reply = client.run(command);
        let refusal = format!("has no permissions to run the '{name}' command");
        assert!(reply.text().starts_with("NOPERM") && reply.text().ends_with(&refusal), "{reply:?}");
    }
}

/// From 7.2 on the server tells the filter who sends a command.
fn tells_who_sends(server: &Server) -> bool {
    server.version() >= (7, 2, 0)
}

/// A master that does not intercept means its own registry, and its replica's is to be the same.
#[test]
fn what_a_master_sends_by_the_servers_names_is_left_to_the_server() {
    let master = Server::start();
    let replica = replica_with(Options::new().module_arguments("intercept all"), &master);
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &callback("return 1"));
    client.call(&["FUNCTION", "LOAD", &numbered(1)]);
    wait_in_step(&master, &replica);
    if !tells_who_sends(&replica) {
        assert_eq!(names(&mut reader), ["lib1", "mylib"], "7.0 cannot tell");
        return;
    }
    assert_eq!(reader.info_number("number_of_functions"), 1);
    client.run("FUNCTION FLUSH");
    wait_in_step(&master, &replica);
    assert_eq!(reader.info_number("number_of_functions"), 0);
    assert_eq!(names(&mut reader), ["mylib"]);
    assert!(reader.run("FUNCTION LIST").items().len() == 1, "clients of the replica are intercepted");
}

#[test]
fn what_is_replicated_is_the_shadow_command() {
    let server =
        Options::new().module_arguments("intercept yes").set("appendonly", "yes").set("appendfsync", "always").start();
    let mut client = server.client();
    client.call(&["function", "LOAD", &callback("return redis.call('incr', 'n')")]);
    client.run("FCALL f 0");
    client.run("FUNCTION FLUSH ASYNC");
    let commands: Vec<Vec<String>> =
        server.aof().into_iter().filter(|command| !command[0].eq_ignore_ascii_case("select")).collect();
    let words: Vec<&[String]> = commands.iter().map(|command| &command[..2]).collect();
    assert_eq!(words, [["shadow.function", "LOAD"], ["incr", "n"], ["shadow.function", "FLUSH"]]);
}
