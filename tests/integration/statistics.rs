//! What is counted of calls, and how INFO shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::security::impatient;
use crate::support::library::{callback, evaluate, load, load_many, source};
use crate::support::{Client, Options, Server, Value, wait_until};

/// The fields of a function's line, in their order: those of a line of `commandstats`, and three more.
const FIELDS: [&str; 8] =
    ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls", "max_usec", "commands", "commands_usec"];

/// The fields of its line of percentiles, as in `latencystats`.
const PERCENTILES: [&str; 3] = ["p50", "p99", "p99.9"];

/// The digest of `return 1`.
const RETURN_1: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

/// The function's line in INFO, by field; nothing for one that was never called.
fn line(client: &mut Client, function: &str) -> BTreeMap<String, f64> {
    line_of(client, &format!("function_{function}"))
}

/// The line of a function or a script.
fn line_of(client: &mut Client, name: &str) -> BTreeMap<String, f64> {
    let line = client.info(&format!("shadow_{name}")).unwrap_or_default();
    let pairs = line.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(field, value)| (field.to_owned(), value.parse().expect("a number"))).collect()
}

/// `calls`, `rejected_calls` and `failed_calls` of a function.
fn counts(client: &mut Client, function: &str) -> [u64; 3] {
    let line = line(client, function);
    ["calls", "rejected_calls", "failed_calls"].map(|field| line.get(field).map_or(0, |value| *value as u64))
}

/// The same for all functions together.
fn totals(client: &mut Client) -> [u64; 3] {
    ["calls", "rejected_calls", "failed_calls"].map(|field| client.info_number(&format!("shadow_{field}")) as u64)
}

/// `calls`, `rejected_calls` and `failed_calls` of a script.
fn counts_of_script(client: &mut Client, digest: &str) -> [u64; 3] {
    let line = line_of(client, &format!("script_{digest}"));
    ["calls", "rejected_calls", "failed_calls"].map(|field| line.get(field).map_or(0, |value| *value as u64))
}

/// The same for all scripts together.
fn totals_of_scripts(client: &mut Client) -> [u64; 3] {
    ["calls", "rejected_calls", "failed_calls"]
        .map(|field| client.info_number(&format!("shadow_scripts_{field}")) as u64)
}

/// Caches a script and returns its digest.
fn cache(client: &mut Client, code: &str) -> String {
    let reply = client.call(&["SHADOW.SCRIPT", "LOAD", code]);
    assert!(!reply.is_error(), "{reply:?} for {code}");
    reply.text()
}

#[test]
fn every_line_of_info_is_one_that_an_exporter_reads() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 3);
    load(&mut client, &source("mixed", "redis.register_function('Mixed_Case_9', function() error('x') end)"));
    for call in ["f0 0", "f1 0", "f1 0", "mixed_case_9 0"] {
        client.run(&format!("SHADOW.FCALL {call}"));
    }
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    load_many(&mut client, 2);
    client.run("SHADOW.FCALL f1 0");
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    client.call(&["SHADOW.EVAL", "return {err = 'x'}", "0"]);
    let text = client.run("INFO shadow").text();
    let mut section = String::new();
    let (mut functions, mut scripts) = (Vec::new(), Vec::new());
    let mut keys = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("# ") {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("no pair: {line}"));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        assert!(key.starts_with("shadow_") && plain(key), "{line}");
        assert!(keys.insert(key), "{key} is there twice");
        let (name, fields) = match key.strip_prefix("shadow_latency_percentiles_usec_") {
            Some(name) => (format!("shadow_{name}"), &PERCENTILES[..]),
            None => (key.to_owned(), &FIELDS[..]),
        };
        let of_function = name.starts_with("shadow_function_");
        if of_function || name.starts_with("shadow_script_") {
            assert_eq!(section, if of_function { "shadow_functionstats" } else { "shadow_scriptstats" });
            let pairs: Vec<(&str, &str)> = value
                .split(',')
                .map(|pair| pair.split_once('=').unwrap_or_else(|| panic!("no pair in {line}")))
                .collect();
            assert!(pairs.iter().map(|(field, _)| field).eq(fields), "{line}");
            assert!(pairs.iter().all(|(_, number)| number.parse::<f64>().is_ok()), "{line}");
            if of_function { &mut functions } else { &mut scripts }.push(key);
        } else if key == "shadow_last_flush_mode" || key == "shadow_scripts_last_flush_mode" {
            assert_eq!(value, "async");
        } else if key == "shadow_call_path" {
            assert!(["rm-call", "call-argv"].contains(&value), "{line}");
        } else {
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
    for (lines, name) in [(functions, "function_f1"), (scripts, "script_6d80903190e08c620d3e43b3429cbb97b4533404")] {
        let expected = ["shadow_", "shadow_latency_percentiles_usec_"].map(|prefix| format!("{prefix}{name}"));
        assert_eq!(lines, expected, "what was called since the flush");
    }
}

#[test]
fn a_plain_info_has_no_section_of_the_module() {
    let server = Server::start();
    let mut client = server.client();
    evaluate(&mut client, "return 1");
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    assert!(!client.run("INFO").text().contains("shadow_"));
    let script = format!("shadow_script_{RETURN_1}:calls=1,");
    let fields = ["shadow_libraries:1\r\n", "shadow_function_f:calls=1,", "shadow_scripts:1\r\n", &script];
    for (section, expected) in [
        ("shadow_functions", [true, false, false, false]),
        ("shadow_functionstats", [false, true, false, false]),
        ("shadow_scripts", [false, false, true, false]),
        ("shadow_scriptstats", [false, false, false, true]),
        ("everything", [true; 4]),
    ] {
        let text = client.call(&["INFO", section]).text();
        assert_eq!(fields.map(|field| text.contains(field)), expected, "INFO {section}");
    }
}

#[test]
fn a_call_fails_where_the_servers_own_call_does() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET text value");
    for body in [
        "return 1",
        "return {1, {2, 'x'}}",
        "error('x')",
        "error({err = 'MYERR x'})",
        "return {err = 'MYERR x'}",
        "return redis.error_reply('MYERR x')",
        "return {ok = 'x'}",
        "return {1, {2, redis.error_reply('MYERR x')}}",
        "return {map = {a = {err = 'MYERR x'}}}",
        "return redis.call('LPUSH', 'text', 'x')",
        "return redis.pcall('LPUSH', 'text', 'x')",
        "redis.pcall('LPUSH', 'text', 'x') return 1",
        "return redis.call('nosuch')",
        "return redis.call('CONFIG', 'GET', 'save')",
        "return {pcall(error, 'x')}",
        "return redis.call('FCALL', 'f', 0)",
        "return redis.call('SHADOW.FCALL', 'f', 0)",
    ] {
        client.run("CONFIG RESETSTAT");
        client.call(&["FUNCTION", "LOAD", "REPLACE", &callback(body)]);
        let replied = client.run("FCALL f 0");
        load(&mut client, &callback(body));
        client.run("SHADOW.FCALL f 0");
        let failed = client.command_stat("fcall", "failed_calls") as u64;
        assert_eq!(counts(&mut client, "f"), [1, 0, failed], "{body}: {replied:?}");
        assert_eq!(client.command_stat("shadow.fcall", "failed_calls") as u64, failed, "{body}");
    }
}

#[test]
fn a_call_that_is_refused_before_it_runs_is_no_call() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return 1"));
    for call in ["SHADOW.FCALL_RO f 0", "SHADOW.FCALL f 5 key", "SHADOW.FCALL f x", "SHADOW.FCALL f -1"] {
        assert!(client.run(call).is_error(), "{call}");
    }
    client.run("CONFIG SET maxmemory 1");
    assert!(client.run("SHADOW.FCALL f 0").text().starts_with("OOM"));
    client.run("CONFIG SET maxmemory 0");
    assert_eq!(counts(&mut client, "f"), [0, 5, 0]);
    client.run("SHADOW.FCALL missing 0");
    assert_eq!(totals(&mut client), [0, 5, 0]);
}

#[test]
fn a_function_is_counted_under_the_name_that_it_was_registered_with() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "redis.register_function('MyName', function() return 1 end)"));
    for name in ["MyName", "myname", "MYNAME"] {
        client.run(&format!("SHADOW.FCALL {name} 0"));
    }
    assert_eq!(counts(&mut client, "MyName"), [3, 0, 0]);
    assert!(line(&mut client, "myname").is_empty());
}

#[test]
fn a_script_is_counted_by_its_digest_however_it_is_called() {
    let server = Server::start();
    let mut client = server.client();
    client.call(&["SHADOW.EVAL", "return 1", "0"]);
    client.call(&["SHADOW.EVAL_RO", "return 1", "0"]);
    client.call(&["SHADOW.EVALSHA", RETURN_1, "0"]);
    client.call(&["SHADOW.EVALSHA_RO", &RETURN_1.to_uppercase(), "0"]);
    assert_eq!(counts_of_script(&mut client, RETURN_1), [4, 0, 0]);
    let failing = cache(&mut client, "return redis.call('nosuch')");
    client.call(&["SHADOW.EVALSHA", &failing, "0"]);
    assert_eq!(counts_of_script(&mut client, &failing), [1, 0, 1]);
    let writer = cache(&mut client, "#!lua\nreturn 1");
    for (command, keys) in [("SHADOW.EVALSHA_RO", "0"), ("SHADOW.EVALSHA", "x"), ("SHADOW.EVALSHA", "5")] {
        assert!(client.call(&[command, &writer, keys]).is_error());
    }
    assert_eq!(counts_of_script(&mut client, &writer), [0, 3, 0]);
    assert_eq!((totals_of_scripts(&mut client), totals(&mut client)), ([5, 3, 1], [0, 0, 0]));
    client.call(&["SHADOW.EVAL", "return (", "0"]);
    assert_eq!(totals_of_scripts(&mut client), [5, 3, 1], "what does not compile is not called");
    assert_eq!(client.info_number("shadow_scripts_called"), 3);
}

#[test]
fn scripts_that_took_most_time_come_first() {
    let server = Server::start();
    let mut client = server.client();
    let code = |rounds: u32| format!("local n = 0 for i = 1, {rounds} do n = n + i % 7 end return n");
    let [short, long, middle] = [10, 10_000_000, 100_000].map(|rounds| cache(&mut client, &code(rounds)));
    for digest in [&short, &long, &middle] {
        client.call(&["SHADOW.EVALSHA", digest, "0"]);
    }
    let text = client.run("INFO shadow_scriptstats").text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("shadow_script_")?.split(':').next());
    assert_eq!(lines.collect::<Vec<_>>(), [long, middle, short]);
}

#[test]
fn a_script_that_was_ended_is_counted_apart_from_functions() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    let endless = cache(&mut caller, "while true do end");
    caller.send(&["SHADOW.EVALSHA", &endless, "0"]);
    wait_until("it can be killed", || other.run("SHADOW.SCRIPT KILL").text() == "OK");
    caller.read();
    other.run("CONFIG SET shadow.read-only-timeout 20");
    other.call(&["SHADOW.EVALSHA", &endless, "0"]);
    assert_eq!(counts_of_script(&mut other, &endless), [2, 0, 2]);
    for (field, count) in [("scripts_kills", 1), ("scripts_timeouts", 1), ("kills", 0), ("timeouts", 0)] {
        assert_eq!(other.info_number(&format!("shadow_{field}")), count, "{field}");
    }
}

#[test]
fn a_script_sees_itself_running() {
    let server = Server::start();
    let mut client = server.client();
    let digest = cache(&mut client, "return redis.call('INFO', 'shadow')");
    let text = client.call(&["SHADOW.EVALSHA", &digest, "0"]).text();
    assert!(text.contains(&format!("shadow_running_script:{digest}\r\n")), "{text}");
    assert!(!text.contains("shadow_running_function:"), "{text}");
    assert_eq!(text.matches("shadow_running_since_ms:").count(), 1, "{text}");
    assert_eq!(client.info("shadow_running_script"), None);
}

#[test]
fn times_add_up_and_fit_into_those_of_the_command() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return n"));
    for rounds in ["100", "3000000", "100"] {
        client.run(&format!("SHADOW.FCALL f 0 {rounds}"));
    }
    let line = line(&mut client, "f");
    let (usec, longest) = (line["usec"], line["max_usec"]);
    assert!(longest > 1_000.0 && longest <= usec, "{line:?}");
    // The clock of the server's statistics is another one, in whole microseconds.
    let command = client.command_stat("shadow.fcall", "usec");
    assert!(usec < command * 1.01 + 100.0, "{line:?} of {command}");
    assert!((line["usec_per_call"] - usec / 3.0).abs() < 0.01, "{line:?}");
}

#[test]
fn a_new_library_begins_at_zero_and_the_totals_go_on() {
    let server = Server::start();
    let mut client = server.client();
    for (number, renewal) in ["LOAD", "DELETE", "FLUSH SYNC", "FLUSH ASYNC", "RESTORE"].into_iter().enumerate() {
        let calls = 2 * number as u64;
        load(&mut client, &callback("error('x')"));
        assert_eq!(counts(&mut client, "f"), [0, 0, 0], "before {renewal}");
        client.run("SHADOW.FCALL f 0");
        client.run("SHADOW.FCALL f 0");
        client.run("SHADOW.FCALL_RO f 0");
        assert_eq!(counts(&mut client, "f"), [2, 1, 2]);
        assert_eq!(totals(&mut client), [calls + 2, number as u64 + 1, calls + 2]);
        match renewal {
            "LOAD" => load(&mut client, &callback("error('x')")),
            "DELETE" => drop(client.run("SHADOW.FUNCTION DELETE mylib")),
            "RESTORE" => {
                let dump = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
                let start = dump.windows(2).position(|pair| pair == b"\r\n").expect("a length") + 2;
                let payload = &dump[start..dump.len() - 2];
                client.call(&[&b"SHADOW.FUNCTION"[..], b"RESTORE", payload, b"REPLACE"]);
            }
            flush => drop(client.run(&format!("SHADOW.FUNCTION {flush}"))),
        }
        assert!(line(&mut client, "f").is_empty(), "{renewal}");
    }
}

#[test]
fn a_load_that_fails_leaves_the_counters_of_what_it_was_to_replace() {
    let server = Server::start();
    let mut client = server.client();
    evaluate(&mut client, "return 1");
    for failing in ["error('x')", "syntax error", "redis.log(redis.LOG_NOTICE, 'nothing registered')"] {
        assert!(client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &source("mylib", failing)]).is_error());
    }
    assert_eq!(counts(&mut client, "f"), [1, 0, 0]);
}

#[test]
fn a_call_that_was_ended_is_a_failed_one_and_counted_once_by_its_reason() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    let reasons = |client: &mut Client| {
        ["kills", "timeouts", "memory_refusals", "load_timeouts"]
            .map(|field| client.info_number(&format!("shadow_{field}")))
    };
    load(&mut caller, &callback("while true do pcall(function() while true do end end) end"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("it can be killed", || other.run("SHADOW.FUNCTION KILL").text() == "OK");
    caller.read();
    assert_eq!((counts(&mut other, "f"), reasons(&mut other)), ([1, 0, 1], [1, 0, 0, 0]));

    other.run("CONFIG SET shadow.read-only-timeout 20");
    other.run("SHADOW.FCALL f 0");
    assert_eq!((counts(&mut other, "f"), reasons(&mut other)), ([2, 0, 2], [1, 1, 0, 0]));

    other.run("CONFIG SET shadow.read-only-timeout 0");
    other.run("CONFIG SET shadow.memory-limit 4mb");
    evaluate(&mut other, "local t = {} for i = 1, 1e7 do t[i] = {} end");
    assert_eq!((counts(&mut other, "f"), reasons(&mut other)), ([1, 0, 1], [1, 1, 1, 0]));

    let endless = source("endless", "while true do end");
    let reply = other.call(&["SHADOW.FUNCTION", "LOAD", &endless]);
    assert!(reply.text().contains("FUNCTION LOAD timeout"), "{reply:?}");
    assert_eq!((counts(&mut other, "f"), reasons(&mut other)), ([1, 0, 1], [1, 1, 1, 1]));
}

#[test]
fn a_function_sees_itself_running() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.info("shadow_running_function"), None);
    let before = client.run("TIME").items()[0].text().parse::<u64>().expect("seconds") * 1000;
    let text = evaluate(&mut client, "return redis.call('INFO', 'shadow')").text();
    assert!(text.contains("shadow_running_function:f\r\n"), "{text}");
    assert!(!text.contains("shadow_running_script:"), "{text}");
    let since = text.split("shadow_running_since_ms:").nth(1).and_then(|rest| rest.lines().next()).expect("a time");
    let since: u64 = since.parse().expect("a number");
    assert!((before..before + 60_000).contains(&since), "{since} after {before}");
    assert!(text.contains("shadow_calls:0\r\n"), "a call is counted when it has ended");
    assert_eq!(client.info("shadow_running_function"), None);
}

#[test]
fn a_crash_report_names_the_function_that_ran() {
    let mut server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &source("other", "redis.register_function('before', function() end)"));
    caller.run("SHADOW.FCALL before 0");
    load(&mut caller, &callback("while true do end"));
    // After the report the server would try out all of its memory, and with it what a sanitizer keeps beside.
    other.run("CONFIG SET crash-memcheck-enabled no");
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("it runs", || other.run("SHADOW.FUNCTION STATS").field("running_script") != Some(Value::Null));
    let sent = Command::new("kill").args(["-SEGV", &server.pid().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    assert!(!server.wait_for_exit().success());
    let log = server.log();
    assert!(log.contains("shadow_running_function:f"), "{log}");
    assert!(!log.contains("shadow_function_before:"), "a crash report goes without the functions' lines");
}

#[test]
fn no_more_functions_are_listed_than_a_reply_can_bear() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 1_200);
    load(&mut client, &callback("local n = 0 for i = 1, 2e7 do n = n + i % 7 end return n"));
    let calls: Vec<Vec<String>> =
        (0..1_200).map(|number| ["SHADOW.FCALL", &format!("f{number}"), "0"].map(str::to_owned).to_vec()).collect();
    client.pipeline(&calls);
    client.run("SHADOW.FCALL f 0");
    let text = client.run("INFO shadow_functionstats").text();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some("# shadow_functionstats"));
    assert_eq!(lines.next(), Some("shadow_functions_called:1201"));
    assert!(lines.next().is_some_and(|line| line.starts_with("shadow_function_f:calls=1,")), "the longest comes first");
    let percentiles = lines.clone().filter(|line| line.starts_with("shadow_latency_percentiles_usec_function_"));
    assert_eq!((lines.clone().count(), percentiles.count()), (1_999, 1_000));
}

#[test]
fn a_flush_leaves_its_mode_its_time_and_its_libraries() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.info("shadow_last_flush_mode"), None);
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    assert_eq!(client.info("shadow_last_flush_mode"), None, "there was nothing to flush");
    for (flush, mode, count) in [("ASYNC", "async", 50), ("SYNC", "sync", 2_000)] {
        load_many(&mut client, count);
        client.run("CONFIG RESETSTAT");
        client.run(&format!("SHADOW.FUNCTION FLUSH {flush}"));
        assert_eq!(client.info("shadow_last_flush_mode").as_deref(), Some(mode));
        assert_eq!(client.info_number("shadow_last_flush_libraries"), count as i64);
        let (usec, command) =
            (client.info_number("shadow_last_flush_usec"), client.command_stat("shadow.function|flush", "usec"));
        assert!(usec as f64 <= command * 1.01 + 10.0, "{usec} of {command}");
        assert!(mode == "async" || usec > 100, "{usec}");
    }
}

#[test]
fn bytes_are_followed_from_held_to_pending_to_freed() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    let empty = client.info_number("shadow_registry_bytes");
    assert_eq!(empty, 0);
    load_many(&mut client, 500);
    let held = client.info_number("shadow_vm_bytes") + client.info_number("shadow_registry_bytes");
    assert!(client.info_number("shadow_registry_bytes") > 500 * 100);
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    let pending = client.info_number("shadow_pending_bytes");
    assert!((pending - held).abs() < held / 100, "{pending} of {held}");
    assert_eq!(client.info_number("shadow_pending_libraries"), 500);
    assert_eq!(client.info_number("shadow_registry_bytes"), 0);
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    wait_until("it is freed", || client.info_number("shadow_freed_bytes") == pending);
    assert_eq!(client.info_number("shadow_pending_bytes"), 0);
    assert_eq!(client.info_number("shadow_freed_libraries"), 500);
}

/// The fields of the section that only grow.
const COUNTERS: [&str; 12] = [
    "calls",
    "rejected_calls",
    "failed_calls",
    "memory_refusals",
    "timeouts",
    "load_timeouts",
    "kills",
    "flushes",
    "flushes_in_place",
    "freed_libraries",
    "freed_bytes",
    "spares_missed",
];

fn counters(client: &mut Client) -> [i64; 12] {
    COUNTERS.map(|field| client.info_number(&format!("shadow_{field}")))
}

/// A server on which every counter but that of the missed spares has counted, and `f` was called.
fn busy_server() -> (Server, Client) {
    let server = Options::new()
        .module_arguments("enable-debug-command yes reclaim-queue 1 read-only-timeout 50 memory-limit 8mb")
        .set("busy-reply-threshold", "100")
        .set("appendonly", "yes")
        .set("appendfsync", "always")
        .start();
    let (mut caller, mut client) = (server.client(), server.client());
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    for _ in 0..4 {
        load_many(&mut client, 1);
        client.run("SHADOW.FUNCTION FLUSH ASYNC");
    }
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    evaluate(&mut client, "while true do end");
    evaluate(&mut client, "return ('x'):rep(1e8)");
    client.call(&["SHADOW.FUNCTION", "LOAD", &source("endless", "while true do end")]);
    load(&mut client, &callback("redis.call('SET', 'key', 'v') while true do end"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("it can be killed", || client.run("SHADOW.FUNCTION KILL FORCE").text() == "OK");
    caller.read();
    client.run("SHADOW.FCALL_RO f 0");
    wait_until("all is freed", || client.info_number("shadow_pending_libraries") == 0);
    let counted = counters(&mut client);
    assert!(counted[..11].iter().all(|count| *count > 0), "{counted:?}");
    (server, client)
}

#[test]
fn a_reset_begins_every_counter_at_zero_and_loses_nothing_else() {
    let (server, mut client) = busy_server();
    let state = |client: &mut Client| {
        ["libraries", "functions", "registry_bytes", "memory_limit", "last_flush_libraries", "reclaim_alive"]
            .map(|field| client.info_number(&format!("shadow_{field}")))
    };
    let before = state(&mut client);
    assert_eq!(counts(&mut client, "f"), [1, 1, 1]);
    assert_eq!(client.run("SHADOW.FUNCTION RESETSTAT").text(), "OK");
    assert_eq!(counters(&mut client), [0; 12]);
    assert!(line(&mut client, "f").is_empty());
    assert_eq!(client.info_number("shadow_functions_called"), 0);
    assert_eq!(state(&mut client), before);
    client.run("SHADOW.FCALL_RO f 0");
    assert_eq!(counts(&mut client, "f"), [0, 1, 0]);
    let written = server.aof();
    assert!(!written.iter().any(|command| command[1].eq_ignore_ascii_case("RESETSTAT")), "it stays on its node");
}

#[test]
fn a_reset_begins_the_counters_of_scripts_at_zero_and_loses_none() {
    let server = impatient();
    let (mut caller, mut client) = (server.client(), server.client());
    client.run("CONFIG SET shadow.read-only-timeout 20");
    client.call(&["SHADOW.EVAL", "while true do end", "0"]);
    client.run("CONFIG SET shadow.read-only-timeout 0");
    client.run("SHADOW.SCRIPT FLUSH ASYNC");
    wait_until("all is freed", || client.info_number("shadow_scripts_pending") == 0);
    client.call(&["SHADOW.EVALSHA", RETURN_1, "0"]);
    caller.send(&["SHADOW.EVAL", "while true do end", "0"]);
    wait_until("it can be killed", || client.run("SHADOW.SCRIPT KILL").text() == "OK");
    caller.read();
    let script = cache(&mut client, "#!lua\nerror('x')");
    client.call(&["SHADOW.EVALSHA", &script, "0"]);
    client.call(&["SHADOW.EVALSHA_RO", &script, "0"]);
    let counted = [
        "calls",
        "rejected_calls",
        "failed_calls",
        "missed_calls",
        "timeouts",
        "kills",
        "flushes",
        "freed",
        "freed_bytes",
    ];
    let counters = |client: &mut Client| counted.map(|field| client.info_number(&format!("shadow_scripts_{field}")));
    assert!(counters(&mut client).iter().all(|count| *count > 0), "{:?}", counters(&mut client));
    assert_eq!(counts_of_script(&mut client, &script), [1, 1, 1]);
    assert_eq!(client.run("SHADOW.FUNCTION RESETSTAT").text(), "OK");
    assert_eq!(counters(&mut client), [0; 9]);
    assert_eq!(client.info_number("shadow_scripts_evicted"), 0);
    assert_eq!(counts_of_script(&mut client, &script), [0, 0, 0]);
    assert_eq!(client.info_number("shadow_scripts_called"), 0);
    assert_eq!(client.info_number("shadow_scripts"), 2);
}

#[test]
fn the_servers_own_reset_leaves_the_counters_of_the_module() {
    let server = Server::start();
    let mut client = server.client();
    evaluate(&mut client, "return 1");
    assert_eq!(client.run("CONFIG RESETSTAT").text(), "OK");
    assert_eq!(counts(&mut client, "f"), [1, 0, 0]);
}

#[test]
fn a_reset_waits_for_a_running_function() {
    let server = impatient();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &callback("while true do end"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("the server is busy", || other.run("SHADOW.FUNCTION RESETSTAT").text().starts_with("BUSY "));
    other.run("SHADOW.FUNCTION KILL");
    caller.read();
    assert_eq!(counts(&mut other, "f"), [1, 0, 1]);
    assert!(other.call(&["EVAL", "return redis.call('shadow.function', 'resetstat')", "0"]).is_error());
    assert!(evaluate(&mut other, "return redis.call('shadow.function', 'resetstat')").is_error());
    assert_eq!(
        other.run("SHADOW.FUNCTION RESETSTAT x").text(),
        "ERR wrong number of arguments for 'shadow.function|resetstat' command"
    );
    assert_eq!(counts(&mut other, "f"), [1, 0, 1]);
}
