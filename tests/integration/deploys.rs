//! SHADOW.FUNCTION DEPLOY, ROLLBACK and VERSIONS: all libraries at once.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::commands::categories_are_choosable;
use crate::library_dir::Deployment;
use crate::replication::{since_last_mark, with_aof};
use crate::support::library::{load, load_many, names, numbered, source};
use crate::support::replicas::{follow, replica_of, replica_with, wait_in_step};
use crate::support::{Client, Flavour, Options, Server, Value, wait_until};

/// The library `name` with a function `f_<name>` that returns `value` and writes nothing.
fn answer(name: &str, value: &str) -> String {
    let callback = format!("function() return '{value}' end");
    let registered = format!("function_name = 'f_{name}', callback = {callback}, flags = {{'no-writes'}}");
    source(name, &format!("redis.register_function{{{registered}}}"))
}

/// What the function of [`answer`] returns.
fn said(client: &mut Client, name: &str) -> String {
    client.run(&format!("SHADOW.FCALL_RO f_{name} 0")).text()
}

/// The command that deploys `libraries`; `options` are words between spaces.
fn command(options: &str, libraries: &[String]) -> Vec<String> {
    let words = ["SHADOW.FUNCTION", "DEPLOY"].into_iter().chain(options.split_whitespace()).map(str::to_owned);
    words.chain(libraries.iter().cloned()).collect()
}

fn deploy(client: &mut Client, options: &str, libraries: &[String]) -> Value {
    client.call(&command(options, libraries))
}

/// What a client does.
type Change<'a> = &'a dyn Fn(&mut Client);

/// Deploys the library `a`, whose function says what the version is called.
#[track_caller]
fn deploy_a(client: &mut Client, version: &str) {
    let reply = deploy(client, &format!("VERSION {version}"), &[answer("a", version)]);
    assert_eq!(reply, bulk(version));
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(numbered).collect()
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn error(text: &str) -> Value {
    Value::Error(text.to_owned())
}

/// What VERSIONS says, the current version first.
fn versions(client: &mut Client) -> Vec<Value> {
    client.run("SHADOW.FUNCTION VERSIONS").items()
}

/// The labels of all versions, the current one first; empty for one without.
fn labels(client: &mut Client) -> Vec<String> {
    versions(client).iter().map(|version| version.field("version").expect("the field").text()).collect()
}

/// What is known of the current version, but for the bytes that it holds here.
fn current(client: &mut Client) -> Vec<Value> {
    let version = versions(client).swap_remove(0);
    let names = ["version", "sha256", "deployed_at_ms", "client", "user", "libraries", "functions", "current"];
    names.iter().map(|name| version.field(name).expect("the field")).collect()
}

fn pending(client: &mut Client) -> i64 {
    client.info_number("shadow_deploys_pending")
}

fn wait_for_pending(client: &mut Client, count: i64) {
    wait_until(&format!("{count} deploys are being built"), || pending(client) == count);
}

fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.run(line).text(), "OK", "{line}");
}

/// The options of a server whose worker can be held.
fn with_faults() -> Options {
    Options::new().module_arguments("enable-debug-command yes")
}

fn hold(client: &mut Client) {
    ok(client, "SHADOW.DEBUG RECLAIM-HOLD");
}

fn release(client: &mut Client) {
    ok(client, "SHADOW.DEBUG RECLAIM-RELEASE");
}

/// Waits until the worker has done all that it had to do before this.
fn wait_for_worker(client: &mut Client) {
    client.call(&["SHADOW.SCRIPT", "LOAD", "return 1"]);
    ok(client, "SHADOW.SCRIPT FLUSH ASYNC");
    wait_until("the worker is idle", || {
        client.info_number("shadow_scripts_pending") == 0 && client.info_number("shadow_reclaim_queue") == 0
    });
}

fn used_memory(client: &mut Client) -> i64 {
    let text = client.run("INFO memory").text();
    let value = text.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("the field");
    value.parse().expect("a number")
}

/// Bytes that INFO tells of libraries, those that are kept included.
fn told_memory(client: &mut Client) -> i64 {
    let fields = ["shadow_registry_bytes", "shadow_vm_bytes", "shadow_kept_versions_bytes"];
    fields.map(|field| client.info_number(field)).iter().sum()
}

fn wait_for_memory(client: &mut Client, before: i64) {
    wait_until(&format!("used_memory is back at {before}"), || used_memory(client) - before <= before / 100);
}

fn dump(client: &mut Client) -> Vec<u8> {
    match client.call(&["SHADOW.FUNCTION", "DUMP"]) {
        Value::Bulk(payload) => payload,
        other => panic!("no payload: {other:?}"),
    }
}

fn restore(client: &mut Client, payload: &[u8], policy: &str) {
    let words: [&[u8]; 4] = [b"SHADOW.FUNCTION", b"RESTORE", payload, policy.as_bytes()];
    assert_eq!(client.call(&words).text(), "OK");
}

// ---- the swap -------------------------------------------------------------------------------------------------------

#[test]
fn a_deploy_takes_the_place_of_all_libraries() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &answer("old", "1"));
    load(&mut client, &answer("a", "1"));
    let changes = client.info_number("rdb_changes_since_last_save");
    assert_eq!(deploy(&mut client, "VERSION v1", &[answer("a", "2"), answer("b", "2")]), bulk("v1"));
    assert_eq!(names(&mut client), ["a", "b"]);
    assert_eq!([said(&mut client, "a"), said(&mut client, "b")], ["2", "2"]);
    assert_eq!(client.run("SHADOW.FCALL f_old 0"), error("ERR Function not found"));
    assert_eq!(client.info_number("shadow_libraries"), 2);
    assert_eq!(client.info("shadow_version").as_deref(), Some("v1"));
    assert_eq!(client.run("SHADOW.FUNCTION STATS").field("version"), Some(bulk("v1")));
    assert_eq!(client.info_number("shadow_deploys"), 1);
    assert_eq!(pending(&mut client), 0);
    assert!(client.info_number("rdb_changes_since_last_save") > changes, "it counts for the save points");
    // The words of the command in any case.
    let reply = client.call(&["shadow.function", "Deploy", "version", "v2", "ifVersion", "v1", &answer("c", "3")]);
    assert_eq!(reply, bulk("v2"));
    assert_eq!(names(&mut client), ["c"]);
}

#[test]
fn libraries_that_came_by_no_deploy_have_no_version() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..2 {
        assert_eq!(client.info("shadow_version"), None);
        assert_eq!(client.run("SHADOW.FUNCTION STATS").field("version"), None);
        assert_eq!(current(&mut client)[0], Value::Null);
        load(&mut client, &answer("a", "1"));
    }
}

#[test]
fn a_version_of_which_no_library_is_left_is_none() {
    let server = Server::start();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    client.run("SHADOW.FUNCTION DELETE a");
    for _ in 0..2 {
        assert_eq!(current(&mut client)[0], Value::Null);
        assert_eq!(client.info("shadow_version"), None);
        load(&mut client, &answer("a", "1"));
    }
}

#[test]
fn a_deploy_that_is_given_no_label_is_called_by_its_hash_as_documented() {
    let server = Server::start();
    let mut client = server.client();
    let hash = |sources: &[String]| {
        let whole: Vec<u8> = sources.iter().flat_map(Sha256::digest).collect();
        Sha256::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let sources = ["a", "b", "c"].map(|name| answer(name, "1"));
    let whole = hash(&sources);
    // By name, in whatever order they come.
    let [a, b, c] = sources.clone();
    assert_eq!(deploy(&mut client, "", &[c.clone(), a, b]), bulk(&whole[..12]));
    assert_eq!(current(&mut client)[1], bulk(&whole));
    // It is that of what is loaded, by a deploy or not.
    client.run("SHADOW.FUNCTION DELETE c");
    assert_eq!(current(&mut client)[1], bulk(&hash(&sources[..2])));
    load(&mut client, &c);
    assert_eq!(current(&mut client)[1], bulk(&whole));
    client.run("SHADOW.FUNCTION FLUSH");
    assert_eq!(current(&mut client)[1], bulk(&hash(&[])));
    load(&mut client, &sources[0]);
    assert_eq!(current(&mut client)[1], bulk(&hash(&sources[..1])));
}

#[test]
fn a_label_is_short_and_of_plain_characters() {
    let server = Server::start();
    let mut client = server.client();
    let long = "x".repeat(64);
    for fine in ["v1", "1.2.3-rc_1", "main@4f2a", "team/cart:7", "DIR", &long] {
        deploy_a(&mut client, fine);
        assert_eq!(client.info("shadow_version").as_deref(), Some(fine));
    }
    for bad in ["", "a b", "v1+changes", "a\nb", "a\r\nb", "a\0b", "\u{e4}", &"x".repeat(65)] {
        for command in [
            &["SHADOW.FUNCTION", "DEPLOY", "VERSION", bad, &answer("a", "2")][..],
            &["SHADOW.FUNCTION", "ROLLBACK", "VERSION", bad],
        ] {
            assert_eq!(
                client.call(command),
                error("ERR The label of a version has 1 to 64 letters, digits and any of . _ - : / @"),
                "{bad:?}"
            );
        }
    }
    assert_eq!(labels(&mut client)[0], long);
    assert_eq!(client.info_number("shadow_deploys"), 6);
}

#[test]
fn words_that_make_no_command_are_refused() {
    let server = Server::start();
    let mut client = server.client();
    for line in [
        "SHADOW.FUNCTION DEPLOY",
        "SHADOW.FUNCTION DEPLOY TRY",
        "SHADOW.FUNCTION DEPLOY VERSION v1",
        "SHADOW.FUNCTION DEPLOY VERSION v1 IFVERSION v0 TRY",
        "SHADOW.FUNCTION DEPLOY DIR code",
        "SHADOW.FUNCTION ROLLBACK v1",
        "SHADOW.FUNCTION ROLLBACK VERSION",
        "SHADOW.FUNCTION ROLLBACK VERSION v1 more",
        "SHADOW.FUNCTION VERSIONS more",
    ] {
        let reply = client.run(line).text();
        assert!(reply.contains("wrong number of arguments") || reply.starts_with("ERR unknown subcommand"), "{reply}");
    }
    // What only a master says of a deploy is no option for a client, nor is anything twice.
    for (options, word) in [
        ("AT 5", "AT"),
        ("BY client user", "BY"),
        ("VERSON v1", "VERSON"),
        ("VERSION v1 TRY VERSION v2", "VERSION"),
        ("TRY REPLACE", "REPLACE"),
    ] {
        let reply = deploy(&mut client, options, &[answer("a", "1"), answer("b", "1")]);
        assert_eq!(reply, error(&format!("ERR Unknown option given: {word}")), "{options}");
    }
    let reply = deploy(&mut client, "VERSION v1", &["VERSON".to_owned()]);
    assert_eq!(reply, error("ERR Library number 1: Missing library metadata"), "the last word is a library");
    assert_eq!(labels(&mut client), [""]);
}

#[test]
fn an_error_names_its_library_and_changes_nothing() {
    let server = Options::new().module_arguments("memory-limit 2mb").start();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    let before = (versions(&mut client), client.info_number("rdb_changes_since_last_save"));
    let kept = "local t = {} for i = 1, 2e5 do t[i] = {} end redis.register_function('f', function() return #t end)";
    for (code, reason) in [
        ("return 1".to_owned(), "ERR Library number 2: Missing library metadata"),
        (String::new(), "ERR Library number 2: Missing library metadata"),
        (answer("new", "3"), "ERR Library 'new': Library 'new' already exists"),
        (
            source("x", "redis.register_function('F_NEW', function() end)"),
            "ERR Library 'x': Function F_NEW already exists",
        ),
        (source("x", "return 1"), "ERR Library 'x': No functions registered"),
        (source("x", "not lua"), "ERR Library 'x': Error compiling function: "),
        (source("x", "error('no\\r\\n')"), "ERR Library 'x': Error registering functions: "),
        (source("x", "while true do end"), "ERR Library 'x': Error registering functions: "),
        ("#!js name=x\n".to_owned(), "ERR Library 'x': Engine 'js' not found"),
        (source("x", kept), "ERR Library 'x': "),
    ] {
        for options in ["VERSION v2", "VERSION v2 TRY", "VERSION v2 IFVERSION v1"] {
            let reply = deploy(&mut client, options, &[answer("new", "2"), code.clone(), answer("z", "2")]);
            let Value::Error(text) = &reply else { panic!("{reply:?} for {code:?}") };
            assert!(text.starts_with(reason), "{text:?} for {code:?}");
        }
    }
    assert_eq!((versions(&mut client), client.info_number("rdb_changes_since_last_save")), before);
    assert_eq!(names(&mut client), ["a"]);
    assert_eq!(said(&mut client, "a"), "v1");
    assert_eq!(client.info_number("shadow_deploys"), 1);
    assert_eq!(pending(&mut client), 0);
}

#[test]
fn what_failed_deploys_have_built_is_freed() {
    let server = Server::start();
    let mut client = server.client();
    let failing: Vec<String> = many(3000).into_iter().chain(["no library".to_owned()]).collect();
    let refused = error("ERR Library number 3001: Missing library metadata");
    // By clients that leave: the server keeps larger buffers for those that have sent this much.
    assert_eq!(deploy(&mut server.client(), "", &failing), refused);
    let before = used_memory(&mut client);
    for _ in 0..10 {
        assert_eq!(deploy(&mut server.client(), "", &failing), refused);
    }
    wait_for_memory(&mut client, before);
}

#[test]
fn try_checks_everything_and_changes_nothing() {
    let server = with_aof();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    since_last_mark(&server, &mut client);
    let before = versions(&mut client);
    let libraries = [answer("a", "2"), answer("b", "2")];
    assert_eq!(deploy(&mut client, "VERSION v2 TRY", &libraries), bulk("v2"));
    assert_eq!(deploy(&mut client, "TRY IFVERSION v1 VERSION v2", &libraries), bulk("v2"));
    assert_eq!(deploy(&mut client, "TRY IFVERSION v0", &libraries), error("ERR The current version is 'v1'"));
    let label = deploy(&mut client, "TRY", &libraries).text();
    assert_eq!(versions(&mut client), before);
    assert_eq!(said(&mut client, "a"), "v1");
    assert_eq!(client.info_number("shadow_deploys"), 1);
    assert_eq!(since_last_mark(&server, &mut client), [[""; 0]; 0]);
    assert_eq!(deploy(&mut client, "", &libraries), bulk(&label), "it is the label of the deploy itself");
}

#[test]
fn the_lines_that_bodies_log_are_written_up_to_a_bound() {
    let server = Server::start();
    let mut client = server.client();
    let logs = "for i = 1, 1005 do redis.log(redis.LOG_WARNING, 'line ' .. i) end
        redis.register_function('f', function() end)";
    deploy(&mut client, "VERSION v1", &[source("x", logs)]);
    let log = server.log();
    let lines: Vec<usize> = (1..=1005).filter(|line| log.contains(&format!(" line {line}\n"))).collect();
    assert_eq!(lines, (1..=1000).collect::<Vec<_>>());
    assert!(log.contains("<shadow> 5 more lines that libraries logged are lost"), "{log}");
    // Those of a deploy that fails, too.
    let fails = "redis.log(redis.LOG_WARNING, 'before the error') error('x')";
    assert!(deploy(&mut client, "VERSION v2", &[source("x", fails)]).is_error());
    assert!(server.log().contains(" before the error\n"));
}

#[test]
fn info_tells_what_libraries_take_of_the_memory_of_the_server() {
    let server = Server::start();
    let mut client = server.client();
    // With a library there is a spare.
    load(&mut client, &numbered(20_000));
    wait_for_worker(&mut client);
    wait_until("the spare is ready", || client.info_number("shadow_spare_ready") == 1);
    let (used, told) = (used_memory(&mut client), told_memory(&mut client));
    let told = |client: &mut Client| told_memory(client) - told;
    load_many(&mut server.client(), 10_000);
    wait_until("it is what was loaded", || is_within(used_memory(&mut client) - used, told(&mut client)));
    deploy(&mut server.client(), "VERSION v1", &many(20_000));
    assert!(client.info_number("shadow_kept_versions_bytes") > 5_000_000);
    wait_until("it is both versions", || is_within(used_memory(&mut client) - used, told(&mut client)));
}

#[test]
fn info_tells_exactly_what_the_vm_of_a_few_libraries_takes() {
    let server = Server::start();
    let mut client = server.client();
    ok(&mut client, "CONFIG SET shadow.keep-generations 16");
    let mut deploy_few = |version: usize| {
        deploy(&mut server.client(), &format!("VERSION v{version}"), &many(10));
        wait_for_worker(&mut client);
        wait_until("the spare is ready", || client.info_number("shadow_spare_ready") == 1);
    };
    deploy_few(0);
    // On new connections: the server frees buffers of one that is there for longer.
    let look = || (used_memory(&mut server.client()), told_memory(&mut server.client()));
    let (used, told) = look();
    (1..=16).for_each(&mut deploy_few);
    wait_until("it is what sixteen VMs take", || {
        let (used_now, told_now) = look();
        told_now - told > 1_000_000 && is_within(used_now - used, told_now - told)
    });
}

/// Whether a number of bytes is another one within one percent.
fn is_within(bytes: i64, expected: i64) -> bool {
    (bytes - expected).abs() <= expected / 100
}

#[test]
fn a_deploy_is_refused_where_the_server_has_no_memory_left() {
    let server = Server::start();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    deploy_a(&mut client, "v2");
    ok(&mut client, "CONFIG SET maxmemory 1");
    assert!(deploy(&mut client, "VERSION v3", &[answer("a", "3")]).text().starts_with("OOM "));
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"), "it takes nothing");
}

// ---- the versions before it -----------------------------------------------------------------------------------------

#[test]
fn ifversion_holds_a_deploy_back_when_it_comes() {
    let server = Server::start();
    let mut client = server.client();
    let libraries = [answer("a", "2")];
    let none = error("ERR The current libraries have no version");
    assert_eq!(deploy(&mut client, "IFVERSION v1 VERSION v2", &libraries), none);
    load(&mut client, &answer("b", "1"));
    assert_eq!(deploy(&mut client, "IFVERSION v1 VERSION v2", &libraries), none);
    deploy_a(&mut client, "v1");
    let other = error("ERR The current version is 'v1'");
    for word in ["v0", "V1", "v1+changes", "", "v1\r\n"] {
        let command = ["SHADOW.FUNCTION", "DEPLOY", "IFVERSION", word, "VERSION", "v2", &libraries[0]];
        assert_eq!(client.call(&command), other, "{word:?}");
    }
    load(&mut client, &answer("b", "1"));
    let changed = error("ERR The current version is 'v1+changes'");
    assert_eq!(deploy(&mut client, "IFVERSION v1 VERSION v2", &libraries), changed);
    assert_eq!(said(&mut client, "a"), "v1");
    assert_eq!(deploy(&mut client, "IFVERSION v1+changes VERSION v2", &libraries), bulk("v2"));
    assert_eq!(said(&mut client, "a"), "2");
}

#[test]
fn ifversion_holds_a_deploy_back_at_the_swap() {
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    deploy_a(&mut client, "v1");
    let payload = dump(&mut other);
    let changes: [(Change, &str); 4] = [
        (&|client| load(client, &answer("b", "1")), "ERR The current version is 'v1+changes'"),
        (&|client| restore(client, &payload, "REPLACE"), "ERR The current version is 'v1+changes'"),
        (
            // Without libraries there is no version.
            &|client| assert!(!client.run("SHADOW.FUNCTION DELETE a").is_error()),
            "ERR The current libraries have no version",
        ),
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH"), "ERR The current libraries have no version"),
    ];
    for (change, refusal) in changes {
        deploy_a(&mut client, "v1");
        hold(&mut other);
        client.send(&command("VERSION v2 IFVERSION v1", &[answer("a", "2"), answer("c", "2")]));
        wait_for_pending(&mut other, 1);
        change(&mut other);
        let before = (names(&mut other), versions(&mut other));
        release(&mut other);
        assert_eq!(client.read(), error(refusal));
        assert_eq!((names(&mut other), versions(&mut other)), before);
        assert_eq!(pending(&mut other), 0);
    }
}

#[test]
fn what_others_change_while_it_is_built_is_overwritten_by_the_swap() {
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    let payload = {
        load(&mut other, &answer("restored", "1"));
        let payload = dump(&mut other);
        ok(&mut other, "SHADOW.FUNCTION FLUSH");
        payload
    };
    let changes: [(Change, &[&str], &[&str]); 5] = [
        (&|client| load(client, &answer("b", "1")), &["a", "b"], &["v2", "v1+changes"]),
        (&|client| assert!(!client.run("SHADOW.FUNCTION DELETE a").is_error()), &[], &["v2"]),
        (&|client| restore(client, &payload, "FLUSH"), &["restored"], &["v2", ""]),
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH ASYNC"), &[], &["v2"]),
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH SYNC"), &[], &["v2"]),
    ];
    for (change, meanwhile, after) in changes {
        ok(&mut other, "SHADOW.FUNCTION FLUSH");
        deploy_a(&mut client, "v1");
        hold(&mut other);
        client.send(&command("VERSION v2", &[answer("c", "2")]));
        wait_for_pending(&mut other, 1);
        change(&mut other);
        assert_eq!(names(&mut other), meanwhile, "it takes effect at once");
        release(&mut other);
        assert_eq!(client.read(), bulk("v2"));
        assert_eq!(names(&mut other), ["c"]);
        assert_eq!(labels(&mut other), after);
    }
}

#[test]
fn the_current_version_serves_while_the_next_one_is_built() {
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    deploy_a(&mut client, "v1");
    hold(&mut other);
    client.send(&command("VERSION v2", &[answer("a", "v2")]));
    wait_for_pending(&mut other, 1);
    assert_eq!(said(&mut other, "a"), "v1");
    assert_eq!(labels(&mut other), ["v1"]);
    assert_eq!(other.info_number("blocked_clients"), 1);
    ok(&mut other, "SET key value");
    release(&mut other);
    assert_eq!(client.read(), bulk("v2"));
    assert_eq!(said(&mut other, "a"), "v2");
    assert_eq!(other.info_number("blocked_clients"), 0);
}

#[test]
fn several_deploys_are_put_in_place_in_the_order_in_which_they_came() {
    let server = Options::new().module_arguments("enable-debug-command yes keep-generations 16").start();
    let mut other = server.client();
    deploy_a(&mut other, "v0");
    hold(&mut other);
    // The first one takes longest to build.
    let deploys = [
        ("VERSION v1", many(2000), Ok("v1")),
        ("VERSION v2 IFVERSION v0", many(1), Err("ERR The current version is 'v1'")),
        ("VERSION v3 TRY", many(1), Ok("v3")),
        ("VERSION v4", vec!["no library".to_owned()], Err("ERR Library number 1: Missing library metadata")),
        ("VERSION v5", many(5), Ok("v5")),
        ("VERSION v6", many(6), Ok("v6")),
    ];
    let mut clients = Vec::new();
    for (count, (options, libraries, _)) in (1..).zip(&deploys) {
        let mut client = server.client();
        client.send(&command(options, libraries));
        clients.push(client);
        wait_for_pending(&mut other, count);
    }
    release(&mut other);
    // What the last one finds in place when it is told so.
    let mut last = clients.pop().expect("the last one");
    assert_eq!(last.read(), bulk("v6"));
    assert_eq!(names(&mut last).len(), 6);
    for (mut client, (options, _, reply)) in clients.into_iter().zip(deploys) {
        assert_eq!(client.read(), reply.map_or_else(error, bulk), "{options}");
    }
    assert_eq!(labels(&mut other), ["v6", "v5", "v1", "v0"]);
    assert_eq!(pending(&mut other), 0);
}

#[test]
fn too_many_that_wait_for_the_worker_are_refused() {
    let server = Options::new().module_arguments("enable-debug-command yes reclaim-queue 1").start();
    let mut other = server.client();
    wait_for_worker(&mut other);
    hold(&mut other);
    // One with the worker, one in the queue.
    let mut clients: Vec<Client> = Vec::new();
    for version in ["v1", "v2"] {
        let mut client = server.client();
        client.send(&command(&format!("VERSION {version}"), &many(1)));
        wait_until("the worker or its queue has it", || {
            pending(&mut other) == clients.len() as i64 + 1
                && other.info_number("shadow_reclaim_queue") == clients.len() as i64
        });
        clients.push(client);
    }
    let refused = deploy(&mut other, "VERSION v3", &many(1));
    assert_eq!(refused, error("ERR Too many flushes and deploys are waiting"));
    assert_eq!(pending(&mut other), 2);
    release(&mut other);
    assert_eq!(clients[0].read(), bulk("v1"));
    assert_eq!(clients[1].read(), bulk("v2"));
    // What the last one has replaced may be in the queue.
    wait_for_worker(&mut other);
    assert_eq!(deploy(&mut other, "VERSION v3", &many(1)), bulk("v3"));
}

// ---- clients that do not wait, and those that leave -----------------------------------------------------------------

#[test]
fn in_a_transaction_it_is_in_place_for_the_next_command() {
    let server = with_faults().start();
    let mut client = server.client();
    load(&mut client, &answer("a", "old"));
    // The worker has no part in it.
    let mut other = server.client();
    hold(&mut other);
    ok(&mut client, "MULTI");
    for words in [
        vec!["SHADOW.FCALL".to_owned(), "f_a".to_owned(), "0".to_owned()],
        command("VERSION v1", &[answer("a", "new"), answer("b", "new")]),
        vec!["SHADOW.FCALL".to_owned(), "f_a".to_owned(), "0".to_owned()],
        command("VERSION v2", &["no library".to_owned()]),
        command("VERSION v3 IFVERSION v0", &many(1)),
        vec!["SHADOW.FUNCTION".to_owned(), "ROLLBACK".to_owned()],
        vec!["SHADOW.FCALL".to_owned(), "f_a".to_owned(), "0".to_owned()],
        vec!["SHADOW.FUNCTION".to_owned(), "ROLLBACK".to_owned()],
    ] {
        assert_eq!(client.call(&words).text(), "QUEUED");
    }
    let replies = [
        bulk("old"),
        bulk("v1"),
        bulk("new"),
        error("ERR Library number 1: Missing library metadata"),
        error("ERR The current version is 'v1'"),
        Value::Null,
        bulk("old"),
        bulk("v1"),
    ];
    assert_eq!(client.run("EXEC").items(), replies);
    assert_eq!(labels(&mut client), ["v1", ""]);
    release(&mut other);
}

#[test]
fn functions_and_scripts_may_not_deploy() {
    let server = Server::start();
    let mut client = server.client();
    let code = "return redis.pcall('shadow.function', unpack(ARGV))";
    for words in [&["deploy", &answer("a", "1")][..], &["rollback"], &["versions"]] {
        for eval in ["SHADOW.EVAL", "EVAL"] {
            let reply = client.call(&[&[eval, code, "0"], words].concat());
            assert!(reply.text().contains("not allowed from script"), "{reply:?}");
        }
    }
    assert_eq!(labels(&mut client), [""]);
}

#[test]
fn a_deploy_whose_client_is_killed_or_gone_is_given_up() {
    let server = with_faults().start();
    let mut other = server.client();
    deploy_a(&mut other, "v1");
    // The first two are there to have everything made that is made once.
    let mut before = 0;
    for (round, killed) in [true, false, true, false, true, false].into_iter().enumerate() {
        let mut client = server.client();
        let id = client.run("CLIENT ID").text();
        hold(&mut other);
        client.send(&command("VERSION v2", &many(10_000)));
        wait_for_pending(&mut other, 1);
        if killed {
            assert_eq!(other.run(&format!("CLIENT KILL ID {id}")), Value::Integer(1));
            wait_for_pending(&mut other, 0);
            assert!(client.read_raw().is_err(), "it is told nothing");
        }
        drop(client);
        wait_for_pending(&mut other, 0);
        release(&mut other);
        wait_for_worker(&mut other);
        assert_eq!(labels(&mut other), ["v1"]);
        assert_eq!(said(&mut other, "a"), "v1");
        assert_eq!(other.info_number("shadow_deploys"), 1);
        assert_eq!(other.info_number("blocked_clients"), 0);
        // At the end of the round: a first call has things made as well.
        if round < 2 {
            before = used_memory(&mut other);
        } else {
            wait_for_memory(&mut other, before);
        }
    }
}

#[test]
fn a_deploy_that_is_built_and_given_up_leaves_nothing() {
    let server = with_faults().start();
    let mut other = server.client();
    deploy_a(&mut other, "v1");
    let mut before = None;
    for round in 0..5 {
        let mut client = server.client();
        hold(&mut other);
        client.send(&command("VERSION v2", &many(5_000)));
        wait_for_pending(&mut other, 1);
        // It is built, and must wait.
        let waiting = used_memory(&mut other);
        ok(&mut other, "CLIENT PAUSE 100000 WRITE");
        release(&mut other);
        wait_for_worker(&mut other);
        assert!(used_memory(&mut other) > waiting + 1_000_000);
        drop(client);
        wait_for_pending(&mut other, 0);
        ok(&mut other, "CLIENT UNPAUSE");
        wait_for_worker(&mut other);
        match before {
            Some(before) => wait_for_memory(&mut other, before),
            // The first round leaves what is there from then on, such as the spare of scripts.
            None if round == 0 => {}
            None => before = Some(used_memory(&mut other)),
        }
        assert_eq!(labels(&mut other), ["v1"]);
    }
}

#[test]
fn a_deploy_in_the_middle_of_the_others_can_be_given_up() {
    let server = with_faults().start();
    let mut other = server.client();
    hold(&mut other);
    let mut clients: Vec<Client> = Vec::new();
    for version in ["v1", "v2", "v3"] {
        let mut client = server.client();
        client.send(&command(&format!("VERSION {version}"), &many(3)));
        clients.push(client);
        wait_for_pending(&mut other, clients.len() as i64);
    }
    drop(clients.remove(1));
    wait_for_pending(&mut other, 2);
    release(&mut other);
    assert_eq!(clients[0].read(), bulk("v1"));
    assert_eq!(clients[1].read(), bulk("v3"));
    assert_eq!(labels(&mut other), ["v3", "v1"]);
    assert_eq!(other.info_number("shadow_deploys"), 2);
}

#[test]
fn while_writes_are_paused_the_swap_waits() {
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    deploy_a(&mut client, "v1");
    hold(&mut other);
    client.send(&command("VERSION v2", &many(5_000)));
    wait_for_pending(&mut other, 1);
    let before = used_memory(&mut other);
    ok(&mut other, "CLIENT PAUSE 100000 WRITE");
    release(&mut other);
    wait_for_worker(&mut other);
    assert!(used_memory(&mut other) > before + 1_000_000, "it is built");
    let offset = other.info_number("master_repl_offset");
    // Several turns of the server's timers.
    let ticks = Instant::now();
    while ticks.elapsed() < Duration::from_millis(500) {
        assert_eq!(labels(&mut other), ["v1"]);
        assert_eq!(pending(&mut other), 1);
    }
    assert_eq!(other.info_number("master_repl_offset"), offset);
    ok(&mut other, "CLIENT UNPAUSE");
    assert_eq!(client.read(), bulk("v2"));
    assert_eq!(labels(&mut other), ["v2", "v1"]);
}

#[test]
fn a_server_that_becomes_a_replica_meanwhile_does_not_deploy() {
    let master = Server::start();
    deploy_a(&mut master.client(), "of-the-master");
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    hold(&mut other);
    client.send(&command("VERSION v1", &many(100)));
    wait_for_pending(&mut other, 1);
    follow(&server, &master);
    wait_in_step(&master, &server);
    release(&mut other);
    let reply = client.read().text();
    assert!(reply.starts_with("UNBLOCKED ") || reply.starts_with("READONLY "), "{reply}");
    wait_for_pending(&mut other, 0);
    assert_eq!(current(&mut other), current(&mut master.client()));
    assert_eq!(names(&mut other), ["a"]);
    assert_eq!(other.info_number("shadow_kept_versions"), 0);
}

#[test]
fn without_a_worker_it_is_built_in_place() {
    let mut server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    deploy_a(&mut other, "v1");
    // A deploy that waits behind the fault is answered, and nothing has changed.
    hold(&mut other);
    ok(&mut other, "SHADOW.DEBUG PANIC-IN-WORKER");
    client.send(&command("VERSION v2", &many(10)));
    wait_for_pending(&mut other, 1);
    release(&mut other);
    let lost = error("ERR internal error in the shadow module, see the server's log");
    assert_eq!(client.read(), lost);
    assert_eq!(other.info_number("shadow_reclaim_alive"), 0);
    assert_eq!(labels(&mut other), ["v1"]);
    assert_eq!(pending(&mut other), 0);
    // From here on the main thread does it.
    deploy_a(&mut client, "v3");
    assert!(deploy(&mut client, "", &["no library".to_owned()]).is_error());
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"));
    assert_eq!(labels(&mut other), ["v1", "v3"]);
    assert_eq!(said(&mut client, "a"), "v1");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn the_server_shuts_down_in_the_middle_of_a_deploy() {
    let mut server = Options::new().set("loglevel", "verbose").start();
    let (mut client, mut other) = (server.client(), server.client());
    let slow = |number| {
        let body = format!("for i = 1, 1e6 do end redis.register_function('f{number}', function() end)");
        source(&format!("lib{number}"), &body)
    };
    let began = Instant::now();
    assert!(!deploy(&mut client, "TRY", &(0..10).map(slow).collect::<Vec<_>>()).is_error());
    // As many as take a minute.
    let count = (Duration::from_secs(60).as_micros() * 10 / began.elapsed().as_micros()) as usize;
    client.send(&command("VERSION v1", &(0..count.min(200_000)).map(slow).collect::<Vec<_>>()));
    wait_for_pending(&mut other, 1);
    wait_until("the worker has it", || other.info_number("shadow_reclaim_queue") == 0);
    let began = Instant::now();
    other.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(server.log().contains("<shadow> the thread shadow-reclaim is at rest"), "{}", server.log());
    assert!(client.read_raw().is_err(), "the client is told nothing");
}

// ---- what is kept ---------------------------------------------------------------------------------------------------

#[test]
fn as_many_versions_are_kept_as_the_setting_says() {
    for (setting, kept) in [("0", &[][..]), ("1", &["v4"]), ("3", &["v4", "v3", "v2"])] {
        let server = Options::new().module_arguments(&format!("keep-generations {setting}")).start();
        let mut client = server.client();
        for version in ["v1", "v2", "v3", "v4", "v5"] {
            deploy_a(&mut client, version);
        }
        let expected: Vec<&str> = ["v5"].iter().chain(kept).copied().collect();
        assert_eq!(labels(&mut client), expected, "{setting}");
        assert_eq!(client.info_number("shadow_kept_versions"), kept.len() as i64);
        let bytes: i64 = versions(&mut client)[1..].iter().map(|version| number(version, "bytes")).sum();
        assert_eq!(client.info_number("shadow_kept_versions_bytes"), bytes);
        let reply = client.run("SHADOW.FUNCTION ROLLBACK");
        match kept.first() {
            Some(version) => assert_eq!(reply, bulk(version)),
            None => assert_eq!(reply, error("ERR There is no version to roll back to")),
        }
    }
}

fn number(version: &Value, field: &str) -> i64 {
    match version.field(field) {
        Some(Value::Integer(number)) => number,
        other => panic!("{field} is no number: {other:?}"),
    }
}

#[test]
fn one_version_is_kept_unless_told_otherwise() {
    let server = Server::start();
    let mut client = server.client();
    for version in ["v1", "v2", "v3"] {
        deploy_a(&mut client, version);
    }
    assert_eq!(labels(&mut client), ["v3", "v2"]);
}

#[test]
fn an_empty_generation_is_not_kept() {
    let server = Server::start();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    assert_eq!(labels(&mut client), ["v1"]);
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), error("ERR There is no version to roll back to"));
    client.run("SHADOW.FUNCTION DELETE a");
    deploy_a(&mut client, "v2");
    assert_eq!(labels(&mut client), ["v2"]);
}

#[test]
fn kept_versions_leave_when_a_setting_is_lowered() {
    let server = Server::start();
    let mut client = server.client();
    let large = |version: &str| {
        let body =
            "local t = {} for i = 1, 3e4 do t[i] = {} end redis.register_function('f', function() return #t end)";
        let reply = deploy(&mut server.client(), &format!("VERSION {version}"), &[source("large", body)]);
        assert_eq!(reply, bulk(version));
    };
    let kept = |client: &mut Client, count| {
        wait_until(&format!("{count} are kept"), || client.info_number("shadow_kept_versions") == count);
    };
    let mut before = None;
    for _ in 0..2 {
        ok(&mut client, "CONFIG SET shadow.keep-generations 16 shadow.keep-generations-bytes 0");
        for version in ["v1", "v2", "v3", "v4", "v5"] {
            large(version);
        }
        assert_eq!(labels(&mut client), ["v5", "v4", "v3", "v2", "v1"]);
        let each = number(&versions(&mut client)[0], "bytes");
        assert!(each > 1 << 20, "{each}");
        ok(&mut client, "CONFIG SET shadow.keep-generations 3");
        kept(&mut client, 3);
        assert_eq!(labels(&mut client), ["v5", "v4", "v3", "v2"], "the oldest has left");
        ok(&mut client, &format!("CONFIG SET shadow.keep-generations-bytes {}", each * 5 / 2));
        kept(&mut client, 2);
        assert_eq!(labels(&mut client), ["v5", "v4", "v3"]);
        large("v6");
        assert_eq!(labels(&mut client), ["v6", "v5", "v4"], "the bound holds for the next deploy");
        ok(&mut client, &format!("CONFIG SET shadow.keep-generations-bytes {}", 1 << 20));
        kept(&mut client, 0);
        large("v7");
        assert_eq!(labels(&mut client), ["v7"], "one that is larger than the bound is not kept");
        ok(&mut client, "CONFIG SET shadow.keep-generations-bytes 0");
        large("v8");
        assert_eq!(labels(&mut client), ["v8", "v7"], "0 is no bound");
        ok(&mut client, "CONFIG SET shadow.keep-generations 0");
        kept(&mut client, 0);
        ok(&mut client, "SHADOW.FUNCTION FLUSH");
        wait_for_worker(&mut client);
        match before {
            Some(before) => wait_for_memory(&mut client, before),
            None => before = Some(used_memory(&mut client)),
        }
    }
}

#[test]
fn a_rollback_brings_back_what_the_last_deploy_has_replaced() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.info("shadow_last_deploy_usec"), None);
    deploy_a(&mut client, "v1");
    assert!(client.info("shadow_last_deploy_usec").is_some());
    let before = current(&mut client);
    deploy_a(&mut client, "v2");
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"));
    assert_eq!(current(&mut client), before, "with the time, client and user of its deploy");
    assert_eq!(said(&mut client, "a"), "v1");
    assert_eq!(labels(&mut client), ["v1", "v2"]);
    // What it replaced is kept in its stead.
    assert_eq!(client.run("shadow.function rollback version v2"), bulk("v2"));
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"));
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v2"));
    assert_eq!(said(&mut client, "a"), "v2");
    assert_eq!((client.info_number("shadow_rollbacks"), client.info_number("shadow_deploys")), (4, 2));
    assert_eq!(client.info("shadow_version").as_deref(), Some("v2"));
    client.run("CONFIG RESETSTAT");
    client.run("SHADOW.FUNCTION ROLLBACK");
    let (swap, all) =
        (client.info_number("shadow_last_deploy_usec"), client.command_stat("shadow.function|rollback", "usec"));
    assert!(swap as f64 <= all + 1.0, "{swap} of {all}");
}

#[test]
fn a_rollback_by_label_takes_that_version() {
    let server = Options::new().module_arguments("keep-generations 3").start();
    let mut client = server.client();
    for version in ["v1", "v2", "v3", "v4"] {
        deploy_a(&mut client, version);
    }
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK VERSION v2"), bulk("v2"));
    assert_eq!(said(&mut client, "a"), "v2");
    assert_eq!(labels(&mut client), ["v2", "v4", "v3", "v1"]);
    for (label, reason) in [("v2", "is the current one"), ("v0", "was never there"), ("V1", "is another word")] {
        let reply = client.run(&format!("SHADOW.FUNCTION ROLLBACK VERSION {label}"));
        assert_eq!(reply, error(&format!("ERR No version '{label}' is kept")), "it {reason}");
    }
    // One that was changed is not that version any more; without its label it comes back as it was left.
    load(&mut client, &answer("b", "1"));
    deploy_a(&mut client, "v5");
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK VERSION v2"), error("ERR No version 'v2' is kept"));
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v2+changes"));
    assert_eq!(names(&mut client), ["a", "b"]);
    // The last one of those that have the same label.
    deploy(&mut client, "VERSION v3", &[answer("a", "the other")]);
    deploy_a(&mut client, "v6");
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK VERSION v3"), bulk("v3"));
    assert_eq!(said(&mut client, "a"), "the other");
    assert_eq!(client.info_number("shadow_rollbacks"), 3);
}

#[test]
fn libraries_that_came_by_no_deploy_come_back_without_a_version() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &answer("a", "loaded"));
    let before = current(&mut client);
    deploy_a(&mut client, "v1");
    let null = client.raw(&["SHADOW.FUNCTION", "ROLLBACK"]);
    assert_eq!(null.escape_ascii().to_string(), "$-1\\r\\n");
    assert_eq!(current(&mut client), before);
    assert_eq!(said(&mut client, "a"), "loaded");
    assert_eq!(client.info("shadow_version"), None);
    client.run("SHADOW.FUNCTION ROLLBACK");
    client.hello3();
    assert_eq!(client.raw(&["SHADOW.FUNCTION", "ROLLBACK"]), b"_\r\n");
}

#[test]
fn a_flush_leaves_nothing_to_roll_back_to() {
    let server = Server::start();
    let mut client = server.client();
    let payload = {
        load(&mut client, &answer("b", "restored"));
        dump(&mut client)
    };
    let flushes: [(Change, &[&str]); 6] = [
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH"), &[""]),
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH ASYNC"), &[""]),
        (&|client| ok(client, "SHADOW.FUNCTION FLUSH SYNC"), &[""]),
        (
            &|client| {
                client.run("SHADOW.FUNCTION DELETE a");
                ok(client, "SHADOW.FUNCTION FLUSH");
            },
            &[""],
        ),
        (&|client| restore(client, &payload, "FLUSH"), &[""]),
        (&|client| ok(client, "DEBUG RELOAD"), &["v2"]),
    ];
    for (at, (flush, left)) in flushes.into_iter().enumerate() {
        deploy_a(&mut client, "v1");
        deploy_a(&mut client, "v2");
        assert_eq!(labels(&mut client), ["v2", "v1"]);
        flush(&mut client);
        assert_eq!(labels(&mut client), left, "flush {at}");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), error("ERR There is no version to roll back to"));
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK VERSION v1"), error("ERR No version 'v1' is kept"));
        for field in ["shadow_kept_versions", "shadow_kept_versions_bytes"] {
            assert_eq!(client.info_number(field), 0);
        }
    }
    assert_eq!(client.info_number("shadow_rollbacks"), 0);
}

#[test]
fn the_statistics_of_functions_come_back_with_their_version() {
    let server = Server::start();
    let mut client = server.client();
    let calls = |client: &mut Client| {
        let line = client.info("shadow_function_f_a").unwrap_or_default();
        line.split(',').find_map(|pair| pair.strip_prefix("calls=")).map(str::to_owned)
    };
    deploy_a(&mut client, "v1");
    (0..3).for_each(|_| drop(said(&mut client, "a")));
    assert_eq!(calls(&mut client).as_deref(), Some("3"));
    deploy_a(&mut client, "v2");
    assert_eq!(calls(&mut client), None);
    said(&mut client, "a");
    assert_eq!(calls(&mut client).as_deref(), Some("1"));
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert_eq!(calls(&mut client).as_deref(), Some("3"));
    said(&mut client, "a");
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert_eq!(calls(&mut client).as_deref(), Some("1"));
    ok(&mut client, "SHADOW.FUNCTION RESETSTAT");
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert_eq!(calls(&mut client), None, "a reset is for those that are kept, too");
    assert_eq!(client.info_number("shadow_rollbacks"), 1);
}

#[test]
fn the_state_of_a_library_comes_back_with_its_version() {
    let server = Server::start();
    let mut client = server.client();
    let counter = source("c", "local n = 0 redis.register_function('count', function() n = n + 1 return n end)");
    deploy(&mut client, "VERSION v1", &[counter]);
    client.run("SHADOW.FCALL count 0");
    deploy_a(&mut client, "v2");
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert_eq!(client.run("SHADOW.FCALL count 0"), Value::Integer(2));
}

#[test]
fn a_version_that_was_changed_says_so() {
    let server = Server::start();
    let mut client = server.client();
    let payload = {
        load(&mut client, &answer("b", "restored"));
        dump(&mut client)
    };
    let changes: [Change; 5] = [
        &|client| load(client, &answer("c", "1")),
        &|client| load(client, &answer("a", "again")),
        &|client| assert!(!client.run("SHADOW.FUNCTION DELETE a").is_error()),
        &|client| restore(client, &payload, "APPEND"),
        &|client| restore(client, &payload, "REPLACE"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert_eq!(deploy(&mut client, "VERSION v1", &[answer("a", "1"), answer("d", "1")]), bulk("v1"));
        // What fails changes nothing.
        assert!(client.call(&["SHADOW.FUNCTION", "LOAD", &answer("a", "2")]).is_error());
        assert!(client.run("SHADOW.FUNCTION DELETE nothing").is_error());
        assert!(client.call(&["SHADOW.FUNCTION", "RESTORE", "nothing"]).is_error());
        assert_eq!(labels(&mut client)[0], "v1");
        change(&mut client);
        assert_eq!(labels(&mut client)[0], "v1+changes", "change {at}");
        assert_eq!(client.info("shadow_version").as_deref(), Some("v1+changes"));
        assert_eq!(client.run("SHADOW.FUNCTION STATS").field("version"), Some(bulk("v1+changes")));
        load(&mut client, &answer("more", "1"));
        assert_eq!(labels(&mut client)[0], "v1+changes", "it is said once");
    }
}

// ---- what is said of versions ---------------------------------------------------------------------------------------

#[test]
fn versions_are_maps_in_resp3_and_lists_of_pairs_in_resp2() {
    let server = Server::start();
    let mut client = server.client();
    let shown = |client: &mut Client| {
        let raw = client.raw(&["SHADOW.FUNCTION", "VERSIONS"]);
        String::from_utf8(raw).expect("text").replace("\r\n", " ")
    };
    let text = |text: &str| format!("${} {text}", text.len());
    // `map`: how the map of nine pairs begins.
    let expected = |version: &Value, map: &str, null: &str| {
        let mut words = vec![map.to_owned()];
        for name in
            ["version", "sha256", "deployed_at_ms", "client", "user", "libraries", "functions", "bytes", "current"]
        {
            words.push(text(name));
            words.push(match version.field(name).expect("the field") {
                Value::Null => null.to_owned(),
                Value::Integer(number) => format!(":{number}"),
                value => text(&value.text()),
            });
        }
        words.join(" ")
    };
    load(&mut client, &answer("a", "1"));
    client.run("CLIENT SETNAME deployer");
    deploy(&mut client, "VERSION v1", &[answer("a", "1"), answer("b", "1")]);
    let all = versions(&mut client);
    let check = |shown: &str, map: &str, null: &str| {
        let [one, other] = [&all[0], &all[1]].map(|version| expected(version, map, null));
        assert_eq!(shown, format!("*2 {one} {other} "));
    };
    check(&shown(&mut client), "*18", "$-1");
    client.hello3();
    check(&shown(&mut client), "%9", "_");
    let field = |at: usize, name: &str| all[at].field(name).expect("the field");
    for (name, value) in [("version", "v1"), ("client", "deployer"), ("user", "default")] {
        assert_eq!(field(0, name), bulk(value));
        assert_eq!(field(1, name), Value::Null);
    }
    assert_eq!(field(1, "deployed_at_ms"), Value::Null);
    for (name, counts) in [("libraries", [2, 1]), ("functions", [2, 1]), ("current", [1, 0])] {
        assert_eq!([field(0, name), field(1, name)], counts.map(Value::Integer), "{name}");
    }
    for version in &all {
        let hash = version.field("sha256").expect("the field").text();
        assert!(hash.len() == 64 && hash.bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{hash}");
        assert!(number(version, "bytes") > 0);
    }
}

#[test]
fn a_version_names_who_deployed_it_and_when() {
    let server = with_faults().start();
    let (mut client, mut other) = (server.client(), server.client());
    let now = |client: &mut Client| {
        let time: Vec<i64> =
            client.run("TIME").items().iter().map(|part| part.text().parse().expect("a number")).collect();
        time[0] * 1000 + time[1] / 1000
    };
    let said = |client: &mut Client| {
        let version = versions(client).swap_remove(0);
        ["client", "user"].map(|name| version.field(name).expect("the field").text())
    };
    deploy_a(&mut client, "v1");
    assert_eq!(said(&mut other), ["", "default"], "a client without a name");
    ok(&mut client, "ACL SETUSER ann on nopass allkeys +@all");
    ok(&mut client, "AUTH ann x");
    ok(&mut client, "CLIENT SETNAME build-7");
    let before = now(&mut other);
    hold(&mut other);
    client.send(&command("VERSION v2", &[answer("a", "v2")]));
    wait_for_pending(&mut other, 1);
    let asked = now(&mut other);
    release(&mut other);
    assert_eq!(client.read(), bulk("v2"));
    assert_eq!(said(&mut other), ["build-7", "ann"]);
    let time = number(&versions(&mut other)[0], "deployed_at_ms");
    assert!((before..=asked).contains(&time), "{before} {time} {asked}: the time at which it was asked for");
    ok(&mut client, "MULTI");
    deploy(&mut client, "VERSION v3", &[answer("a", "v3")]);
    client.run("EXEC");
    assert_eq!(said(&mut other), ["build-7", "ann"], "in a transaction");
}

// ---- files ----------------------------------------------------------------------------------------------------------

/// Everything that is acknowledged is in the file.
fn append_only(preamble: &str) -> Options {
    Options::new().set("appendonly", "yes").set("appendfsync", "always").set("aof-use-rdb-preamble", preamble)
}

fn rewrite(client: &mut Client) {
    let reply = client.run("BGREWRITEAOF");
    assert!(!reply.is_error(), "{reply:?}");
    wait_until("the file is rewritten", || {
        client.info_number("aof_rewrite_scheduled") + client.info_number("aof_rewrite_in_progress") == 0
    });
    assert_eq!(client.info("aof_last_bgrewrite_status").as_deref(), Some("ok"));
}

/// A client with a name and a user, which are to be kept.
fn named(server: &Server) -> Client {
    let mut client = server.client();
    ok(&mut client, "ACL SETUSER ann on nopass allkeys +@all");
    ok(&mut client, "AUTH ann x");
    ok(&mut client, "CLIENT SETNAME build-7");
    client
}

#[test]
fn a_snapshot_keeps_the_version() {
    let mut server = Server::start();
    let mut client = named(&server);
    deploy_a(&mut client, "v0");
    deploy(&mut client, "VERSION v1", &[answer("a", "1"), answer("b", "1")]);
    for changed in [false, true] {
        if changed {
            load(&mut client, &answer("c", "1"));
        }
        let before = current(&mut client);
        assert_eq!(before[0].text(), if changed { "v1+changes" } else { "v1" });
        ok(&mut client, "DEBUG RELOAD");
        assert_eq!(current(&mut client), before);
        ok(&mut client, "SAVE");
        server.restart(&Options::new());
        client = server.client();
        assert_eq!(current(&mut client), before);
        assert_eq!(said(&mut client, "b"), "1");
        assert_eq!(client.info_number("shadow_kept_versions"), 0, "what was kept was in memory alone");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), error("ERR There is no version to roll back to"));
    }
}

#[test]
fn a_snapshot_of_libraries_without_a_version_has_none() {
    let mut server = Server::start();
    let mut client = server.client();
    load(&mut client, &answer("a", "1"));
    deploy_a(&mut client, "v1");
    client.run("SHADOW.FUNCTION ROLLBACK");
    let before = current(&mut client);
    ok(&mut client, "SAVE");
    server.restart(&Options::new());
    assert_eq!(current(&mut server.client()), before);
    assert_eq!(before[0], Value::Null);
}

#[test]
fn the_append_only_file_keeps_the_version() {
    for preamble in ["yes", "no"] {
        let options = append_only(preamble);
        let mut server = options.clone().start();
        let mut client = named(&server);
        let check = |server: &mut Server, label: &str, rewritten: bool| {
            let mut client = server.client();
            let before = (current(&mut client), names(&mut client), said(&mut client, "a"));
            assert_eq!(before.0[0].text(), label);
            if rewritten {
                // Twice: the second one drops the file with what was written before the first one.
                (0..2).for_each(|_| rewrite(&mut client));
            }
            server.restart(&options);
            let mut client = server.client();
            let after = (current(&mut client), names(&mut client), said(&mut client, "a"));
            assert_eq!(after, before, "{label}, {preamble}, {rewritten}");
        };
        deploy(&mut client, "VERSION v1", &[answer("a", "1"), answer("b", "1")]);
        check(&mut server, "v1", false);
        check(&mut server, "v1", true);
        let mut client = named(&server);
        deploy_a(&mut client, "v2");
        check(&mut server, "v2", false);
        let mut client = server.client();
        load(&mut client, &answer("c", "1"));
        check(&mut server, "v2+changes", false);
        check(&mut server, "v2+changes", true);
        let mut client = server.client();
        // A rollback to a changed version, to one, and to libraries without one.
        deploy_a(&mut client, "v3");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v2+changes"));
        check(&mut server, "v2+changes", false);
        let mut client = named(&server);
        deploy_a(&mut client, "v4");
        deploy_a(&mut client, "v5");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v4"));
        check(&mut server, "v4", false);
        let mut client = server.client();
        ok(&mut client, "SHADOW.FUNCTION FLUSH");
        load(&mut client, &answer("a", "loaded"));
        deploy_a(&mut client, "v6");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), Value::Null);
        check(&mut server, "", false);
        check(&mut server, "", true);
        let mut client = server.client();
        ok(&mut client, "MULTI");
        deploy(&mut client, "VERSION v7", &[answer("a", "7")]);
        client.run("EXEC");
        check(&mut server, "v7", false);
    }
}

#[test]
fn a_version_is_written_whole_with_its_author() {
    let server = with_aof();
    let mut client = named(&server);
    let mut mark = server.client();
    let mut written = || -> Vec<Vec<String>> {
        let written = since_last_mark(&server, &mut mark);
        let ours = |command: &Vec<String>| !["acl", "ping"].contains(&command[0].to_ascii_lowercase().as_str());
        written.into_iter().filter(ours).collect()
    };
    let whole = |client: &mut Client, libraries: &[String]| {
        let version = versions(client).swap_remove(0);
        let [label, at] = ["version", "deployed_at_ms"].map(|name| version.field(name).expect("the field").text());
        command(&format!("VERSION {label} AT {at} BY build-7 ann"), libraries)
    };
    load(&mut client, &answer("z", "1"));
    written();
    let libraries = [answer("b", "1"), answer("a", "1")];
    deploy(&mut client, "IFVERSION v0 VERSION v1", &libraries);
    deploy(&mut client, "TRY VERSION v1", &libraries);
    deploy(&mut client, "VERSION v1", &["no library".to_owned()]);
    assert_eq!(written(), [[""; 0]; 0], "what fails or is only tried");
    // Its libraries in whatever order.
    let sorted = |mut commands: Vec<Vec<String>>| {
        commands.iter_mut().for_each(|command| command[9..].sort());
        commands
    };
    deploy(&mut client, "", &libraries);
    let first = sorted(vec![whole(&mut client, &libraries)]);
    assert_eq!(sorted(written()), first);
    deploy_a(&mut client, "v2");
    assert_eq!(written(), [whole(&mut client, &[answer("a", "v2")])]);
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert_eq!(sorted(written()), first);
    assert!(client.run("SHADOW.FUNCTION ROLLBACK VERSION v0").is_error());
    client.run("SHADOW.FUNCTION VERSIONS");
    assert_eq!(written(), [[""; 0]; 0]);
    ok(&mut client, "SHADOW.FUNCTION FLUSH");
    load(&mut client, &answer("z", "1"));
    deploy_a(&mut client, "v3");
    written();
    client.run("SHADOW.FUNCTION ROLLBACK");
    let payload = String::from_utf8_lossy(&dump(&mut client)).into_owned();
    let rolled = written();
    assert_eq!(rolled.len(), 1, "{rolled:?}");
    assert_eq!(
        rolled[0].iter().map(|word| word.to_ascii_lowercase()).collect::<Vec<_>>()[..2],
        ["shadow.function", "restore"]
    );
    assert_eq!(rolled[0][2..], [payload, "FLUSH".to_owned()]);
}

#[test]
fn a_rewritten_file_without_a_preamble_holds_the_version_as_one_deploy() {
    let server = append_only("no").start();
    let mut client = named(&server);
    deploy(&mut client, "VERSION v1", &many(3));
    rewrite(&mut client);
    let ours: Vec<Vec<String>> = server
        .rewritten_aof()
        .into_iter()
        .filter(|command| command[0].eq_ignore_ascii_case("shadow.function"))
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let at = versions(&mut client)[0].field("deployed_at_ms").expect("the field").text();
    assert_eq!(ours[0][1..9], ["DEPLOY", "VERSION", "v1", "AT", &at, "BY", "build-7", "ann"]);
    assert_eq!(ours[0].len(), 12);
}

// ---- replicas -------------------------------------------------------------------------------------------------------

/// Checks that all servers have the version of the first one, once they are in step.
#[track_caller]
fn check_in_step(servers: &[&Server], label: &str) {
    for pair in servers.windows(2) {
        wait_in_step(pair[0], pair[1]);
    }
    let all: Vec<_> = servers
        .iter()
        .map(|server| {
            let mut client = server.client();
            (current(&mut client), names(&mut client), said(&mut client, "a"))
        })
        .collect();
    assert_eq!(all[0].0[0].text(), label);
    all.iter().for_each(|other| assert_eq!(*other, all[0]));
}

#[test]
fn replicas_and_theirs_have_the_version_of_their_master() {
    let master = Server::start();
    let mut client = named(&master);
    deploy_a(&mut client, "v1");
    let replica = replica_of(&master);
    let below = replica_of(&replica);
    let all = [&master, &replica, &below];
    check_in_step(&all, "v1");
    deploy(&mut client, "VERSION v2", &[answer("a", "2"), answer("b", "2")]);
    check_in_step(&all, "v2");
    client.run("SHADOW.FUNCTION ROLLBACK");
    check_in_step(&all, "v1");
    load(&mut client, &answer("c", "1"));
    check_in_step(&all, "v1+changes");
    deploy_a(&mut client, "v3");
    client.run("SHADOW.FUNCTION ROLLBACK");
    check_in_step(&all, "v1+changes");
    ok(&mut client, "MULTI");
    deploy(&mut client, "VERSION v4", &[answer("a", "4")]);
    client.run("INCR n");
    client.run("EXEC");
    check_in_step(&all, "v4");
    ok(&mut client, "SHADOW.FUNCTION FLUSH");
    load(&mut client, &answer("a", "loaded"));
    deploy_a(&mut client, "v5");
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), Value::Null);
    check_in_step(&all, "");
    assert_eq!(master.client().info_number("sync_full"), 1);
}

#[test]
fn many_deploys_among_writes_leave_a_replica_where_its_master_is() {
    let master = Server::start();
    let replica = replica_of(&master);
    let below = replica_of(&replica);
    let mut client = named(&master);
    load(&mut client, &answer("a", "loaded"));
    let mut commands = Vec::new();
    for round in 0..30 {
        commands.push(command(&format!("VERSION v{round}"), &[answer("a", &round.to_string()), numbered(round)]));
        commands.push(["INCR", "n"].map(str::to_owned).to_vec());
        if round % 3 == 0 {
            commands.push(["SHADOW.FUNCTION", "ROLLBACK"].map(str::to_owned).to_vec());
        }
        commands.push(["INCR", "n"].map(str::to_owned).to_vec());
    }
    let replies = client.pipeline(&commands);
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    check_in_step(&[&master, &replica, &below], "v29");
    for server in [&replica, &below] {
        assert_eq!(server.client().run("GET n").text(), "60");
    }
}

#[test]
fn a_replica_that_was_away_gets_the_version() {
    let master = Options::new().set("repl-backlog-size", "10mb").start();
    let mut client = named(&master);
    deploy_a(&mut client, "v0");
    let replica = replica_of(&master);
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    deploy(&mut client, "VERSION v1", &[answer("a", "1")]);
    client.run("INCR n");
    assert!(!client.run("EXEC").is_error());
    check_in_step(&[&master, &replica], "v1");
    client.run("MULTI");
    client.run("CLIENT KILL TYPE replica");
    client.run("SHADOW.FUNCTION ROLLBACK");
    assert!(!client.run("EXEC").is_error());
    check_in_step(&[&master, &replica], "v0");
    assert_eq!(client.info_number("sync_full"), 1, "it went on where it was");
    assert_eq!(client.info_number("sync_partial_ok"), 2);
}

#[test]
fn a_full_synchronisation_leaves_a_replica_nothing_to_roll_back_to() {
    let master = Server::start();
    let mut client = named(&master);
    deploy_a(&mut client, "v1");
    let server = Server::start();
    let mut other = server.client();
    deploy_a(&mut other, "own-1");
    deploy_a(&mut other, "own-2");
    follow(&server, &master);
    check_in_step(&[&master, &server], "v1");
    assert_eq!(labels(&mut other), ["v1"]);
    ok(&mut other, "REPLICAOF NO ONE");
    assert_eq!(other.run("SHADOW.FUNCTION ROLLBACK"), error("ERR There is no version to roll back to"));
    assert_eq!(labels(&mut other), ["v1"]);
}

#[test]
fn a_promoted_replica_can_roll_back() {
    let master = Server::start();
    let replica = replica_of(&master);
    let mut client = named(&master);
    deploy_a(&mut client, "v1");
    deploy_a(&mut client, "v2");
    check_in_step(&[&master, &replica], "v2");
    let mut promoted = replica.client();
    ok(&mut promoted, "REPLICAOF NO ONE");
    assert_eq!(promoted.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"));
    assert_eq!(said(&mut promoted, "a"), "v1");
}

#[test]
fn a_failover_right_after_a_deploy_or_a_rollback_succeeds() {
    let servers = {
        let master = Server::start();
        let replica = replica_of(&master);
        [master, replica]
    };
    let mut at = 0;
    let fail_over = |at: &mut usize, label: &str| {
        let [old, new] = [&servers[*at], &servers[1 - *at]];
        let (mut client, mut other) = (old.client(), new.client());
        let before = other.info_number("sync_full");
        let reply = client.run("FAILOVER TIMEOUT 15000");
        assert_eq!(reply.text(), "OK", "{label}");
        let role = |client: &mut Client| client.info("role").expect("the field");
        wait_until("the replica is the master", || role(&mut other) == "master" && role(&mut client) == "slave");
        check_in_step(&[new, old], label);
        assert_eq!(other.info_number("sync_full"), before, "the link went on where it was");
        // For the next one it must be known to be over.
        wait_until("the failover is over", || {
            client.info("master_failover_state").as_deref() == Some("no-failover")
                && other.info("master_failover_state").as_deref() == Some("no-failover")
                && other.info_number("connected_slaves") == 1
        });
        *at = 1 - *at;
    };
    for round in 0..3 {
        let mut client = named(&servers[at]);
        let version = format!("v{round}");
        let libraries: Vec<String> = many(500).into_iter().chain([answer("a", &version)]).collect();
        deploy_a(&mut client, &format!("{version}-before"));
        assert_eq!(deploy(&mut client, &format!("VERSION {version}"), &libraries), bulk(&version));
        fail_over(&mut at, &version);
        let mut client = named(&servers[at]);
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk(&format!("{version}-before")));
        fail_over(&mut at, &format!("{version}-before"));
    }
}

#[test]
fn a_replica_serves_reads_while_its_worker_builds() {
    let master = Server::start();
    let replica = replica_with(with_faults(), &master);
    let mut client = named(&master);
    deploy_a(&mut client, "v1");
    check_in_step(&[&master, &replica], "v1");
    let mut reader = replica.client();
    hold(&mut reader);
    deploy_a(&mut client, "v2");
    ok(&mut client, "SET key value");
    match replica.flavour() {
        Flavour::Redis => {
            wait_for_pending(&mut reader, 1);
            assert_eq!(said(&mut reader, "a"), "v1");
            assert_eq!(labels(&mut reader), ["v1"]);
            assert_eq!(reader.run("GET key"), Value::Null, "what came after the deploy waits for it");
            assert_eq!(reader.info("master_link_status").as_deref(), Some("up"));
        }
        // There it is built in place, with no worker.
        Flavour::Valkey => check_in_step(&[&master, &replica], "v2"),
    }
    release(&mut reader);
    check_in_step(&[&master, &replica], "v2");
    assert_eq!(reader.run("GET key").text(), "value");
    assert_eq!(pending(&mut reader), 0);
}

#[test]
fn a_link_that_breaks_while_the_replica_builds_misses_nothing() {
    let master = Server::start();
    let replica = replica_with(with_faults(), &master);
    let mut client = named(&master);
    deploy_a(&mut client, "v1");
    check_in_step(&[&master, &replica], "v1");
    let mut reader = replica.client();
    hold(&mut reader);
    deploy_a(&mut client, "v2");
    if replica.flavour() == Flavour::Redis {
        wait_for_pending(&mut reader, 1);
    }
    client.run("CLIENT KILL TYPE replica");
    client.run("INCR n");
    release(&mut reader);
    check_in_step(&[&master, &replica], "v2");
    assert_eq!(reader.run("GET n").text(), "1");
    assert_eq!(pending(&mut reader), 0);
}

#[test]
fn a_replica_refuses_deploys_and_shows_versions() {
    let master = Server::start();
    let replica = replica_of(&master);
    deploy_a(&mut master.client(), "v1");
    deploy_a(&mut master.client(), "v2");
    check_in_step(&[&master, &replica], "v2");
    let mut client = replica.client();
    let refused = error("READONLY You can't write against a read only replica.");
    assert_eq!(deploy(&mut client, "VERSION v3", &many(1)), refused);
    assert_eq!(deploy(&mut client, "VERSION v3 TRY", &many(1)), refused);
    assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), refused);
    assert_eq!(labels(&mut client)[0], "v2");
}

// ---- files of libraries ---------------------------------------------------------------------------------------------

#[test]
fn dir_deploys_the_files_as_they_are_now() {
    let files = Deployment::new(&[("a.lua", &answer("a", "1"))]);
    let server = files.on(Options::new().set("appendonly", "yes").set("appendfsync", "always")).start();
    let replica = replica_of(&server);
    let mut client = named(&server);
    assert_eq!(labels(&mut client), [""]);
    files.put("a.lua", &answer("a", "2"));
    files.put("b.luau", &answer("b", "2"));
    files.put("notes.txt", "no library");
    load(&mut client, &answer("other", "1"));
    assert_eq!(client.run("SHADOW.FUNCTION DEPLOY VERSION v2 TRY DIR"), bulk("v2"));
    assert_eq!(said(&mut client, "a"), "1");
    assert_eq!(
        client.run("SHADOW.FUNCTION DEPLOY IFVERSION v1 DIR"),
        error("ERR The current libraries have no version")
    );
    since_last_mark(&server, &mut client);
    assert_eq!(client.run("shadow.function deploy dir version v2"), bulk("v2"));
    assert_eq!(names(&mut client), ["a", "b"]);
    assert_eq!([said(&mut client, "a"), said(&mut client, "b")], ["2", "2"]);
    let mut written = since_last_mark(&server, &mut client);
    written.retain(|command| !command[0].eq_ignore_ascii_case("ping"));
    assert_eq!(written.len(), 1, "{written:?}");
    written[0][9..].sort();
    let mut sources = [answer("a", "2"), answer("b", "2")];
    sources.sort();
    assert_eq!(written[0][9..], sources, "the sources, for others do not have the files");
    check_in_step(&[&server, &replica], "v2");
    // The hash of the files is that of the same libraries as words.
    let hash = client.run("SHADOW.FUNCTION DEPLOY DIR").text();
    assert_eq!(deploy(&mut client, "TRY", &sources), bulk(&hash));
    ok(&mut client, "MULTI");
    files.put("a.lua", &answer("a", "3"));
    client.run("SHADOW.FUNCTION DEPLOY VERSION v3 DIR");
    assert_eq!(client.run("EXEC").items(), [bulk("v3")]);
    assert_eq!(said(&mut client, "a"), "3");
    check_in_step(&[&server, &replica], "v3");
}

#[test]
fn dir_names_a_bad_file_and_changes_nothing() {
    let files = Deployment::new(&[("a.lua", &answer("a", "1"))]);
    let server = files.on(Options::new()).start();
    let mut client = server.client();
    assert_eq!(client.run("SHADOW.FUNCTION DEPLOY VERSION v1 DIR"), bulk("v1"));
    files.put("a.lua", &answer("a", "2"));
    let before = versions(&mut client);
    for (code, reason) in [
        ("#!lua name=b\n".to_owned(), "failed loading library file 'DIR/b.lua': ERR No functions registered"),
        (String::new(), "failed loading library file 'DIR/b.lua': ERR Missing library metadata"),
        (source("b", "error('no')"), "failed loading library file 'DIR/b.lua': ERR Error registering functions: "),
        (
            source("b", "while true do end"),
            "failed loading library file 'DIR/b.lua': ERR Error registering functions: ",
        ),
        (answer("a", "3"), "library files 'DIR/a.lua' and 'DIR/b.lua' both hold the library 'a'"),
    ] {
        files.put("b.lua", &code);
        for line in ["SHADOW.FUNCTION DEPLOY VERSION v2 DIR", "SHADOW.FUNCTION DEPLOY TRY DIR"] {
            let reply = client.run(line).text();
            let expected = format!("ERR {}", reason.replace("DIR", &files.shown()));
            assert!(reply.starts_with(&expected), "{reply:?}, not {expected:?}");
        }
    }
    assert_eq!(versions(&mut client), before);
    assert_eq!(said(&mut client, "a"), "1");
    assert_eq!(pending(&mut client), 0);
}

#[test]
fn dir_is_refused_where_the_setting_is_empty() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &answer("a", "1"));
    for line in ["SHADOW.FUNCTION DEPLOY DIR", "SHADOW.FUNCTION DEPLOY VERSION v1 TRY DIR"] {
        let refused = error("ERR There is no directory to deploy: 'shadow.library-dir' is empty");
        assert_eq!(client.run(line), refused);
    }
    assert_eq!(names(&mut client), ["a"]);
}

// ---- rights ---------------------------------------------------------------------------------------------------------

#[test]
fn rights_are_those_of_commands_that_write_and_of_one_that_reads() {
    let server = Server::start();
    let mut client = server.client();
    deploy_a(&mut client, "v1");
    deploy_a(&mut client, "v2");
    let mut user = server.client();
    let mut may = |rules: &str| {
        ok(&mut client, &format!("ACL SETUSER ann reset on nopass +auth {rules}"));
        ok(&mut user, "AUTH ann x");
        let replies = [
            deploy(&mut user, "VERSION v3 TRY", &[answer("a", "3")]),
            user.run("SHADOW.FUNCTION ROLLBACK"),
            user.run("SHADOW.FUNCTION VERSIONS"),
        ];
        replies.map(|reply| !reply.text().starts_with("NOPERM "))
    };
    assert_eq!(may(""), [false; 3]);
    assert_eq!(may("+@all"), [true; 3]);
    if categories_are_choosable(&server) {
        assert_eq!(may("+@all -@write"), [false, false, true]);
        assert_eq!(may("+@all -@scripting"), [false; 3]);
        assert_eq!(may("+@write"), [true, true, false]);
        assert_eq!(may("+@scripting"), [true; 3]);
    }
    assert_eq!(may("+shadow.function|deploy"), [true, false, false]);
    assert_eq!(may("+shadow.function|rollback"), [false, true, false]);
    assert_eq!(may("+shadow.function|versions"), [false, false, true]);
}

#[test]
fn a_rollback_reaches_a_replica_whose_data_is_on_its_way() {
    for diskless in ["yes", "no"] {
        // A hundred keys, two hundredths of a second each.
        let master = Options::new()
            .set("rdb-key-save-delay", "20000")
            .set("repl-diskless-sync", diskless)
            .set("repl-diskless-sync-delay", "0")
            .start();
        let mut client = master.client();
        client.run("DEBUG POPULATE 100");
        deploy_a(&mut client, "v1");
        deploy_a(&mut client, "v2");
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v1"), "which nobody else gets");
        let replica = Server::start();
        follow(&replica, &master);
        wait_until("the data is sent", || client.info_number("rdb_bgsave_in_progress") == 1);
        assert_eq!(client.run("SHADOW.FUNCTION ROLLBACK"), bulk("v2"));
        assert_eq!(client.info_number("rdb_bgsave_in_progress"), 1, "all that happened meanwhile");
        client.run("CONFIG SET rdb-key-save-delay 0");
        wait_in_step(&master, &replica);
        assert_eq!(said(&mut replica.client(), "a"), "v2", "diskless {diskless}");
    }
}

#[test]
fn a_deploy_reaches_the_master_of_before_which_comes_back_without_full_synchronisation() {
    let [first, second] = [Server::start(), Server::start()];
    let mut client = second.client();
    deploy_a(&mut client, "v1");
    follow(&second, &first);
    wait_in_step(&first, &second);
    ok(&mut client, "REPLICAOF NO ONE");
    follow(&first, &second);
    wait_in_step(&second, &first);
    assert_eq!(client.info_number("sync_full"), 0, "nothing was forked for it");
    deploy_a(&mut client, "v2");
    wait_in_step(&second, &first);
    assert_eq!(said(&mut first.client(), "a"), "v2");
}
