//! Profiles: where the time of functions and scripts goes, and what a profile costs in memory.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::kill::busy;
use crate::security::impatient;
use crate::support::library::{callback, load, source};
use crate::support::replicas::{replica_of, wait_in_step};
use crate::support::scripts::digest;
use crate::support::{Client, Options, Server, Value, wait_until};

/// Spends its time in three places, as the numbers of its rounds are.
const PLACES: &str = "local function sixty() local x = 0 for i = 1, 60000 do x = x + i % 7 end return x end\n\
                      local function thirty() local x = 0 for i = 1, 30000 do x = x + i % 7 end return x end\n\
                      local function ten() local x = 0 for i = 1, 10000 do x = x + i % 7 end return x end\n\
                      local function work() local n = 0 for i = 1, 20 do n = n + sixty() + thirty() + ten() end return n end\n";

/// The stacks and their samples.
fn folded(client: &mut Client, container: &str) -> Vec<(Vec<String>, u64)> {
    let reply = client.call(&[container, "PROFILE", "GET"]);
    assert!(matches!(reply, Value::Bulk(_)), "{reply:?}");
    let text = reply.text();
    text.lines()
        .map(|line| {
            let (stack, samples) = line.rsplit_once(' ').expect("a space before the samples");
            (stack.split(';').map(str::to_owned).collect(), samples.parse().expect("a number of samples"))
        })
        .collect()
}

fn total(stacks: &[(Vec<String>, u64)]) -> u64 {
    stacks.iter().map(|(_, samples)| samples).sum()
}

/// Those of which it is known where they belong.
fn taken(stacks: &[(Vec<String>, u64)]) -> u64 {
    stacks.iter().filter(|(stack, _)| stack[0] != "(missed)").map(|(_, samples)| samples).sum()
}

/// The share of the samples in whose stacks a frame begins like this, in percent.
fn share(stacks: &[(Vec<String>, u64)], frame: &str) -> f64 {
    let inside = stacks.iter().filter(|(stack, _)| stack.iter().any(|known| known.starts_with(frame)));
    let inside: u64 = inside.map(|(_, samples)| samples).sum();
    100.0 * inside as f64 / taken(stacks) as f64
}

fn run_ok(client: &mut Client, line: &str) {
    assert_eq!(client.run(line).text(), "OK", "{line}");
}

fn profiled_with(jit: &str) -> Server {
    Options::new().module_arguments(&format!("jit {jit}")).start()
}

/// Calls until there are that many samples, and gives them.
fn sampled(client: &mut Client, container: &str, call: &[&str], samples: u64) -> Vec<(Vec<String>, u64)> {
    loop {
        let reply = client.call(call);
        assert!(!reply.is_error(), "{reply:?}");
        let stacks = folded(client, container);
        if taken(&stacks) >= samples {
            return stacks;
        }
    }
}

/// For how long a server's main thread has run, and has waited for other programs, in nanoseconds.
struct Processor {
    ran: f64,
    waited: f64,
}

impl Processor {
    fn of(server: &Server) -> Self {
        let times = std::fs::read_to_string(format!("/proc/{}/schedstat", server.pid())).unwrap_or_default();
        let mut times = times.split_whitespace().map(|time| time.parse().expect("nanoseconds"));
        Self { ran: times.next().unwrap_or(1.0), waited: times.next().unwrap_or(0.0) }
    }

    /// By how many points of a hundred shares of time may be off because the thread lost the processor now and then:
    /// the place that it was at has that time, too. On a machine that does nothing else it is about 0.
    fn noise_since(&self, before: &Self) -> f64 {
        const ONE_WAIT: f64 = 12e6;
        let (ran, waited) = (self.ran - before.ran, self.waited - before.waited);
        // Three deviations of a share of so many waits, some of which are longer than others.
        let deviation = 100.0 * 0.5 * 1.5 / (waited / ONE_WAIT).max(1.0).sqrt();
        3.0 * deviation * waited / (ran + waited)
    }
}

#[test]
fn shares_of_time_are_those_of_the_work() {
    let script = format!("{PLACES}return work()");
    for jit in ["off", "always"] {
        let server = profiled_with(jit);
        let mut client = server.client();
        load(&mut client, &source("places", &format!("{PLACES}redis.register_function('f', work)")));
        for (container, call) in
            [("SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"][..]), ("SHADOW.SCRIPT", &["SHADOW.EVAL", &script, "0"])]
        {
            run_ok(&mut client, &format!("{container} PROFILE START HZ 5000 SECONDS 3600"));
            let before = Processor::of(&server);
            let mut misses = Vec::new();
            for samples in (1..=6).map(|round| round * 10_000) {
                let stacks = sampled(&mut client, container, call, samples);
                let tolerated = 2.0 + Processor::of(&server).noise_since(&before);
                let shares = [("sixty (", 60.0), ("thirty (", 30.0), ("ten (", 10.0)];
                let shares = shares.map(|(frame, expected)| (frame, share(&stacks, frame), expected, tolerated));
                let is_off = |expected: f64, found: f64, tolerated| (found - expected).abs() > tolerated;
                misses = shares.into_iter().filter(|&(_, found, expected, _)| is_off(expected, found, 2.0)).collect();
                if misses.is_empty() {
                    break;
                }
                misses.retain(|&(_, found, expected, tolerated)| is_off(expected, found, tolerated));
            }
            assert!(misses.is_empty(), "jit {jit}, {container}: {misses:?}");
            run_ok(&mut client, &format!("{container} PROFILE STOP"));
        }
        let native = client.info_number("shadow_native_functions");
        assert_eq!(native > 0, jit == "always", "{native} functions are machine code");
    }
}

#[test]
fn frames_have_their_files_and_lines() {
    let body = "local function spin()\n\
                    local x = 0\n\
                    for i = 1, 200000 do\n\
                        x = x + i\n\
                    end\n\
                    return x\n\
                end\n\
                redis.register_function('f', function()\n\
                    local n = 1\n\
                    for i = 1, 10 do\n\
                        n = n +\n\
                            spin()\n\
                    end\n\
                    return n\n\
                end)";
    // The edge of a loop: compiled code looks for something to do where the body begins.
    for (jit, edge) in [("off", "spin (mylib:4)"), ("always", "spin (mylib:5)")] {
        let server = profiled_with(jit);
        let mut client = server.client();
        load(&mut client, &source("mylib", body));
        run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000");
        let stacks = sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 100);
        // On a machine that is busy many are missed.
        let known = stacks.iter().filter(|(stack, _)| stack[0] != "(missed)");
        let (most, samples) = known.max_by_key(|(_, samples)| samples).expect("a stack");
        assert_eq!(most[..], ["f", "(anonymous) (mylib:13)", edge], "jit {jit}: {stacks:?}");
        assert!(samples * 10 > taken(&stacks) * 9, "jit {jit}: {stacks:?}");
    }
}

#[test]
fn an_inner_command_is_a_leaf_for_as_long_as_it_takes() {
    let server = Server::start();
    let mut client = server.client();
    let body = "redis.register_function('fill', function(keys)\n\
                    for i = 1, 300 do\n\
                        local t = {}\n\
                        for j = 1, 1000 do t[j] = (i * j) % 997 end\n\
                        redis.call('RPUSH', keys[1], unpack(t))\n\
                    end\n\
                end)\n\
                redis.register_function('f', function(keys)\n\
                    redis.call('sort', keys[1], 'LIMIT', '0', '1')\n\
                    return redis.pcall('Sort', keys[1], 'LIMIT', '0', '1')\n\
                end)";
    load(&mut client, &source("mylib", body));
    client.run("SHADOW.FCALL fill 1 list");
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000");
    let stacks = sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "1", "list"], 500);
    for stack in
        [["f", "(anonymous) (mylib:10)", "redis.call SORT"], ["f", "(anonymous) (mylib:11)", "redis.pcall SORT"]]
    {
        let samples = stacks.iter().find(|(known, _)| known[..] == stack).map_or(0, |(_, samples)| *samples);
        assert!(samples * 10 > taken(&stacks), "{stack:?} of {stacks:?}");
    }
    assert!(share(&stacks, "redis.call SORT") + share(&stacks, "redis.pcall SORT") > 90.0, "{stacks:?}");
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE STOP");
    // A sample is counted for each period that a command has taken, or is missed where the machine is busy.
    let (calls, spent) = (client.info("shadow_function_f").expect("its statistics"), total(&stacks));
    let usec = calls.split(',').find_map(|field| field.strip_prefix("usec=")).expect("its time");
    let expected = usec.parse::<u64>().expect("a number") / 1_000;
    assert!((expected / 2..=expected * 2).contains(&spent), "{spent} samples in {expected} milliseconds");
}

#[test]
fn coroutines_and_natives_are_frames() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local function inner() for i = 1, 100000 do end end\n\
                local function first(a, b) for i = 1, 100 do end return a < b end\n\
                redis.register_function('f', function()\n\
                    for i = 1, 10 do coroutine.wrap(inner)() end\n\
                    local t = {}\n\
                    for i = 1, 1000 do t[i] = i * 7919 % 1000 end\n\
                    table.sort(t, first)\n\
                end)";
    load(&mut client, &source("mylib", body));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 2000");
    let call = &["SHADOW.FCALL", "f", "0"];
    let has = |stacks: &[(Vec<String>, u64)], frames: &[&str]| {
        stacks.iter().any(|(stack, _)| stack.windows(frames.len()).any(|window| window == frames))
    };
    wait_until("both are seen", || {
        let stacks = sampled(&mut client, "SHADOW.FUNCTION", call, 1);
        has(&stacks, &["(coroutine)", "inner (mylib:2)"])
            && has(&stacks, &["(anonymous) (mylib:8)", "sort", "first (mylib:3)"])
    });
    let stacks = folded(&mut client, "SHADOW.FUNCTION");
    assert!(stacks.iter().all(|(stack, _)| stack[0] == "f" || stack[0] == "(missed)"), "{stacks:?}");
    let coroutine = stacks.iter().find(|(stack, _)| stack.iter().any(|frame| frame == "(coroutine)"));
    assert_eq!(coroutine.expect("it was seen").0[1], "(anonymous) (mylib:5)");
}

#[test]
fn what_the_engine_adds_to_a_call_is_no_frame() {
    let server = Options::new().module_arguments("memory-limit 64mb").start();
    let mut client = server.client();
    load(&mut client, &callback("for i = 1, 1e6 do end"));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000");
    let stacks = sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 50);
    let only = |stack: &[String]| stack == ["f", "(anonymous) (mylib:2)"] || stack == ["(missed)"];
    assert!(stacks.iter().all(|(stack, _)| only(stack)), "{stacks:?}");
}

#[test]
fn code_that_was_loaded_from_a_string_has_that_for_its_file() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local f = loadstring('\\n\\nfor i = 1, 1e6 do end', '=made here') return f()";
    load(&mut client, &callback(body));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000");
    let stacks = sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 50);
    assert!(share(&stacks, "(anonymous) (made_here:3)") > 50.0, "{stacks:?}");
}

#[test]
fn one_function_or_one_script_can_be_chosen() {
    let server = Server::start();
    let mut client = server.client();
    let body = "redis.register_function('Spin', function() for i = 1, 1e6 do end end)\n\
                redis.register_function('other', function() for i = 1, 1e6 do end end)";
    load(&mut client, &source("mylib", body));
    let (one, other) = ("for i = 1, 1e6 do end", "for i = 1, 1e6 do end return 2");
    for script in [one, other] {
        client.call(&["SHADOW.SCRIPT", "LOAD", script]);
    }
    let (one, other) = (digest(one), digest(other));
    for (container, chosen, root, calls) in [
        (
            "SHADOW.FUNCTION",
            "FUNCTION sPIN",
            "Spin",
            ["SHADOW.FCALL spin 0".to_owned(), "SHADOW.FCALL other 0".to_owned()],
        ),
        (
            "SHADOW.SCRIPT",
            &*format!("SCRIPT {}", one.to_uppercase()),
            &*one,
            [format!("SHADOW.EVALSHA {one} 0"), format!("SHADOW.EVALSHA {other} 0")],
        ),
    ] {
        run_ok(&mut client, &format!("{container} PROFILE START HZ 1000 {chosen}"));
        wait_until("there are samples", || {
            for call in &calls {
                assert!(!client.run(call).is_error(), "{call}");
            }
            taken(&folded(&mut client, container)) >= 50
        });
        let stacks = folded(&mut client, container);
        assert!(stacks.iter().all(|(stack, _)| stack[0] == root), "{stacks:?}");
        let file = if root == "Spin" { "mylib" } else { root };
        assert!(share(&stacks, &format!("(anonymous) ({file}:")) > 90.0, "{stacks:?}");
        run_ok(&mut client, &format!("{container} PROFILE STOP"));
    }
}

#[test]
fn both_forms_have_the_same_samples_in_both_protocols() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("places", &format!("{PLACES}redis.register_function('f', work)")));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000 FUNCTION f");
    sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 100);
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE STOP");
    let plain = client.run("shadow.function profile get");
    assert_eq!(client.run("SHADOW.FUNCTION PROFILE GET folded"), plain);
    let stacks = folded(&mut client, "SHADOW.FUNCTION");
    let speedscope = client.run("SHADOW.FUNCTION PROFILE GET SPEEDSCOPE").text();
    let file: Json = serde_json::from_str(&speedscope).expect("JSON");
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let profile = &file["profiles"][0];
    assert_eq!((&profile["type"], &profile["unit"]), (&"sampled".into(), &"none".into()));
    assert_eq!(profile["name"], "f, 1000 Hz");
    let weights: Vec<u64> = profile["weights"]
        .as_array()
        .expect("weights")
        .iter()
        .map(|weight| weight.as_u64().expect("a number"))
        .collect();
    assert_eq!(weights, stacks.iter().map(|(_, samples)| *samples).collect::<Vec<_>>());
    assert_eq!(profile["endValue"], total(&stacks));
    let frame = |number: &Json| file["shared"]["frames"][number.as_u64().expect("a number") as usize].clone();
    for (stack, (shown, _)) in profile["samples"].as_array().expect("samples").iter().zip(&stacks) {
        for (number, shown) in stack.as_array().expect("a stack").iter().zip(shown) {
            let frame = frame(number);
            let name = frame["name"].as_str().expect("a name");
            let place = frame["file"].as_str().map(|file| format!(" ({file}:{})", frame["line"]));
            assert_eq!(format!("{name}{}", place.unwrap_or_default()), *shown);
        }
    }
    client.hello3();
    for (form, text) in [("FOLDED", plain.text()), ("SPEEDSCOPE", speedscope)] {
        let reply = client.run(&format!("SHADOW.FUNCTION PROFILE GET {form}"));
        assert_eq!(reply, Value::Verbatim("txt".to_owned(), text.into_bytes()));
    }
}

#[test]
fn a_busy_function_is_profiled_and_can_be_ended_meanwhile() {
    let server = impatient();
    let busy = busy(&server);
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &callback("local n = 0 while true do n = n + 1 end"));
    caller.send(&["SHADOW.FCALL", "f", "0"]);
    wait_until("the server is busy", || other.run("GET x").text() == busy);
    // As often as it can be: the others are let in all the same.
    run_ok(&mut other, "SHADOW.FUNCTION PROFILE START HZ 10000");
    wait_until("there are samples", || taken(&folded(&mut other, "SHADOW.FUNCTION")) > 1_000);
    assert!(share(&folded(&mut other, "SHADOW.FUNCTION"), "(anonymous) (mylib:2)") > 99.0);
    run_ok(&mut other, "SHADOW.FUNCTION PROFILE STOP");
    let ended = other.run("SHADOW.FUNCTION PROFILE GET");
    assert_eq!(other.run("GET x").text(), busy);
    assert_eq!(other.run("SHADOW.FUNCTION PROFILE GET"), ended);
    run_ok(&mut other, "SHADOW.FUNCTION PROFILE START HZ 10000");
    run_ok(&mut other, "SHADOW.FUNCTION KILL");
    assert!(caller.read().is_error());
    assert_eq!(other.run("PING").text(), "PONG");
}

#[test]
fn a_profile_keeps_no_call_from_becoming_overdue() {
    let server = Options::new().module_arguments("read-only-timeout 100").set("busy-reply-threshold", "0").start();
    let mut client = server.client();
    let loops = "while true do end";
    let calls = "while true do redis.call('EXISTS', 'x') end";
    for hertz in [10_000, 1_000, 100] {
        run_ok(&mut client, &format!("SHADOW.FUNCTION PROFILE START HZ {hertz}"));
        for body in [loops, calls] {
            load(&mut client, &callback(body));
            let reply = client.run("SHADOW.FCALL f 0");
            assert!(reply.text().contains("Script timed out"), "{body} at {hertz}: {reply:?}");
        }
        run_ok(&mut client, "SHADOW.FUNCTION PROFILE STOP");
    }
}

#[test]
fn a_replica_has_a_profile_of_its_own() {
    let master = Server::start();
    let replica = replica_of(&master);
    let (mut above, mut below) = (master.client(), replica.client());
    let body = "redis.register_function{function_name = 'f', flags = {'no-writes'}, \
                callback = function() for i = 1, 1e6 do end end}";
    load(&mut above, &source("mylib", body));
    wait_in_step(&master, &replica);
    run_ok(&mut below, "SHADOW.FUNCTION PROFILE START HZ 1000");
    let stacks = sampled(&mut below, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 50);
    assert!(share(&stacks, "f") > 90.0, "{stacks:?}");
    assert!(above.run("SHADOW.FUNCTION PROFILE GET").is_error());
    let offset = above.info("master_repl_offset");
    run_ok(&mut above, "SHADOW.FUNCTION PROFILE START");
    run_ok(&mut above, "SHADOW.FUNCTION PROFILE STOP");
    assert_eq!(above.run("SHADOW.FUNCTION PROFILE GET").text(), "");
    assert_eq!(above.info("master_repl_offset"), offset, "nothing is sent");
}

#[test]
fn a_profile_ends_by_itself_and_stays_until_the_next() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("for i = 1, 1e6 do end"));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 1000 SECONDS 1");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        assert!(!client.run("SHADOW.FCALL f 0").is_error());
    }
    let last = folded(&mut client, "SHADOW.FUNCTION");
    assert!((1..=1_001).contains(&total(&last)), "{last:?}");
    for _ in 0..10 {
        client.run("SHADOW.FCALL f 0");
    }
    assert_eq!(client.run("SHADOW.FUNCTION PROFILE STOP").text(), "ERR No profile of functions is running");
    assert_eq!(folded(&mut client, "SHADOW.FUNCTION"), last);
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START");
    assert_eq!(client.run("SHADOW.FUNCTION PROFILE GET").text(), "");
}

/// The memory that a server takes does not follow what is sampled.
#[test]
fn many_stacks_take_bounded_memory() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local function a(n) if n == 0 then for i = 1, 50 do end return 0 end\n\
                    return math.random() < 0.5 and a(n - 1) + 1 or\n\
                        a(n - 1) + 2 end\n\
                redis.register_function('f', function(keys, args)\n\
                    for i = 1, 2000 do\n\
                        a(math.random(100))\n\
                        redis.pcall('no such ' .. math.random(1e9))\n\
                    end\n\
                end)";
    load(&mut client, &source("mylib", body));
    client.run("SHADOW.FCALL f 0");
    let before = client.info_number("used_memory");
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START HZ 10000 SECONDS 3600");
    let stacks = sampled(&mut client, "SHADOW.FUNCTION", &["SHADOW.FCALL", "f", "0"], 30_000);
    let after = client.info_number("used_memory");
    assert!(after - before < 24 << 20, "{before} to {after} bytes");
    let has = |frame: &str| stacks.iter().any(|(stack, _)| stack.iter().any(|known| known == frame));
    assert!(has("(cut)"), "{} stacks", stacks.len());
    assert!(stacks.iter().all(|(stack, _)| stack.len() <= 67));
    assert!(stacks.iter().flat_map(|(stack, _)| stack).any(|frame| frame.starts_with("redis.pcall NO_SUCH_")));
}

#[test]
fn bad_words_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("for i = 1, 1e5 do end"));
    let no_script = client.run("SHADOW.SCRIPT SHOW x").text();
    assert!(no_script.starts_with("NOSCRIPT "));
    for (container, kind, one, missing) in [
        ("SHADOW.FUNCTION", "functions", "FUNCTION", "ERR Function not found"),
        ("SHADOW.SCRIPT", "scripts", "SCRIPT", &*no_script),
    ] {
        let hertz = "ERR HZ must be a whole number from 1 to 10000";
        let seconds = "ERR SECONDS must be a whole number from 1 to 3600";
        let unknown = |word: &str| {
            format!("ERR unknown subcommand or wrong number of arguments for '{word}'. Try {container} PROFILE HELP.")
        };
        let none = format!("ERR No profile of {kind} is running");
        let never = format!("ERR There is no profile of {kind}, PROFILE START begins one");
        for (words, expected) in [
            ("", format!("ERR wrong number of arguments for '{}|profile' command", container.to_lowercase())),
            ("GET", never.clone()),
            ("GET SPEEDSCOPE", never),
            ("GET x", "ERR Unknown argument x".to_owned()),
            ("GET FOLDED x", unknown("GET")),
            ("STOP", none.clone()),
            ("STOP x", unknown("STOP")),
            ("HELP x", unknown("HELP")),
            ("BEGIN", unknown("BEGIN")),
            ("START HZ 0", hertz.to_owned()),
            ("START HZ 10001", hertz.to_owned()),
            ("START HZ -1", hertz.to_owned()),
            ("START HZ +1", hertz.to_owned()),
            ("START HZ 1.5", hertz.to_owned()),
            ("START HZ x", hertz.to_owned()),
            ("START HZ 99999999999999999999", hertz.to_owned()),
            ("START SECONDS 0", seconds.to_owned()),
            ("START SECONDS 3601", seconds.to_owned()),
            ("START SECONDS 1e3", seconds.to_owned()),
            ("START HZ", "ERR HZ needs a value".to_owned()),
            ("START HZ 10 SECONDS", "ERR SECONDS needs a value".to_owned()),
            ("START HZ 10 HZ 10", "ERR Unknown argument HZ".to_owned()),
            ("START x", "ERR Unknown argument x".to_owned()),
            (&format!("START {one}"), format!("ERR {one} needs a value")),
            (&format!("START {one} nosuch"), missing.to_owned()),
            ("STOP", none.clone()),
        ] {
            assert_eq!(client.run(&format!("{container} PROFILE {words}")).text(), expected, "{container}: {words}");
        }
        let reply = client.call(&[container, "PROFILE", "START", "HZ", ""]);
        assert_eq!(reply.text(), hertz);
        let reply = client.call(&[container, "PROFILE", "START", "a\r\nb"]);
        assert_eq!(reply.text(), "ERR Unknown argument a  b");
    }
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE START");
    let running = "ERR A profile of functions is running already";
    for container in ["SHADOW.FUNCTION", "SHADOW.SCRIPT"] {
        assert_eq!(client.run(&format!("{container} PROFILE START")).text(), running);
    }
    assert_eq!(client.run("SHADOW.SCRIPT PROFILE STOP").text(), "ERR No profile of scripts is running");
    assert!(client.run("SHADOW.SCRIPT PROFILE GET").text().starts_with("ERR There is no profile of scripts"));
    run_ok(&mut client, "SHADOW.FUNCTION PROFILE STOP");
    run_ok(&mut client, "SHADOW.SCRIPT PROFILE START");
    assert!(client.run("SHADOW.FUNCTION PROFILE GET").text().starts_with("ERR There is no profile of functions"));
    run_ok(&mut client, "SHADOW.SCRIPT PROFILE STOP");
    assert_eq!(client.run("SHADOW.SCRIPT PROFILE GET").text(), "");
}

#[test]
fn help_names_the_subcommands() {
    let server = Server::start();
    let mut client = server.client();
    for (container, one) in [("SHADOW.FUNCTION", "FUNCTION"), ("SHADOW.SCRIPT", "SCRIPT")] {
        let lines: Vec<String> =
            client.run(&format!("{container} PROFILE HELP")).items().iter().map(Value::text).collect();
        assert_eq!(lines[0], format!("{container} PROFILE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        let words: Vec<&str> =
            lines[1..].iter().filter_map(|line| line.split(' ').next()).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["START", "STOP", "GET", "HELP"]);
        assert!(lines[1].contains(&format!("[{one} <")), "{}", lines[1]);
    }
}
