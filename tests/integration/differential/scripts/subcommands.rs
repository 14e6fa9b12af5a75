//! The subcommands of SCRIPT: their replies, and what they do to the cache.

use super::{Pair, compare_sessions};
use crate::support::scripts::digest;
use crate::support::{Client, Flavour, Server, Value};

const ONE: &str = "return 1";
const TWO: &str = "return {KEYS[1], ARGV[1]}";
const FLAGGED: &str = "#!lua flags=no-writes\nreturn 3";

#[test]
fn words_are_taken_and_refused_alike() {
    compare_sessions(&[&[
        &["SCRIPT"],
        &["script"],
        &["SCRIPT", "NOSUCH"],
        &["SCRIPT", ""],
        &["SCRIPT", "a\r\nb"],
        &["SCRIPT", "load|x"],
        &["SCRIPT", "LOAD"],
        &["ScRiPt", "LoAd"],
        &["SCRIPT", "LOAD", "a", "b"],
        &["SCRIPT", "EXISTS"],
        &["SCRIPT", "KILL", "x"],
        &["SCRIPT", "HELP", "x"],
        &["SCRIPT|LOAD", "x"],
        &["SCRIPT", "KILL"],
        &["script", "kill"],
    ]]);
}

#[test]
fn scripts_are_loaded_and_asked_for_alike() {
    let (one, two, flagged, unknown) = (digest(ONE), digest(TWO), digest(FLAGGED), digest("unknown"));
    compare_sessions(&[
        &[
            &["SCRIPT", "EXISTS", &one, &two],
            &["SCRIPT", "LOAD", ONE],
            &["script", "load", ONE],
            &["SCRIPT", "LOAD", FLAGGED],
            &["SCRIPT", "EXISTS", &one, &two, &one, &flagged, &unknown, "", "x", &one.to_uppercase()],
            &["EVALSHA", &one, "0"],
            &["EVALSHA", &two, "0"],
            &["EVAL", TWO, "1", "a", "b"],
            &["EVALSHA", &two, "1", "a", "b"],
            &["EVALSHA", &two.to_uppercase(), "0"],
            &["EVALSHA_RO", &two, "0", "b"],
            &["EVALSHA_RO", &flagged, "0"],
        ],
        // What fails to compile is not kept; what fails to run is.
        &[
            &["SCRIPT", "LOAD", "return ("],
            &["SCRIPT", "EXISTS", &digest("return (")],
            &["SCRIPT", "LOAD", "#!lua nonsense\nreturn 1"],
            &["SCRIPT", "EXISTS", &digest("#!lua nonsense\nreturn 1")],
            &["EVAL", "error('x')", "0"],
            &["SCRIPT", "EXISTS", &digest("error('x')")],
            &["EVALSHA", &digest("error('x')"), "0"],
            &["EVALSHA", &digest("error('x')").to_uppercase(), "0"],
        ],
        // LOAD does not run a script.
        &[
            &["SCRIPT", "LOAD", "return redis.call('set', 'key', 'v')"],
            &["EVAL", "return redis.call('exists', 'key')", "0"],
        ],
    ]);
}

#[test]
fn the_cache_is_flushed_alike() {
    let (one, two) = (digest(ONE), digest(TWO));
    compare_sessions(&[&[
        &["SCRIPT", "FLUSH"],
        &["SCRIPT", "LOAD", ONE],
        &["EVAL", TWO, "0"],
        &["SCRIPT", "FLUSH", "BAD"],
        &["SCRIPT", "FLUSH", ""],
        &["SCRIPT", "FLUSH", "a\r\nb"],
        &["SCRIPT", "FLUSH", "SYNC", "SYNC"],
        &["SCRIPT", "FLUSH", "SYNC", "x"],
        &["SCRIPT", "fLuSh", "ASYNC", "SYNC", "x"],
        &["SCRIPT", "EXISTS", &one, &two],
        &["SCRIPT", "FLUSH"],
        &["SCRIPT", "EXISTS", &one, &two],
        &["EVALSHA", &one, "0"],
        &["SCRIPT", "LOAD", ONE],
        &["SCRIPT", "FLUSH", "sync"],
        &["SCRIPT", "EXISTS", &one],
        &["SCRIPT", "LOAD", ONE],
        &["SCRIPT", "FLUSH", "aSyNc"],
        &["SCRIPT", "EXISTS", &one],
        &["EVALSHA", &one, "0"],
        &["EVAL", ONE, "0"],
        &["EVALSHA", &one, "0"],
    ]]);
}

/// Only Valkey has SHOW.
#[test]
fn a_script_is_shown_as_it_was_loaded() {
    let mut pair = Pair::start();
    if pair.server().flavour() != Flavour::Valkey {
        return;
    }
    for script in [ONE, TWO, FLAGGED, "", "-- \r\n é\nreturn 1"] {
        pair.flush_scripts();
        let digest = digest(script);
        pair.compare(&["SCRIPT", "SHOW", &digest]);
        pair.compare(&["EVAL", script, "0"]);
        pair.compare(&["SCRIPT", "SHOW", &digest]);
        pair.compare(&["script", "show", &digest.to_uppercase()]);
        pair.compare(&["SCRIPT", "SHOW", &digest[..39]]);
        pair.compare(&["SCRIPT", "SHOW", &format!("{digest}\0")]);
        pair.compare(&["SCRIPT", "SHOW"]);
        pair.compare(&["SCRIPT", "SHOW", &digest, &digest]);
    }
    pair.finish();
}

/// HELP by its entries: the subcommand, and the lines of it.
fn entries(client: &mut Client, command: &str) -> Vec<(String, Vec<Value>)> {
    let mut entries: Vec<(String, Vec<Value>)> = Vec::new();
    for line in client.call(&[command, "HELP"]).items().into_iter().skip(1) {
        let text = line.text();
        match entries.last_mut().filter(|_| text.starts_with(' ')) {
            Some((_, lines)) => lines.push(line),
            None => entries.push((text.split(' ').next().unwrap_or_default().to_owned(), vec![line])),
        }
    }
    entries
}

#[test]
fn help_describes_what_both_have_alike() {
    let server = Server::start();
    let mut client = server.client();
    let first = client.run("SHADOW.SCRIPT HELP").items()[0].clone();
    let expected = "SHADOW.SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    assert_eq!(first, Value::Simple(expected.to_owned()));
    for protocol in [2, 3] {
        if protocol == 3 {
            client.hello3();
        }
        let (own, ours) = (entries(&mut client, "SCRIPT"), entries(&mut client, "SHADOW.SCRIPT"));
        let of = |entries: &[(String, Vec<Value>)], name: &str| {
            let entry = entries.iter().find(|(subcommand, _)| subcommand == name);
            entry.unwrap_or_else(|| panic!("HELP has {name}: {entries:?}")).1.clone()
        };
        for name in ["EXISTS", "FLUSH", "LOAD", "HELP"] {
            assert_eq!(of(&ours, name), of(&own, name), "{name}");
        }
        // It may be told more words here.
        assert_eq!(of(&ours, "KILL").last(), of(&own, "KILL").last());
        if server.flavour() == Flavour::Valkey {
            assert_eq!(of(&ours, "SHOW"), of(&own, "SHOW"));
        }
    }
}

#[test]
fn every_subcommand_that_help_names_exists() {
    let server = Server::start();
    let mut client = server.client();
    let entries = entries(&mut client, "SHADOW.SCRIPT");
    assert!(entries.len() >= 7, "{entries:?}");
    for (subcommand, _) in entries {
        let reply = client.call(&["SHADOW.SCRIPT", &subcommand, "a", "b", "c", "d", "e"]);
        assert!(!reply.text().contains("unknown subcommand '"), "{subcommand}: {reply:?}");
    }
}
