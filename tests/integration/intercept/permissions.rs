//! ACL rules for EVAL, EVALSHA, EVAL_RO, EVALSHA_RO and SCRIPT that are intercepted.

use super::{digest_of, intercepting_with};
use crate::support::{Client, Options};

const SCRIPT: &str = "return 'here'";

/// The commands, with the name that a rule gives them.
fn commands() -> Vec<(&'static str, Vec<String>)> {
    let digest = digest_of(SCRIPT);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        ("eval", words(&["EVAL", SCRIPT, "0"])),
        ("evalsha", words(&["EVALSHA", &digest, "0"])),
        ("eval_ro", words(&["EVAL_RO", SCRIPT, "0"])),
        ("evalsha_ro", words(&["EVALSHA_RO", &digest, "0"])),
        ("script|load", words(&["SCRIPT", "LOAD", SCRIPT])),
        ("script|exists", words(&["SCRIPT", "EXISTS", &digest])),
    ]
}

/// Those of the commands that the user of `client` may run, by the typed name and by that of the module.
fn permitted(client: &mut Client, prefix: &str) -> Vec<&'static str> {
    let mut permitted = Vec::new();
    for (name, mut words) in commands() {
        words[0].insert_str(0, prefix);
        let reply = client.call(&words);
        assert!(!reply.is_error() || reply.text().starts_with("NOPERM"), "{words:?}: {reply:?}");
        if !reply.is_error() {
            permitted.push(name);
        }
    }
    permitted
}

#[test]
fn a_rule_for_a_typed_command_holds_for_its_shadow() {
    let (_server, mut client) = intercepting_with("all");
    client.call(&["SCRIPT", "LOAD", SCRIPT]);
    let all: Vec<&str> = commands().iter().map(|(name, _)| *name).collect();
    let without = |names: &[&str]| all.iter().copied().filter(|name| !names.contains(name)).collect::<Vec<_>>();
    for (rules, expected) in [
        ("+eval", vec!["eval"]),
        ("+EvalSha", vec!["evalsha"]),
        ("+eval_ro +evalsha_ro", vec!["eval_ro", "evalsha_ro"]),
        ("+script", vec!["script|load", "script|exists"]),
        ("+script|load", vec!["script|load"]),
        ("+script -script|load", vec!["script|exists"]),
        ("+eval -eval", vec![]),
        ("+@all -eval", without(&["eval"])),
        ("+@all -script", without(&["script|load", "script|exists"])),
        ("+@all -@scripting", vec![]),
        ("-@all +@scripting", all.clone()),
        ("(+eval ~*)", vec!["eval"]),
    ] {
        client.run(&format!("ACL SETUSER user reset on nopass ~* +auth {rules}"));
        client.run("AUTH user x");
        for prefix in ["", "SHADOW."] {
            assert_eq!(permitted(&mut client, prefix), expected, "{prefix} after {rules}");
        }
        client.run("AUTH default x");
    }
}

#[test]
fn a_user_without_the_typed_command_does_not_get_it_by_its_other_name() {
    let (server, mut client) = intercepting_with("all");
    client.call(&["SCRIPT", "LOAD", SCRIPT]);
    let stock = Options::new().without_module().start();
    let mut stock = stock.client();
    stock.run("ACL SETUSER user reset on nopass ~* +auth");
    stock.run("AUTH user x");
    // As rules in a file would stand: for the module's commands alone.
    let ours = commands().iter().map(|(name, _)| format!("+shadow.{name}")).collect::<Vec<_>>().join(" ");
    client.run(&format!("ACL SETUSER user reset on nopass ~* +auth {ours}"));
    let mut user = server.client();
    user.run("AUTH user x");
    assert_eq!(permitted(&mut user, "SHADOW.").len(), commands().len());
    for (name, words) in commands() {
        let refusal = user.call(&words).text();
        assert_eq!(refusal, stock.call(&words).text());
        assert!(refusal.contains(&format!("'{name}' command")), "{refusal}");
    }
}

#[test]
fn declared_keys_are_those_of_the_typed_command() {
    let (_server, mut client) = intercepting_with("all");
    client.run("ACL SETUSER user reset on nopass +auth +eval +eval_ro %R~read:* ~own:* (+eval ~sel:*)");
    client.run("AUTH user x");
    for (command, key, allowed) in [
        ("EVAL", "own:1", true),
        ("EVAL", "sel:1", true),
        ("EVAL", "read:1", false),
        ("EVAL_RO", "read:1", true),
        ("EVAL_RO", "sel:1", false),
        ("EVAL_RO", "other", false),
    ] {
        let reply = client.call(&[command, SCRIPT, "1", key]);
        assert_eq!(reply.text() == "here", allowed, "{command} {key}: {reply:?}");
        assert!(allowed || reply.text().starts_with("NOPERM"), "{reply:?}");
    }
}

#[test]
fn rules_for_what_is_not_intercepted_stay_as_they_are() {
    let (_server, mut client) = intercepting_with("functions");
    client.run("ACL SETUSER user reset on nopass ~* +auth +eval +fcall");
    let rules = client.run("ACL GETUSER user").field("commands").expect("rules").text();
    assert!(rules.contains("+shadow.fcall") && !rules.contains("shadow.eval"), "{rules}");
}
