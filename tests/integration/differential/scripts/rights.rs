//! What users may run: each command by itself, the keys that a call declares, and the commands inside.

use super::{Pair, Server, wording};
use crate::support::scripts::digest;
use crate::support::{Client, Value};

/// Has both connections of a new pair speak for a user with these rules, in which `$` stands before the name of a
/// command that both sides have.
fn pair_of(rules: &str) -> Pair {
    let mut pair = Pair::start();
    for command in [vec!["SCRIPT", "LOAD", SCRIPT], vec!["SET", "r1", "v"], vec!["SET", "sel1", "v"]] {
        pair.compare_in(2, &command);
    }
    set_user(&mut pair.server().client(), rules);
    pair.log_in("ann");
    pair
}

fn set_user(client: &mut Client, rules: &str) {
    let both = rules.split(' ').flat_map(|rule| match rule.split_once('$') {
        Some((sign, name)) => vec![format!("{sign}{name}"), format!("{sign}shadow.{name}")],
        None => vec![rule.to_owned()],
    });
    let words = "ACL SETUSER ann reset on nopass".split(' ').map(str::to_owned).chain(both);
    let reply = client.call(&words.collect::<Vec<_>>());
    assert_eq!(reply.text(), "OK", "{rules}");
}

const SCRIPT: &str = "return {KEYS[1], ARGV[1]}";

/// Commands of every kind, without keys.
fn compare_commands(pair: &mut Pair) {
    let known = digest(SCRIPT);
    for words in [
        &["EVAL", "return 1", "0"][..],
        &["EVAL_RO", "return 1", "0"],
        &["EVALSHA", &known, "0"],
        &["EVALSHA_RO", &known, "0"],
        &["EVALSHA", "unknown", "0"],
        &["EVAL", "return (", "0"],
        &["EVAL", "return 1", "x"],
        &["EVAL", "return 1"],
        &["SCRIPT", "LOAD", SCRIPT],
        &["SCRIPT", "EXISTS", &known],
        &["SCRIPT", "KILL"],
        &["SCRIPT", "FLUSH", "BAD"],
        &["SCRIPT", "NOSUCH"],
        &["SCRIPT", "LOAD"],
        &["SCRIPT"],
    ] {
        pair.compare(words);
    }
}

#[test]
fn each_command_is_allowed_by_itself() {
    for rules in [
        "-@all",
        "+@all",
        "+@all -$eval",
        "+@all -$eval_ro",
        "+@all -$script",
        "+@all -$script|flush",
        "+@all -$script|load -$script|exists",
        "-@all +$eval",
        "-@all +$evalsha",
        "-@all +$eval_ro +$evalsha_ro",
        "-@all +$script",
        "-@all +$script|load",
        "-@all +$script|exists +$script|kill",
    ] {
        let mut pair = pair_of(rules);
        pair.loaded = format!(" by a user with {rules}");
        compare_commands(&mut pair);
        pair.finish();
    }
}

/// The row `acl-readonly-category`: on Redis 7.0 the module's commands are in no category.
#[test]
fn categories_allow_the_same_commands() {
    if Server::start().version() < (7, 2, 0) {
        return;
    }
    for rules in
        ["-@all +@read", "-@all +@scripting", "+@all -@scripting", "-@all +@slow", "+@all -@slow", "+@all -@write"]
    {
        let mut pair = pair_of(rules);
        pair.loaded = format!(" by a user with {rules}");
        compare_commands(&mut pair);
        pair.finish();
    }
}

#[test]
fn declared_keys_are_checked_alike() {
    let known = digest(SCRIPT);
    for rules in ["~r*", "%R~r*", "%W~r*", "%RW~r*", "%R~r* %W~w*", "%R~r* %W~r*", "allkeys", "resetkeys"] {
        let mut pair = pair_of(&format!("{rules} +@all"));
        pair.loaded = format!(" by a user with {rules}");
        for keys in [&["0"][..], &["0", "other"], &["1", "r1"], &["1", "w1"], &["1", "other"], &["2", "r1", "other"]] {
            for (command, script) in [
                ("EVAL", "return 1"),
                ("EVAL_RO", "return 1"),
                ("EVALSHA", &*known),
                ("EVALSHA_RO", &*known),
                ("EVALSHA", "unknown"),
                ("EVAL", "return ("),
                ("EVAL", "#!lua flags=no-writes\nreturn 1"),
                ("EVAL_RO", "#!lua flags=no-writes\nreturn 1"),
            ] {
                pair.compare(&[&[command, script][..], keys].concat());
            }
        }
        pair.compare(&["EVAL", "return 1", "x", "other"]);
        pair.compare(&["EVAL", "return 1", "-1", "other"]);
        pair.compare(&["EVAL", "return 1", "9", "other"]);
        pair.finish();
    }
}

#[test]
fn commands_inside_need_the_callers_rights() {
    for rules in
        ["~r* +$eval +get", "~r* +$eval +@all -get", "+$eval (+get ~sel*)", "%R~r* +$eval +get +set", "~* +$eval"]
    {
        let mut pair = pair_of(rules);
        pair.loaded = format!(" by a user with {rules}");
        for command in ["'get','r1'", "'get','sel1'", "'get','other'", "'set','r1','v'", "'nosuch'", "'ping'"] {
            for way in ["redis.call", "redis.pcall", "redis.acl_check_cmd"] {
                pair.compare(&["EVAL", &format!("return {way}({command})"), "0"]);
            }
        }
        pair.compare(&["EVAL", "return redis.call('get', KEYS[1])", "1", "sel1"]);
        pair.compare(&["EVAL", "return redis.call('get', KEYS[1])", "1", "r1"]);
        pair.finish();
    }
}

#[test]
fn a_transaction_with_a_command_that_is_not_allowed_is_refused() {
    for rules in ["~* +@all -$eval", "~* +@all -$script|load", "~r* +@all"] {
        let mut pair = pair_of(rules);
        for words in
            [&["EVAL", "return 1", "0"][..], &["SCRIPT", "LOAD", "return 1"], &["EVAL", "return 1", "1", "other"]]
        {
            for protocol in [2, 3] {
                pair.compare_sequence_in(protocol, &[vec!["MULTI"], words.to_vec(), vec!["PING"], vec!["EXEC"]]);
            }
        }
        pair.finish();
    }
}

#[test]
fn a_dry_run_looks_at_the_command_and_its_keys() {
    let server = Server::start();
    let mut client = server.client();
    set_user(&mut client, "~r* +$eval +$script|load");
    for line in [
        "EVAL x 0",
        "EVAL x 1 r1",
        "EVAL x 1 other",
        "EVAL x y other",
        "EVAL x",
        "EVAL_RO x 0",
        "EVALSHA x 1 r1",
        "SCRIPT LOAD x",
        "SCRIPT FLUSH",
        "SCRIPT LOAD",
    ] {
        let [own, ours] = ["", "SHADOW."].map(|prefix| {
            let line = format!("ACL DRYRUN ann {prefix}{line}");
            client.raw(&line.split(' ').collect::<Vec<_>>())
        });
        // The answer is a string, whose length has the name in it.
        let text = |raw: &[u8]| crate::support::resp::parse(raw).text().replace("shadow.", "");
        assert_eq!(text(&wording(&ours)), text(&wording(&own)), "{line}");
    }
}

/// The row `acl-log-context`.
#[test]
fn a_denied_command_is_in_the_log_of_the_acl() {
    let server = Server::start();
    let mut client = server.client();
    set_user(&mut client, "~mine +$eval");
    let mut ann = server.client();
    ann.run("AUTH ann any");
    for (command, context) in [("EVAL", "lua"), ("SHADOW.EVAL", "module")] {
        client.run("ACL LOG RESET");
        ann.call(&[command, "return redis.pcall('append', 'mine', 'v')", "0"]);
        let entries = client.run("ACL LOG").items();
        let field = |name: &str| entries[0].field(name).as_ref().map(Value::text);
        assert_eq!(field("context").as_deref(), Some(context), "{command}");
        assert_eq!(field("object").as_deref(), Some("append"), "{command}");
        assert_eq!(field("username").as_deref(), Some("ann"), "{command}");
    }
}
