//! Interception of EVAL, EVALSHA, EVAL_RO, EVALSHA_RO and SCRIPT.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::{digest_of, intercepting_with};
use crate::support::library::callback;
use crate::support::resp::encode;
use crate::support::{Client, Flavour, Options, Server, Value, Words};

/// `return 'here'`, by its digest.
const HERE: &str = "return 'here'";

/// The calls of the server's own commands for scripts.
fn calls_of_the_server(client: &mut Client) -> f64 {
    let calls = ["eval", "evalsha", "eval_ro", "evalsha_ro", "script|load", "script|exists", "script|flush"];
    calls.iter().map(|name| client.command_stat(name, "calls")).sum()
}

fn is_valkey(server: &Server) -> bool {
    server.flavour() == Flavour::Valkey
}

#[test]
fn commands_in_any_case_are_answered_by_the_module() {
    for scope in ["scripts", "all"] {
        let (server, mut client) = intercepting_with(scope);
        let digest = digest_of(HERE);
        assert_eq!(client.call(&["sCrIpT", "load", HERE]).text(), digest);
        for command in ["EVALSHA", "evalsha", "EvalSha_RO", "SHADOW.EVALSHA"] {
            assert_eq!(client.call(&[command, &digest, "0"]).text(), "here", "{command}");
        }
        for command in ["EVAL", "eval", "Eval_Ro", "SHADOW.EVAL_RO"] {
            assert_eq!(client.call(&[command, "return KEYS[1]", "1", "k"]).text(), "k", "{command}");
        }
        assert_eq!(client.call(&["SCRIPT", "EXISTS", &digest, "x"]).items(), [1, 0].map(Value::Integer));
        assert_eq!(client.call(&["SHADOW.SCRIPT", "EXISTS", &digest]).items(), [Value::Integer(1)]);
        if is_valkey(&server) {
            assert_eq!(client.call(&["SCRIPT", "SHOW", &digest]).text(), HERE);
        }
        assert_eq!(client.info_number("number_of_cached_scripts"), 0, "the server's own cache stays empty");
        assert_eq!(client.run("SCRIPT FLUSH").text(), "OK");
        assert_eq!(client.call(&["SHADOW.SCRIPT", "EXISTS", &digest]).items(), [Value::Integer(0)]);
        assert!(client.call(&["EVALSHA", &digest, "0"]).text().starts_with("NOSCRIPT"));
        assert_eq!(calls_of_the_server(&mut client), 0.0, "{scope}");
    }
}

#[test]
fn the_setting_says_which_commands_are_intercepted() {
    for (scope, functions, scripts) in [
        ("no", false, false),
        ("yes", true, false),
        ("functions", true, false),
        ("scripts", false, true),
        ("all", true, true),
    ] {
        let (_server, mut client) = intercepting_with(scope);
        client.call(&["FUNCTION", "LOAD", &callback("return 1")]);
        client.call(&["EVAL", HERE, "0"]);
        assert_eq!(client.info_number("number_of_functions") == 0, functions, "{scope}");
        assert_eq!(client.info_number("number_of_cached_scripts") == 0, scripts, "{scope}");
        assert_eq!(client.run("SHADOW.FCALL f 0") == Value::Integer(1), functions, "{scope}");
        let cached = client.call(&["SHADOW.SCRIPT", "EXISTS", &digest_of(HERE)]);
        assert_eq!(cached.items() == [Value::Integer(1)], scripts, "{scope}");
    }
}

#[test]
fn commands_queued_in_a_transaction_are_intercepted() {
    let (_server, mut client) = intercepting_with("all");
    let digest = digest_of(HERE);
    client.run("MULTI");
    for command in [
        &["SCRIPT", "LOAD", HERE][..],
        &["EVALSHA", &digest, "0"],
        &["EVAL_RO", "return ARGV[1]", "0", "word"],
        &["SCRIPT", "FLUSH", "SYNC"],
        &["EVALSHA_RO", &digest, "0"],
        &["SCRIPT", "KILL"],
    ] {
        assert_eq!(client.call(command).text(), "QUEUED");
    }
    let texts: Vec<String> = client.run("EXEC").items().iter().map(Value::text).collect();
    assert_eq!(texts[..4], [&digest, "here", "word", "OK"]);
    assert!(texts[4].starts_with("NOSCRIPT") && texts[5].starts_with("NOTBUSY"), "{texts:?}");
    assert_eq!(calls_of_the_server(&mut client), 0.0);
}

#[test]
fn what_is_answered_is_what_the_server_would_answer() {
    let (_server, mut client) = intercepting_with("all");
    let stock = Options::new().without_module().start();
    let mut stock = stock.client();
    let digest = digest_of(HERE);
    for resp3 in [false, true] {
        if resp3 {
            client.hello3();
            stock.hello3();
        }
        for command in [
            &["SCRIPT"][..],
            &["SCRIPT", "NOSUCH"],
            &["SCRIPT", "SHOW", &digest],
            &["SCRIPT", "SHOW"],
            &["SCRIPT", "LIST"],
            &["SCRIPT", "KILL"],
            &["SCRIPT", "KILL", "FORCE"],
            &["SCRIPT", "LOAD"],
            &["SCRIPT", "LOAD", "a", "b"],
            &["SCRIPT", "LOAD", HERE],
            &["SCRIPT", "SHOW", &digest],
            &["SCRIPT", "EXISTS"],
            &["SCRIPT", "EXISTS", &digest, "x", &digest],
            &["SCRIPT", "FLUSH", "x"],
            &["SCRIPT", "FLUSH", "SYNC", "x"],
            &["SCRIPT", "HELP"],
            &["script", "help"],
            &["SCRIPT", "HELP", "x"],
            &["SCRIPT", "DEBUG"],
            &["SCRIPT", "DEBUG", "x"],
            &["SCRIPT", "DEBUG", "no"],
            &["EVAL"],
            &["EVAL", HERE],
            &["EVAL", HERE, "x"],
            &["EVAL", HERE, "1"],
            &["EVAL", HERE, "-1"],
            &["EVAL", HERE, "0"],
            &["EVAL_RO"],
            &["EVAL_RO", HERE],
            &["EVAL_RO", "return redis.call('set', KEYS[1], 'v')", "1", "k"],
            &["EVALSHA", &digest],
            &["EVALSHA", &digest, "0"],
            &["EVALSHA_RO", &digest],
            &["EVALSHA", "x", "x"],
            &["EVALSHA", &digest_of("other"), "0"],
            &["EVAL", "return {1, 'a', {err = 'E x'}, false, {double = 1.5}}", "0"],
            &["EVAL", "return redis.call('nosuch')", "0"],
            &["EVAL", "#!lua flags=x\nreturn 1", "0"],
            &["EVAL", "#!js\nreturn 1", "0"],
            &["SCRIPT", "LOAD", "#!js\nreturn 1"],
            &["SCRIPT", "FLUSH"],
            &["EVALSHA", &digest, "0"],
        ] {
            let expected = stock.raw(command);
            assert_eq!(
                client.raw(command).escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{command:?}"
            );
        }
    }
}

#[test]
fn scripts_and_functions_of_the_server_cannot_call_them() {
    let (server, mut client) = intercepting_with("scripts");
    let words = Words::of(&server);
    let refused = [
        "'eval','return 1',0",
        "'EVAL_RO','return 1',0",
        "'evalsha','0',0",
        "'evalsha_ro','0',0",
        "'script','load','return 1'",
        "'script','exists','x'",
        "'script','flush'",
        "'shadow.eval','return 1',0",
        "'shadow.script','load','return 1'",
    ];
    for command in refused {
        let body = format!("return redis.pcall({command})");
        client.call(&["FUNCTION", "LOAD", "REPLACE", &callback(&body)]);
        assert_eq!(client.run("FCALL f 0").text(), words.not_for_scripts, "{command} in a function of the server");
        assert_eq!(client.call(&["EVAL", &body, "0"]).text(), words.not_for_scripts, "{command} in a script");
    }
    client.call(&["FUNCTION", "LOAD", "REPLACE", &callback("return redis.call('script', 'help')[1]")]);
    assert!(client.run("FCALL f 0").text().to_ascii_uppercase().starts_with("SCRIPT <SUBCOMMAND>"));
}

#[test]
fn the_module_does_not_know_what_the_servers_own_cache_has() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    assert_eq!(client.call(&["SCRIPT", "LOAD", HERE]).text(), digest_of(HERE));
    assert_eq!(client.run("SHADOW.DEBUG FILTER ON").text(), "OK");
    assert!(client.call(&["EVALSHA", &digest_of(HERE), "0"]).text().starts_with("NOSCRIPT"));
    assert_eq!(client.call(&["EVAL", HERE, "0"]).text(), "here");
    assert_eq!(client.call(&["EVALSHA", &digest_of(HERE), "0"]).text(), "here");
}

/// The server does not ask filters about the commands of a file.
#[test]
fn commands_out_of_an_append_only_file_are_the_servers() {
    let options = || Options::new().set("appendonly", "yes").set("appendfsync", "always");
    let mut server = options().start();
    server.client().run("SET n 1");
    server.kill();
    let folder = server.directory().join("appendonlydir");
    let files = fs::read_dir(folder).expect("the folder of the file").map(|entry| entry.expect("an entry").path());
    let file = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("its last part");
    let mut file = OpenOptions::new().append(true).open(file).expect("the file");
    file.write_all(&encode(&["EVAL", "return redis.call('incr', KEYS[1])", "1", "n"])).expect("a command more");
    drop(file);
    server.restart(&options().module_arguments("intercept all"));
    let mut client = server.client();
    assert_eq!(client.run("GET n").text(), "2");
    assert_eq!(client.info_number("number_of_cached_scripts"), 1, "the server's engine has run it");
    let digest = digest_of("return redis.call('incr', KEYS[1])");
    assert!(client.call(&["EVALSHA", &digest, "1", "n"]).text().starts_with("NOSCRIPT"), "and clients do not reach it");
}

/// What nobody can send at all, not even a file or another module, clients can still type.
#[test]
fn commands_that_the_server_has_no_more_are_answered_by_the_module() {
    let mut options = Options::new().module_arguments("intercept all");
    for command in ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT", "FCALL", "FCALL_RO", "FUNCTION"] {
        options = options.rename_command(command, "");
    }
    let server = options.start();
    let mut client = server.client();
    assert_eq!(client.call(&["SCRIPT", "LOAD", HERE]).text(), digest_of(HERE));
    assert_eq!(client.call(&["EVALSHA", &digest_of(HERE), "0"]).text(), "here");
    assert_eq!(client.call(&["EVAL_RO", "return KEYS[1]", "1", "k"]).text(), "k");
    assert_eq!(client.call(&["FUNCTION", "LOAD", &callback("return 1")]).text(), "mylib");
    assert_eq!(client.run("FCALL f 0"), Value::Integer(1));
    for command in ["SCRIPT KILL", "FUNCTION KILL"] {
        assert_eq!(client.run(command).text(), "NOTBUSY No scripts in execution right now.");
    }
    client.run("ACL SETUSER user reset on nopass ~* +auth +shadow.evalsha");
    client.run("AUTH user x");
    assert_eq!(client.call(&["EVALSHA", &digest_of(HERE), "0"]).text(), "here");
    assert!(client.call(&["EVAL", HERE, "0"]).text().starts_with("NOPERM"));
}

/// A name that the operator gave to a command is none of the names that are intercepted.
#[test]
fn a_command_by_another_name_is_the_servers() {
    let server = Options::new().module_arguments("intercept all").rename_command("EVAL", "E").start();
    let mut client = server.client();
    assert_eq!(client.call(&["E", HERE, "0"]).text(), "here");
    assert_eq!(client.info_number("number_of_cached_scripts"), 1);
    assert_eq!(client.call(&["EVAL", "return 'ours'", "0"]).text(), "ours");
    assert_eq!(client.info_number("number_of_cached_scripts"), 1);
}

/// On a Valkey other modules can bring engines. Without one, the server's refusal shows who was asked.
#[test]
fn scripts_of_another_engine_are_left_to_the_server_and_no_others() {
    let (server, mut client) = intercepting_with("all");
    let left = if is_valkey(&server) { 1.0 } else { 0.0 };
    for first in ["#!js", "#!js flags=no-writes", "#!luau", "#!"] {
        let code = format!("{first}\nreturn 1");
        for (name, words) in [
            ("eval", &["EVAL", &code, "0"][..]),
            ("eval_ro", &["EVAL_RO", &code, "0"]),
            ("script|load", &["SCRIPT", "LOAD", &code]),
        ] {
            let before = client.command_stat(name, "calls");
            assert!(client.call(words).is_error());
            assert_eq!(client.command_stat(name, "calls") - before, left, "{words:?}");
        }
    }
    // Whatever the server makes of these, none of them reaches its Lua.
    for first in [
        "#!lua",
        "#!LUA",
        "#!Lua flags=",
        "#!lua\t",
        "#!\"lua\"",
        "#!'lua'",
        "\"#!lua\"",
        "#!l\"ua\"",
        "#!lu\"\\x61\"",
        "#!\"\\x6cua\"",
        "#!lua;x",
        "#! lua",
        "#!lua\0",
        "#!lua 'x",
        " #!js",
        "--#!js",
        "#!js'",
        "#!lua\u{b}",
        "#!\u{b}lua",
    ] {
        for words in
            [&["EVAL", &format!("{first}\nreturn 1"), "0"][..], &["SCRIPT", "LOAD", &format!("{first}\nreturn 1")]]
        {
            client.call(words);
        }
    }
    assert_eq!(client.info_number("number_of_cached_scripts"), 0);
}
