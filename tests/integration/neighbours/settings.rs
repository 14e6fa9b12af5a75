//! Storms of CONFIG SET while functions run and deploys are built.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;

use super::{check_unharmed, library};
use crate::support::{Client, Options, Server};

/// The settings that can be changed, what they may be set to, and what not. The first value is the default.
const SETTINGS: [(&str, &[&str], &[&str]); 11] = [
    ("memory-limit", &["0", "1mb", "2mb", "64mb"], &["1", "-1", "1mbb"]),
    ("read-only-timeout", &["0", "1", "5", "1000"], &["-1", "soon", "9223372036854775808"]),
    ("script-cache", &["0", "1mb", "8mb"], &["1", "-5", "x"]),
    ("keep-scripts", &["no", "yes"], &["maybe", "1"]),
    ("undeclared-keys", &["off", "report", "deny"], &["on", ""]),
    ("call-path", &["auto", "rm-call"], &["call-argv", "x"]),
    ("hide-user-data", &["no", "yes"], &["2"]),
    ("keep-generations", &["1", "0", "16"], &["17", "-1"]),
    ("keep-generations-bytes", &["268435456", "0", "1", "1mb"], &["-1", "many"]),
    ("jit", &["hot", "off", "always"], &["on", "x"]),
    ("nosuch", &[], &["1"]),
];

/// Those that are fixed when the module is loaded.
const FIXED: [(&str, &str); 4] =
    [("reclaim-queue", "8"), ("intercept", "all"), ("enable-debug-command", "yes"), ("library-dir", "/tmp")];

const ROUNDS: usize = 150;

fn set(client: &mut Client, name: &str, value: &str) -> String {
    client.call(&["CONFIG", "SET", &format!("shadow.{name}"), value]).text()
}

fn change_settings(client: &mut Client, random: &mut Rng) {
    if random.u8(..8) == 0 {
        let (name, value) = FIXED[random.usize(..FIXED.len())];
        assert!(set(client, name, value).starts_with("ERR CONFIG SET failed"), "{name}");
        return;
    }
    let (name, valid, invalid) = SETTINGS[random.usize(..SETTINGS.len())];
    let is_valid = !valid.is_empty() && random.u8(..3) > 0;
    let values = if is_valid { valid } else { invalid };
    let value = values[random.usize(..values.len())];
    let reply = set(client, name, value);
    if is_valid {
        assert_eq!(reply, "OK", "{name} {value}");
    } else {
        assert!(reply.starts_with("ERR "), "{name} {value}: {reply}");
    }
}

/// What a call may be told: its value, or why a setting forbids it.
fn check_reply(reply: &str, value: &str) {
    let reasons = ["OOM ", "ERR Script timed out", "ERR The command 'set' reaches the key", "ERR Function not found"];
    let is_refused = reasons.iter().any(|reason| reply.starts_with(reason));
    assert!(reply == value || is_refused, "{reply}");
}

/// Calls, loads and deploys, as often as settings are changed.
fn use_functions(client: &mut Client, random: &mut Rng) {
    let library = library();
    let work = "local t = {} for i = 1, 2000 do t[i] = tostring(i) end return #t";
    match random.u8(..8) {
        0 => check_reply(&client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &library]).text(), "lib"),
        1 => check_reply(&client.call(&["SHADOW.FUNCTION", "DEPLOY", "VERSION", "v1", &library]).text(), "v1"),
        2 => {
            let reply = client.run("SHADOW.FUNCTION ROLLBACK");
            assert!(!reply.is_error() || reply.text() == "ERR There is no version to roll back to", "{reply:?}");
        }
        3 => check_reply(&client.call(&["SHADOW.EVAL", work, "0"]).text(), "2000"),
        4 => check_reply(&client.call(&["SHADOW.EVAL", "return redis.call('SET', 'key', 1)", "0"]).text(), "OK"),
        5 => check_reply(
            &client.run(&format!("SHADOW.FUNCTION FLUSH {}", ["SYNC", "ASYNC"][random.usize(..2)])).text(),
            "OK",
        ),
        6 => check_reply(&client.run("SHADOW.FCALL set 1 key").text(), "OK"),
        _ => check_reply(&client.run("SHADOW.FCALL get 0").text(), "got"),
    }
}

#[test]
fn settings_may_change_at_any_time() {
    let server = Options::new().set("slowlog-log-slower-than", "100").start();
    let calls_go_on = AtomicBool::new(true);
    thread::scope(|scope| {
        let (server, calls_go_on): (&Server, _) = (&server, &calls_go_on);
        let callers: Vec<_> = (0..2)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut random) = (server.client(), Rng::with_seed(100 + number));
                    while calls_go_on.load(Ordering::Relaxed) {
                        use_functions(&mut client, &mut random);
                    }
                })
            })
            .collect();
        let changers: Vec<_> = (0..3)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut random) = (server.client(), Rng::with_seed(number));
                    for _ in 0..ROUNDS {
                        change_settings(&mut client, &mut random);
                    }
                })
            })
            .collect();
        // All end before one of them fails the test.
        let changed: Vec<_> = changers.into_iter().map(|changer| changer.join()).collect();
        calls_go_on.store(false, Ordering::Relaxed);
        let called: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        assert!(changed.iter().chain(&called).all(Result::is_ok));
    });
    let mut client = server.client();
    for (name, valid, _) in SETTINGS {
        if let Some(default) = valid.first() {
            assert_eq!(set(&mut client, name, default), "OK");
        }
    }
    check_unharmed(&server);
}
