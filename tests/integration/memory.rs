//! The limit of the VM's memory.

use crate::support::library::{callback, evaluate, load, load_command, load_many, numbered, source};
use crate::support::{Client, Options, Server, Value, Words, wait_until};

const OOM: &str = "OOM functions are not allowed to use more memory than 'shadow.memory-limit'.";
const MIB: i64 = 1 << 20;

/// What follows the error of `f`.
fn place(server: &Server) -> String {
    Words::of(server).place("f", 2)
}

/// Keeps 4 MiB, which a limit of 4 MiB has no room for.
const LARGE: &str = "local t = {} for i = 1, 64 do t[i] = ('x'):rep(65536) .. i end return #t";

fn limited(limit: &str) -> Server {
    Options::new().module_arguments(&format!("memory-limit {limit}")).start()
}

/// A library that keeps about as many bytes.
fn keeper(name: &str, bytes: usize) -> String {
    let body = format!("local kept = {{}} for i = 1, {} do kept[i] = {{i, i}} end", bytes / 100);
    source(name, &format!("{body}\nredis.register_function('{name}', function() return #kept end)"))
}

fn set_limit(client: &mut Client, limit: &str) {
    assert_eq!(client.call(&["CONFIG", "SET", "shadow.memory-limit", limit]).text(), "OK");
}

#[test]
fn a_function_over_the_limit_is_ended_and_others_go_on() {
    let server = limited("4mb");
    let mut client = server.client();
    load_many(&mut client, 20);
    for round in 1..=5 {
        assert_eq!(evaluate(&mut client, LARGE).text(), format!("{OOM}{}", place(&server)));
        assert_eq!(client.run("SHADOW.FCALL f7 0"), Value::Integer(7));
        assert_eq!(evaluate(&mut client, "return #('x'):rep(2e6)"), Value::Integer(2_000_000));
        assert_eq!(client.info_number("shadow_memory_refusals"), round);
        assert!(client.info_number("shadow_vm_bytes") <= 4 * MIB);
    }
    assert_eq!(client.info_number("shadow_libraries"), 21);
    assert!(client.info("errorstat_OOM").is_some(), "the error's code is its first word");
}

#[test]
fn what_a_function_wrote_before_stays() {
    let server = limited("4mb");
    let mut client = server.client();
    let body = format!("redis.call('SET', 'key', 'v') {LARGE}");
    assert_eq!(evaluate(&mut client, &body).text(), format!("{OOM}{}", place(&server)));
    assert_eq!(client.run("GET key").text(), "v");
}

#[test]
fn a_script_can_catch_it() {
    let server = limited("4mb");
    let mut client = server.client();
    let body = format!("local ok, reason = pcall(function() {LARGE} end) return tostring(ok) .. ' ' .. reason");
    assert_eq!(evaluate(&mut client, &body).text(), "false not enough memory");
    assert_eq!(client.info_number("shadow_memory_refusals"), 0);
}

#[test]
fn replies_and_arguments_of_commands_count() {
    let server = limited("4mb");
    let mut client = server.client();
    client.call(&["SET", "large", &"x".repeat(5_000_000)]);
    client.call(&["SET", "fine", &"x".repeat(1_000_000)]);
    assert_eq!(evaluate(&mut client, "return redis.call('GET', 'large')").text(), format!("{OOM}{}", place(&server)));
    assert_eq!(evaluate(&mut client, "return #redis.pcall('GET', 'fine')"), Value::Integer(1_000_000));
    let many = "local s = ('x'):rep(1e6) return redis.call('RPUSH', 'list', s, s, s, s, s, s)";
    assert_eq!(evaluate(&mut client, many).text(), format!("{OOM}{}", place(&server)));
    assert_eq!(client.run("EXISTS list"), Value::Integer(0));
    load(&mut client, &callback("return #ARGV[1]"));
    let (small, large) = ("x".repeat(1_000_000), "x".repeat(5_000_000));
    assert_eq!(client.call(&["SHADOW.FCALL", "f", "0", &small]), Value::Integer(1_000_000));
    assert!(client.call(&["SHADOW.FCALL", "f", "0", &large]).text().starts_with(OOM));
    assert_eq!(client.call(&["SHADOW.FCALL", "f", "0", &small]), Value::Integer(1_000_000));
}

#[test]
fn a_library_over_the_limit_is_refused_and_changes_nothing() {
    let server = limited("4mb");
    let mut client = server.client();
    load_many(&mut client, 3);
    let held = client.info_number("shadow_vm_bytes");
    for _ in 0..3 {
        assert_eq!(client.call(&load_command(&keeper("large", 8 << 20))).text(), OOM);
        let replace = keeper("lib1", 8 << 20);
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &replace]).text(), OOM);
    }
    assert_eq!(client.info_number("shadow_libraries"), 3);
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    assert!(client.info_number("shadow_vm_bytes") < held + MIB / 2);
    load(&mut client, &keeper("small", 1 << 20));
}

#[test]
fn a_payload_over_the_limit_is_refused_and_changes_nothing() {
    let donor = Server::start();
    let mut giver = donor.client();
    for number in 0..4 {
        load(&mut giver, &keeper(&format!("large{number}"), 2 << 20));
    }
    let dump = giver.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let payload = &dump[dump.windows(2).position(|pair| pair == b"\r\n").expect("a length") + 2..dump.len() - 2];
    let server = limited("4mb");
    let mut client = server.client();
    load_many(&mut client, 3);
    for policy in [&b"APPEND"[..], b"REPLACE", b"FLUSH"] {
        let reply = client.call(&[&b"SHADOW.FUNCTION"[..], b"RESTORE", payload, policy]);
        assert_eq!(reply.text(), OOM);
        assert_eq!(client.info_number("shadow_libraries"), 3);
        assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    }
    set_limit(&mut client, "64mb");
    assert_eq!(client.call(&[&b"SHADOW.FUNCTION"[..], b"RESTORE", payload]).text(), "OK");
    assert_eq!(client.info_number("shadow_libraries"), 7);
}

#[test]
fn the_limit_can_be_changed_while_the_server_runs() {
    let server = limited("0");
    let mut client = server.client();
    load(&mut client, &keeper("large", 4 << 20));
    assert_eq!(evaluate(&mut client, LARGE), Value::Integer(64));
    set_limit(&mut client, "2mb");
    assert!(client.info_number("shadow_vm_bytes") > 2 * MIB, "what is there stays");
    assert!(matches!(client.run("SHADOW.FCALL large 0"), Value::Integer(kept) if kept > 1000));
    assert!(client.run("SHADOW.FCALL f 0").text().starts_with(OOM));
    set_limit(&mut client, "64mb");
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(64));
    set_limit(&mut client, "2mb");
    assert!(client.run("SHADOW.FCALL f 0").text().starts_with(OOM));
    set_limit(&mut client, "0");
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(64));
}

#[test]
fn every_new_vm_has_the_limit() {
    let server = limited("0");
    let mut client = server.client();
    wait_until("a spare is ready", || client.info_number("shadow_spare_ready") == 1);
    set_limit(&mut client, "4mb");
    for flush in ["SHADOW.FUNCTION FLUSH ASYNC", "SHADOW.FUNCTION FLUSH SYNC", "SHADOW.FUNCTION FLUSH ASYNC"] {
        assert!(evaluate(&mut client, LARGE).text().starts_with(OOM));
        client.run(flush);
    }
    assert!(evaluate(&mut client, LARGE).text().starts_with(OOM));
}

/// The payload of DUMP.
fn dump(client: &mut Client) -> Vec<u8> {
    match client.run("SHADOW.FUNCTION DUMP") {
        Value::Bulk(payload) => payload,
        other => panic!("no payload: {other:?}"),
    }
}

/// What is done in a VM under limits from what it holds up, in steps smaller than its pages, until it gets through:
/// what the server does in between, and its replies, are real here. `src/engine/refusals.rs` refuses every request.
#[test]
fn what_is_done_under_each_limit_is_done_or_refused_and_others_go_on() {
    const STEP: usize = 2_048;
    const MOST: i64 = 8 * MIB;
    let server = limited("0");
    let mut client = server.client();
    for command in [
        "RPUSH list one two 3 4.5",
        "HSET hash a 1 b two",
        "ZADD sorted 1.5 one 2 two",
        "SADD set one two",
        "XADD stream 1-1 field value",
    ] {
        assert!(!client.run(command).is_error(), "{command}");
    }
    let commands = "
        redis.setresp(RESP)
        local replies = {}
        local function note(...) replies[#replies + 1] = redis.pcall(...) end
        note('LRANGE', 'list', 0, -1) note('HGETALL', 'hash') note('ZRANGE', 'sorted', 0, -1, 'WITHSCORES')
        note('SMEMBERS', 'set') note('XRANGE', 'stream', '-', '+') note('GET', 'list') note('GET', 'nosuch')
        note('SET', 'key', ('y'):rep(3000)) note('GET', 'key') note('nosuch') note('PING')
        return {cjson.encode(replies), replies}";
    let library = |resp: &str| callback(&commands.replace("RESP", resp));
    load(&mut client, &numbered(1));
    load(&mut client, &library("2"));
    let payload = dump(&mut client);
    // Limits are of a MiB at least, so both VMs hold more; what is deployed does, too.
    load(&mut client, &keeper("kept", 2 << 20));
    for number in 0..70 {
        let reply = client.call(&["SHADOW.SCRIPT", "LOAD", &format!("return '{number} {}'", "x".repeat(20_000))]);
        assert!(!reply.is_error(), "{reply:?}");
    }
    let all = [keeper("kept", 1 << 20), numbered(1), library("3")].map(String::into_bytes);
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let with = |line: &str, last: &[u8]| [words(line), vec![last.to_vec()]].concat();
    let functions = "shadow_vm_bytes";
    let scripts = "shadow_scripts_vm_bytes";
    let eval = |resp: &str| [words("SHADOW.EVAL"), vec![commands.replace("RESP", resp).into(), "0".into()]].concat();
    let mut refused = 0;
    for (field, command) in [
        (functions, words("SHADOW.FCALL f 0")),
        (functions, with("SHADOW.FUNCTION LOAD REPLACE", library("3").as_bytes())),
        (functions, words("SHADOW.FCALL f 0")),
        (functions, [words("SHADOW.FUNCTION RESTORE"), vec![payload, b"REPLACE".to_vec()]].concat()),
        (functions, [words("SHADOW.FUNCTION DEPLOY VERSION v1"), all.to_vec()].concat()),
        (scripts, eval("2")),
        (scripts, eval("3")),
        (scripts, with("SHADOW.SCRIPT LOAD", b"return 'another ' .. #KEYS")),
    ] {
        let name = String::from_utf8_lossy(&command[..2].join(&b' ')).trim().lines().next().map(str::to_owned);
        let name = name.expect("the name of a command");
        let bytes = client.info_number(field);
        assert!(bytes > MIB, "{name}: {bytes}");
        // The limit of what is deployed is that of its own VM.
        let least = if name.ends_with("DEPLOY") { MIB } else { bytes };
        for more in (0..MOST).step_by(STEP) {
            set_limit(&mut client, &(least + more).to_string());
            let reply = client.call(&command);
            set_limit(&mut client, "0");
            assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1), "{name}: after {more}");
            assert_eq!(client.call(&["SHADOW.EVAL", "return 1", "0"]), Value::Integer(1), "{name}: after {more}");
            if !reply.is_error() {
                break;
            }
            assert!(reply.text().contains("OOM "), "{name}, {more}: {reply:?}");
            assert!(client.info_number(field) < bytes + MIB / 4, "{name}: after {more}");
            assert!(more < MOST / 2, "{name} needs no more than that");
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
    set_limit(&mut client, "1mb");
    for flush in ["SHADOW.FUNCTION FLUSH SYNC", "SHADOW.SCRIPT FLUSH SYNC"] {
        assert_eq!(client.run(flush).text(), "OK");
    }
    load(&mut client, &numbered(1));
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn garbage_is_not_held_against_a_call() {
    let server = limited("8mb");
    let mut client = server.client();
    load(&mut client, &callback("local s = ('x'):rep(1e6) .. ARGV[1] return #s"));
    for number in 1000..1200 {
        assert_eq!(client.run(&format!("SHADOW.FCALL f 0 {number}")), Value::Integer(1_000_004));
    }
    assert_eq!(client.info_number("shadow_memory_refusals"), 0);
}

#[test]
fn libraries_come_back_from_files_whatever_the_limit() {
    for file in ["snapshot", "append-only file"] {
        let appendonly = if file == "snapshot" { "no" } else { "yes" };
        let options = Options::new().set("appendonly", appendonly).set("appendfsync", "always");
        let mut server = options.clone().module_arguments("memory-limit 0").start();
        let mut client = server.client();
        for number in 0..4 {
            load(&mut client, &keeper(&format!("large{number}"), 2 << 20));
        }
        if file == "snapshot" {
            assert_eq!(client.run("SAVE").text(), "OK");
        }
        server.restart(&options.module_arguments("memory-limit 4mb"));
        let mut client = server.client();
        assert_eq!(client.info_number("shadow_libraries"), 4, "{file}");
        assert!(client.info_number("shadow_vm_bytes") > 4 * MIB, "{file}");
        assert!(matches!(client.run("SHADOW.FCALL large3 0"), Value::Integer(kept) if kept > 1000));
        assert!(client.call(&load_command(&keeper("more", 1 << 20))).text().starts_with(OOM), "{file}");
        client.run("SHADOW.FUNCTION DELETE large0");
        client.run("SHADOW.FUNCTION FLUSH");
        load(&mut client, &keeper("more", 1 << 20));
    }
}

#[test]
fn a_replica_takes_what_its_master_sends_whatever_its_limit() {
    let master = Server::start();
    let replica = limited("4mb");
    let (mut client, mut reader) = (master.client(), replica.client());
    load(&mut client, &keeper("before", 6 << 20));
    reader.call(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    wait_until("the replica has it", || reader.info_number("shadow_libraries") == 1);
    load(&mut client, &keeper("after", 6 << 20));
    wait_until("the replica has both", || reader.info_number("shadow_libraries") == 2);
    let dump = client.raw(&["SHADOW.FUNCTION", "DUMP"]);
    let payload = &dump[dump.windows(2).position(|pair| pair == b"\r\n").expect("a length") + 2..dump.len() - 2];
    client.call(&[&b"SHADOW.FUNCTION"[..], b"RESTORE", payload, b"FLUSH"]);
    load(&mut client, &numbered(1));
    wait_until("the replica has all", || reader.info_number("shadow_libraries") == 3);
    assert!(reader.info_number("shadow_vm_bytes") > 4 * MIB);
}

#[test]
fn all_of_the_vm_is_memory_of_the_server() {
    let server = Server::start();
    let mut client = server.client();
    wait_until("a spare is ready", || client.info_number("shadow_spare_ready") == 1);
    let used = |client: &mut Client| (client.info_number("used_memory"), client.info_number("shadow_vm_bytes"));
    let (server_before, vm_before) = used(&mut client);
    load(&mut client, &keeper("large", 20 << 20));
    let (server_after, vm_after) = used(&mut client);
    let (server_grown, vm_grown) = (server_after - server_before, vm_after - vm_before);
    assert!(vm_grown > 10 * MIB);
    assert!(server_grown >= vm_grown && server_grown < vm_grown + vm_grown / 4, "{server_grown} for {vm_grown}");
}

#[test]
fn a_module_that_nobody_uses_holds_two_small_vms_and_no_spares() {
    let server = Server::start();
    let mut client = server.client();
    let most = 112 << 10;
    for field in ["shadow_vm_bytes", "shadow_scripts_vm_bytes"] {
        let bytes = client.info_number(field);
        assert!((32 << 10..most).contains(&bytes), "{field}: {bytes}");
    }
    // What the first library and the first script take is the worker's spare, above all.
    let before = client.info_number("used_memory");
    load(&mut client, &numbered(1));
    wait_until("a spare is ready", || client.info_number("shadow_spare_ready") == 1);
    let after = client.info_number("used_memory");
    assert!((32 << 10..2 * most).contains(&(after - before)), "{before} to {after}");
}
