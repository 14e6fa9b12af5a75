//! Scripts that run too long: what others are told meanwhile, and how such a script is ended. The server's own script
//! and the shadow's are compared.

use super::{Pair, wording};
use crate::security::impatient;
use crate::support::library::{callback, load};
use crate::support::scripts::digest;
use crate::support::{Client, Options, Server, Value, Words, wait_until};

const ENDLESS: &str = "while true do end";

const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
                          either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE \
                          command.";

/// Has a client run a script, and returns it and another one once the server is busy.
fn start(server: &Server, command: &[&str]) -> (Client, Client) {
    let (mut caller, mut other) = (server.client(), server.client());
    caller.send(command);
    wait_until("the server is busy", || other.run("GET x").text().starts_with("BUSY "));
    (caller, other)
}

/// The name of a command on a side: the server's own, or the shadow's.
fn named(prefix: &str, line: &str) -> String {
    let ours = ["EVAL", "SCRIPT", "FUNCTION", "FCALL"].iter().any(|name| line.starts_with(name));
    if ours { format!("{prefix}{line}") } else { line.to_owned() }
}

/// Scripts that KILL ends.
const KILLED: &[&str] = &[
    ENDLESS,
    "\n\nwhile true do end",
    "#!lua\nwhile true do end",
    "#!lua flags=no-writes\n\nwhile true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do redis.call('get', 'x') end",
    "while true do redis.pcall('nosuch') end",
    "while true do redis.pcall('set', 'few') end",
    "while true do redis.pcall('publish', 'a', 'b') end",
    "while true do redis.pcall('pfcount', 'missing') end",
    "redis.call('select', 3) while true do end",
    "#!lua flags=no-writes\nredis.pcall('set', 'k', 'v') while true do end",
    "loadstring('while true do end')()",
    "local function f() while true do end end\nf()",
];

#[test]
fn killed_scripts_end_alike() {
    let server = impatient();
    for script in KILLED {
        let outcomes = ["", "SHADOW."].map(|prefix| {
            let (mut caller, mut other) = start(&server, &[&named(prefix, "EVAL"), script, "0"]);
            let busy = other.raw(&["PING"]);
            let killed = other.run(&named(prefix, "SCRIPT KILL")).text();
            let replies = [wording(&busy), wording(&caller.read_raw().expect("a reply"))];
            wait_until("the server is free", || other.run("PING").text() == "PONG");
            (killed, replies.map(|reply| reply.escape_ascii().to_string()))
        });
        assert_eq!(outcomes[1], outcomes[0], "{script}");
    }
}

/// Scripts that go on after what was killed, under `pcall`: here nothing of a killed script goes on.
const CAUGHT: &[&str] = &[
    "local ok, e = pcall(function() while true do end end) return e",
    "local ok, e = pcall(function() while true do end end) return {tostring(ok), type(e)}",
    "return select(2, xpcall(function() while true do end end, function(e) return type(e) end))",
];

#[test]
fn a_killed_script_does_not_go_on_behind_a_pcall() {
    let server = impatient();
    let words = Words::of(&server);
    for script in CAUGHT {
        let (mut caller, mut other) = start(&server, &["SHADOW.EVAL", script, "0"]);
        assert_eq!(other.run("SHADOW.SCRIPT KILL").text(), "OK");
        let expected = format!("{}{}", words.killed_script, words.place_in_script(script, 1));
        assert_eq!(caller.read().text(), expected, "{script}");
        let (mut caller, mut other) = start(&server, &["EVAL", script, "0"]);
        assert_eq!(other.run("SCRIPT KILL").text(), "OK");
        assert!(!caller.read().is_error(), "the server's own goes on: {script}");
    }
}

/// What may be sent to a busy server.
const MEANWHILE: &[&str] = &[
    "PING",
    "SCRIPT",
    "SCRIPT NOSUCH",
    "SCRIPT LOAD",
    "SCRIPT LOAD x",
    "SCRIPT EXISTS x",
    "SCRIPT FLUSH",
    "SCRIPT HELP",
    "SCRIPT KILL x",
    "EVAL return",
    "EVAL return 0",
    "EVALSHA x 0",
    "EVAL_RO return 0",
    "FUNCTION KILL",
    "FUNCTION STATS",
    "FUNCTION LIST",
    "FUNCTION FLUSH",
    "FCALL f 0",
    "EXEC",
    "NOSUCH",
    "GET",
    "MULTI",
    "EVAL return 0",
    "SCRIPT KILL",
    "DISCARD",
];

#[test]
fn others_are_answered_alike_meanwhile() {
    let server = impatient();
    let answers = ["", "SHADOW."].map(|prefix| {
        let (mut caller, mut other) = start(&server, &[&named(prefix, "EVAL"), ENDLESS, "0"]);
        let answers: Vec<String> = MEANWHILE
            .iter()
            .map(|line| {
                let raw = other.raw(&named(prefix, line).split(' ').collect::<Vec<_>>());
                format!("{line}: {}", wording(&raw).escape_ascii())
            })
            .collect();
        assert_eq!(server.client().run(&named(prefix, "SCRIPT KILL")).text(), "OK");
        caller.read();
        wait_until("the server is free", || other.run("PING").text() == "PONG");
        answers
    });
    assert_eq!(answers[1], answers[0]);
}

#[test]
fn a_script_is_no_function_to_kill_and_the_other_way_round() {
    let server = impatient();
    let words = Words::of(&server);
    load(&mut server.client(), &callback(ENDLESS));
    for (command, kill, wrong) in [
        (&["SHADOW.EVAL", ENDLESS, "0"][..], "SHADOW.SCRIPT KILL", "SHADOW.FUNCTION KILL"),
        (&["SHADOW.FCALL", "f", "0"], "SHADOW.FUNCTION KILL", "SHADOW.SCRIPT KILL"),
    ] {
        let (mut caller, mut other) = start(&server, command);
        assert_eq!(other.run(wrong).text(), words.busy(kill));
        assert_eq!(other.run(&format!("{wrong} FORCE")).text(), words.busy(kill));
        assert_eq!(other.run(kill).text(), "OK");
        assert!(caller.read().text().contains("Script killed by user"));
        wait_until("the server is free", || other.run("PING").text() == "PONG");
        assert_eq!(other.run(kill).text(), "NOTBUSY No scripts in execution right now.");
    }
}

#[test]
fn a_script_or_function_of_the_server_is_not_ours_to_kill() {
    let server = impatient();
    let words = Words::of(&server);
    server.client().call(&["FUNCTION", "LOAD", &callback(ENDLESS)]);
    for (command, kill) in [(&["EVAL", ENDLESS, "0"][..], "SCRIPT KILL"), (&["FCALL", "f", "0"], "FUNCTION KILL")] {
        let busy = words.busy(kill);
        let (mut caller, mut other) = start(&server, command);
        for ours in ["SHADOW.SCRIPT KILL", "SHADOW.SCRIPT KILL FORCE", "SHADOW.FUNCTION KILL"] {
            let refusal = other.run(ours).text();
            // The module cannot tell a function of the server from no function.
            let unknown = kill == "FUNCTION KILL" && refusal == "NOTBUSY No scripts in execution right now.";
            assert!(refusal == busy || unknown, "{ours}: {refusal}");
            assert_eq!(other.run("PING").text(), busy, "it goes on after {ours}");
        }
        assert_eq!(other.run(kill).text(), "OK");
        assert!(caller.read().is_error());
    }
}

#[test]
fn a_script_that_has_written_is_ended_by_force_alone_and_what_it_wrote_stays() {
    let server = impatient();
    let words = Words::of(&server);
    server.client().run("SET text value");
    for (number, write) in [
        "redis.call('set', KEYS[1], 'v')",
        "redis.call('del', 'missing')",
        "redis.pcall('lpush', 'text', 'x')",
        "redis.set_repl(redis.REPL_NONE) redis.call('set', KEYS[1], 'v')",
    ]
    .iter()
    .enumerate()
    {
        let (script, key) = (format!("{write} {ENDLESS}"), format!("key{number}"));
        let (mut caller, mut other) = start(&server, &["SHADOW.EVAL", &script, "1", &key]);
        assert_eq!(other.run("SHADOW.SCRIPT KILL").text(), UNKILLABLE, "{write}");
        assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), UNKILLABLE, "{write}");
        assert_eq!(other.run("SHADOW.SCRIPT KILL FORCE").text(), "OK");
        assert_eq!(caller.read().text(), format!("{}{}", words.killed_script, words.place_in_script(&script, 1)));
        wait_until("the server is free", || other.run("PING").text() == "PONG");
        let written = if write.contains("'set'") { "1" } else { "0" };
        assert_eq!(other.run(&format!("EXISTS {key}")).text(), written, "{write}");
    }
}

/// The row `long-transactions`: nobody can kill it, but a limit of time ends it.
#[test]
fn in_a_transaction_only_the_script_ends() {
    let server = Options::new().module_arguments("read-only-timeout 100").start();
    let mut caller = server.client();
    for command in ["MULTI", "SET before 1"] {
        caller.run(command);
    }
    caller.call(&["SHADOW.EVAL", ENDLESS, "0"]);
    caller.run("SET after 1");
    let replies = caller.run("EXEC").items();
    let place = Words::of(&server).place_in_script(ENDLESS, 1);
    let ended = format!("ERR Script timed out, it ran longer than 'shadow.read-only-timeout' allows.{place}");
    // What the transaction wrote before is not the script's.
    assert_eq!(replies.iter().map(Value::text).collect::<Vec<_>>(), ["OK", &ended, "OK"]);
    assert_eq!(caller.run("EXISTS before after").text(), "2");
}

#[test]
fn the_log_names_a_slow_script_by_its_digest() {
    let server = impatient();
    let (mut caller, mut other) = start(&server, &["SHADOW.EVAL", ENDLESS, "0"]);
    assert_eq!(other.run("SHADOW.SCRIPT KILL").text(), "OK");
    assert!(caller.read().is_error());
    let log = server.log();
    assert!(log.contains(&format!("Script name is: {}.", digest(ENDLESS))), "{log}");
    assert!(log.contains("SCRIPT KILL"), "{log}");
}

#[test]
fn a_killed_script_stays_in_the_cache_and_harms_no_other() {
    let mut pair = Pair::with(impatient());
    pair.compare(&["SCRIPT", "LOAD", "return 'other'"]);
    for _ in 0..3 {
        let (mut caller, mut other) = start(pair.server(), &["SHADOW.EVAL", ENDLESS, "0"]);
        assert_eq!(other.run("SHADOW.SCRIPT KILL").text(), "OK");
        assert!(caller.read().is_error());
        assert_eq!(other.run(&format!("SHADOW.EVALSHA {} 0", digest("return 'other'"))).text(), "other");
        assert_eq!(other.run(&format!("SHADOW.SCRIPT EXISTS {}", digest(ENDLESS))).items(), [Value::Integer(1)]);
    }
    pair.finish();
}

#[test]
fn a_threshold_of_zero_lets_nobody_in() {
    let server = Options::new().set("busy-reply-threshold", "0").start();
    let (mut caller, mut other) = (server.client(), server.client());
    caller.send(&["SHADOW.EVAL", "local n = 0 for i = 1, 3e7 do n = n + i % 7 end return 'done'", "0"]);
    assert_eq!(other.run("PING").text(), "PONG", "after the script, not during it");
    assert_eq!(caller.read().text(), "done");
}

#[test]
fn a_caller_that_leaves_meanwhile_does_not_end_its_script() {
    let server = impatient();
    let busy = Words::of(&server).busy("SHADOW.SCRIPT KILL");
    let (caller, mut other) = start(&server, &["SHADOW.EVAL", ENDLESS, "0"]);
    drop(caller);
    for _ in 0..20 {
        assert_eq!(other.run("PING").text(), busy);
    }
    assert_eq!(other.run("SHADOW.SCRIPT KILL").text(), "OK");
    wait_until("only this client is left", || other.info("connected_clients").as_deref() == Some("1"));
}
