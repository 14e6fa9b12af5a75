//! What the server knows about the commands: COMMAND, ACL, and its statistics.

use std::collections::BTreeSet;

use crate::support::library::{callback, load};
use crate::support::{Client, Options, Server, Value};

/// Each command of ours beside the server's own. One that takes more words than the server's is not among them.
const COMMANDS: [&str; 18] = [
    "FUNCTION",
    "FUNCTION|LOAD",
    "FUNCTION|DELETE",
    "FUNCTION|FLUSH",
    "FUNCTION|LIST",
    "FUNCTION|STATS",
    "FUNCTION|HELP",
    "FCALL",
    "FCALL_RO",
    "EVAL",
    "EVALSHA",
    "EVAL_RO",
    "EVALSHA_RO",
    "SCRIPT",
    "SCRIPT|LOAD",
    "SCRIPT|EXISTS",
    "SCRIPT|FLUSH",
    "SCRIPT|HELP",
];

/// Those that have keys.
const WITH_KEYS: [&str; 6] = ["FCALL", "FCALL_RO", "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"];

fn shadow(command: &str) -> String {
    format!("SHADOW.{command}")
}

fn info(client: &mut Client, command: &str) -> Vec<Value> {
    let reply = client.call(&["COMMAND", "INFO", command]).items();
    assert_ne!(reply, [Value::Null], "{command} is known");
    reply[0].items()
}

fn docs(client: &mut Client, command: &str) -> Value {
    client.call(&["COMMAND", "DOCS", command]).items()[1].clone()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.sorted_texts().into_iter().collect()
}

#[test]
fn arity_and_flags_are_the_servers() {
    let server = Server::start();
    let mut client = server.client();
    for command in COMMANDS {
        let (own, ours) = (info(&mut client, command), info(&mut client, &shadow(command)));
        assert_eq!(ours[1], own[1], "arity of {command}");
        let mut flags = texts(&ours[2]);
        assert!(flags.remove("module"), "{command} comes from a module");
        if ["FCALL", "EVAL", "EVALSHA"].contains(&command) && server.version() < (7, 2, 0) {
            assert!(flags.remove("readonly"), "its keys are tracked by this flag");
        }
        assert_eq!(flags, texts(&own[2]), "flags of {command}");
        assert_eq!(ours[3..6], own[3..6], "first key, last key and step of {command}");
    }
}

/// Whether a module may put its commands into categories here; where it may not, they are in none.
pub fn categories_are_choosable(server: &Server) -> bool {
    server.version() >= (7, 2, 0)
}

/// All commands of the module, subcommands included.
pub fn all_of_ours(client: &mut Client) -> BTreeSet<String> {
    let all = texts(&client.run("COMMAND LIST FILTERBY MODULE shadow"));
    assert!(all.len() >= COMMANDS.len(), "{all:?}");
    all
}

/// The server's commands in whose categories a command of the module is.
pub fn counterparts(command: &str) -> Vec<&str> {
    match command {
        "shadow.function|import" | "shadow.function|deploy" | "shadow.function|rollback" | "shadow.script|kept" => {
            vec!["function|restore"]
        }
        "shadow.function|versions" => vec!["function|list"],
        "shadow.function|resetstat" => vec!["function|stats", "config|resetstat"],
        "shadow.function|keys"
        | "shadow.function|histogram"
        | "shadow.function|slowlog"
        | "shadow.function|profile" => {
            vec!["function|stats", "slowlog|get"]
        }
        "shadow.script|keys" | "shadow.script|histogram" | "shadow.script|slowlog" | "shadow.script|profile" => {
            vec!["script|exists", "slowlog|get"]
        }
        "shadow.metrics" => vec!["info"],
        // Redis has no SCRIPT SHOW.
        "shadow.script|list" | "shadow.script|show" => vec!["script|exists"],
        _ => vec![command.strip_prefix("shadow.").expect("a name of the module's")],
    }
}

#[test]
fn acl_categories_are_the_servers_where_modules_may_choose() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    let choosable = categories_are_choosable(&server);
    for command in all_of_ours(&mut client) {
        let mut expected = BTreeSet::new();
        for counterpart in counterparts(&command).into_iter().filter(|_| choosable) {
            expected.extend(texts(&info(&mut client, counterpart)[6]));
        }
        assert_eq!(texts(&info(&mut client, &command)[6]), expected, "{command}");
    }
}

#[test]
fn tips_are_the_servers() {
    let server = Server::start();
    let mut client = server.client();
    for command in COMMANDS {
        let (own, ours) = (info(&mut client, command), info(&mut client, &shadow(command)));
        assert_eq!(texts(&ours[7]), texts(&own[7]), "{command}");
    }
}

#[test]
fn key_specifications_are_the_servers() {
    let server = Server::start();
    let mut client = server.client();
    for command in WITH_KEYS {
        let (own, ours) = (info(&mut client, command), info(&mut client, &shadow(command)));
        let (own, ours) = (&own[8].items()[0], &ours[8].items()[0]);
        assert_eq!(
            texts(&ours.field("flags").expect("flags")),
            texts(&own.field("flags").expect("flags")),
            "{command}"
        );
        for field in ["notes", "begin_search", "find_keys"] {
            assert_eq!(ours.field(field), own.field(field), "{field} of {command}");
        }
    }
}

#[test]
fn subcommands_are_listed_under_their_container() {
    let server = Server::start();
    let mut client = server.client();
    let functions = &[
        "delete",
        "deploy",
        "dump",
        "flush",
        "import",
        "kill",
        "list",
        "load",
        "resetstat",
        "restore",
        "rollback",
        "stats",
        "versions",
    ][..];
    let scripts = &["debug", "exists", "flush", "kept", "kill", "list", "load", "show"][..];
    let both = ["help", "histogram", "keys", "profile", "slowlog"];
    for (container, expected) in [("shadow.function", functions), ("shadow.script", scripts)] {
        let subcommands = info(&mut client, container)[9].items();
        let names: BTreeSet<String> = subcommands.iter().map(|subcommand| subcommand.items()[0].text()).collect();
        assert_eq!(names, expected.iter().chain(&both).map(|name| format!("{container}|{name}")).collect());
    }
}

#[test]
fn a_kill_has_the_servers_flags_and_tips() {
    let server = Server::start();
    let mut client = server.client();
    for command in ["FUNCTION|KILL", "SCRIPT|KILL"] {
        let (own, ours) = (info(&mut client, command), info(&mut client, &shadow(command)));
        let mut flags = texts(&ours[2]);
        assert!(flags.remove("module"));
        assert_eq!(flags, texts(&own[2]), "{command}");
        assert_eq!(texts(&ours[7]), texts(&own[7]), "{command}");
    }
}

#[test]
fn docs_describe_every_command() {
    let server = Server::start();
    let mut client = server.client();
    for command in COMMANDS {
        let (own, ours) = (docs(&mut client, command), docs(&mut client, &shadow(command)));
        assert!(!ours.field("summary").expect("a summary").text().is_empty(), "{command}");
        // What a flush costs is what the module is about.
        if !["FUNCTION|FLUSH", "SCRIPT|FLUSH"].contains(&command) {
            assert_eq!(ours.field("complexity"), own.field("complexity"), "complexity of {command}");
        }
        assert!(ours.field("since").is_some(), "{command} says since when it exists");
    }
}

/// An argument of a command as `name:type:token:flags` with its members in brackets; names are left out where the
/// server's own changed between versions.
fn outline(argument: &Value) -> String {
    let text = |field: &str| argument.field(field).map(|value| value.text()).unwrap_or_default();
    let flags = argument.field("flags").map(|flags| flags.sorted_texts().join(",")).unwrap_or_default();
    let members: Vec<String> =
        argument.field("arguments").map(|members| members.items().iter().map(outline).collect()).unwrap_or_default();
    let name = if text("type") == "oneof" { String::new() } else { text("name") };
    format!("{name}:{}:{}:{flags}[{}]", text("type"), text("token"), members.join(" "))
}

#[test]
fn docs_have_the_servers_tree_of_arguments() {
    let server = Server::start();
    let mut client = server.client();
    let outlines = |docs: Value| -> Vec<String> {
        docs.field("arguments").map(|arguments| arguments.items().iter().map(outline).collect()).unwrap_or_default()
    };
    for command in COMMANDS {
        let (mut own, ours) = (outlines(docs(&mut client, command)), outlines(docs(&mut client, &shadow(command))));
        if command == "FUNCTION|LIST" {
            own.push("withstats:pure-token:WITHSTATS:optional[]".to_owned());
        }
        assert_eq!(ours, own, "{command}");
    }
    for container in ["FUNCTION", "SCRIPT"] {
        let docs = docs(&mut client, &format!("SHADOW.{container}|FLUSH"));
        let flush = docs.field("arguments").expect("arguments").items();
        assert_eq!(flush.len(), 1);
        assert_eq!(outline(&flush[0]), ":oneof::optional[async:pure-token:ASYNC:[] sync:pure-token:SYNC:[]]");
    }
}

#[test]
fn getkeys_finds_the_declared_keys() {
    let server = Server::start();
    let mut client = server.client();
    for command in WITH_KEYS {
        for arguments in ["f 2 a b c", "f 0 x", "f 1 a", "f x", "f 5 a", "f -1 a", "f"] {
            let words = |name: &str| {
                let line = format!("COMMAND GETKEYS {name} {arguments}");
                line.split(' ').map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(client.raw(&words(&shadow(command))), client.raw(&words(command)), "{command} {arguments}");
        }
        let flags = client.run(&format!("COMMAND GETKEYSANDFLAGS {command} f 1 k"));
        assert_eq!(client.run(&format!("COMMAND GETKEYSANDFLAGS SHADOW.{command} f 1 k")), flags);
    }
}

#[test]
fn acl_rules_apply_to_each_subcommand() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return 1"));
    assert!(!client.run("ACL SETUSER ann on nopass allkeys -@all +shadow.function|list +shadow.fcall").is_error());
    assert!(!client.run("ACL SETUSER bob on nopass allkeys +@all -shadow.function|flush").is_error());
    let (mut ann, mut bob) = (server.client(), server.client());
    ann.run("AUTH ann x");
    bob.run("AUTH bob x");
    for (command, allowed) in [
        ("SHADOW.FUNCTION LIST", true),
        ("SHADOW.FUNCTION STATS", false),
        ("SHADOW.FUNCTION FLUSH", false),
        ("SHADOW.FCALL f 0", true),
        ("SHADOW.FCALL_RO f 0", false),
    ] {
        assert_eq!(!ann.run(command).text().starts_with("NOPERM"), allowed, "ann: {command}");
    }
    for (command, allowed) in
        [("SHADOW.FUNCTION FLUSH", false), ("SHADOW.FUNCTION STATS", true), ("FUNCTION FLUSH", true)]
    {
        assert_eq!(!bob.run(command).text().starts_with("NOPERM"), allowed, "bob: {command}");
    }
    assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1), "nothing was flushed");
}

#[test]
fn the_category_of_writes_holds_what_changes_the_registry() {
    let server = Server::start();
    let choosable = categories_are_choosable(&server);
    let mut client = server.client();
    client.run("ACL SETUSER ann on nopass allkeys +@all -@write");
    let mut ann = server.client();
    ann.run("AUTH ann x");
    for (command, allowed) in [
        ("SHADOW.FUNCTION LOAD x", false),
        ("SHADOW.FUNCTION DELETE x", false),
        ("SHADOW.FUNCTION FLUSH", false),
        ("SHADOW.FUNCTION LIST", true),
        ("SHADOW.FUNCTION STATS", true),
        ("SHADOW.FCALL f 0", true),
    ] {
        let allowed = allowed || !choosable;
        assert_eq!(!ann.run(command).text().starts_with("NOPERM"), allowed, "{command}");
    }
}

#[test]
fn statistics_are_kept_for_each_subcommand() {
    let server = Server::start();
    let mut client = server.client();
    client.run("CONFIG RESETSTAT");
    load(&mut client, &callback("return redis.call('ping')"));
    for _ in 0..3 {
        client.run("SHADOW.FCALL f 0");
    }
    client.run("SHADOW.FCALL missing 0");
    client.run("SHADOW.FCALL_RO f 0");
    client.run("SHADOW.FUNCTION LIST");
    client.run("SHADOW.FUNCTION FLUSH");
    client.run("SHADOW.FUNCTION LOAD");
    for (command, field, count) in [
        ("shadow.function|load", "calls", 1.0),
        ("shadow.function|load", "rejected_calls", 1.0),
        ("shadow.function|list", "calls", 1.0),
        ("shadow.function|flush", "calls", 1.0),
        ("shadow.fcall", "calls", 4.0),
        ("shadow.fcall", "failed_calls", 1.0),
        ("shadow.fcall_ro", "failed_calls", 1.0),
        ("ping", "calls", 3.0),
    ] {
        assert_eq!(client.command_stat(command, field), count, "{field} of {command}");
    }
}

#[test]
fn loading_is_refused_over_maxmemory_and_flushing_is_not() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &callback("return 1"));
    client.run("CONFIG SET maxmemory 1");
    assert!(client.call(&["SHADOW.FUNCTION", "LOAD", &callback("return 2")]).text().starts_with("OOM "));
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
    assert_eq!(client.run("SHADOW.FUNCTION LIST").items(), []);
}

#[test]
fn wrong_words_are_answered_with_the_commands_own_names() {
    let server = Server::start();
    let mut client = server.client();
    for (command, text) in [
        ("SHADOW.FUNCTION", "wrong number of arguments for 'shadow.function' command"),
        ("SHADOW.FUNCTION LOAD", "wrong number of arguments for 'shadow.function|load' command"),
        ("SHADOW.FUNCTION DELETE a b", "wrong number of arguments for 'shadow.function|delete' command"),
        ("SHADOW.FUNCTION STATS x", "wrong number of arguments for 'shadow.function|stats' command"),
        ("SHADOW.FUNCTION Nonsense", "unknown subcommand 'Nonsense'. Try SHADOW.FUNCTION HELP."),
        (
            "SHADOW.FUNCTION flush a b",
            "unknown subcommand or wrong number of arguments for 'flush'. Try SHADOW.FUNCTION HELP.",
        ),
        ("SHADOW.FCALL f", "wrong number of arguments for 'shadow.fcall' command"),
        ("SHADOW.FCALL_RO f", "wrong number of arguments for 'shadow.fcall_ro' command"),
    ] {
        assert_eq!(client.run(command), Value::Error(format!("ERR {text}")));
    }
}
