//! Scripts in transactions, and commands that scripts may not run.

use super::{Body, Pair};
use crate::support::scripts::digest;
use crate::support::{Flavour, Server, Value, Words};

const SCRIPT: &str = "return {KEYS[1], ARGV[1]}";

/// Compares transactions on a server that has both commands and on one that intercepts, each from empty caches.
fn compare_transactions(transactions: &[&[&[&str]]]) {
    for mut pair in [Pair::start(), Pair::intercepting()] {
        for transaction in transactions {
            for protocol in [2, 3] {
                pair.flush_scripts();
                let mut commands = vec![vec!["MULTI"]];
                commands.extend(transaction.iter().map(|words| words.to_vec()));
                commands.push(vec!["EXEC"]);
                pair.compare_sequence_in(protocol, &commands);
            }
        }
        pair.finish();
    }
}

#[test]
fn commands_are_queued_and_run_in_order() {
    let digest = digest(SCRIPT);
    compare_transactions(&[
        &[&["SCRIPT", "LOAD", SCRIPT], &["EVALSHA", &digest, "1", "a", "b"], &["SCRIPT", "EXISTS", &digest]],
        &[
            &["EVALSHA", &digest, "0"],
            &["EVAL", SCRIPT, "1", "a"],
            &["EVALSHA", &digest, "0", "b"],
            &["SCRIPT", "FLUSH"],
            &["EVALSHA", &digest, "0"],
            &["SCRIPT", "EXISTS", &digest, &digest],
        ],
        &[&["SCRIPT", "FLUSH", "ASYNC"], &["EVAL_RO", SCRIPT, "0"], &["EVALSHA_RO", &digest, "0"], &["SCRIPT", "KILL"]],
        &[&["EVAL", SCRIPT, "x"], &["EVAL", "#!lua nonsense\nreturn 1", "0"], &["EVALSHA", "short", "0"]],
        &[&["EVAL", "error('x')", "0"], &["EVAL", "return redis.call('nosuch')", "0"], &["SCRIPT", "FLUSH", "BAD"]],
        &[&["EVAL", "redis.setresp(3) return true", "0"], &["EVAL", "return true", "0"]],
    ]);
}

#[test]
fn a_mistake_in_words_ends_the_transaction() {
    compare_transactions(&[
        &[&["EVAL", SCRIPT], &["EVAL", SCRIPT, "0"]],
        &[&["SCRIPT", "LOAD"], &["EVAL", SCRIPT, "0"]],
        &[&["SCRIPT", "NOSUCH"], &["EVAL", SCRIPT, "0"]],
        &[&["EVALSHA", "x"]],
        &[&["SCRIPT"]],
    ]);
}

/// Words of commands that scripts may not run, besides the server's own of the same names.
const REFUSED: &[&str] = &[
    "'shadow.eval','return 1','0'",
    "'shadow.eval_ro','return 1','0'",
    "'shadow.evalsha','x','0'",
    "'shadow.evalsha_ro','x','0'",
    "'shadow.script','load','return 1'",
    "'shadow.script','exists','x'",
    "'shadow.script','flush'",
    "'shadow.script','kill'",
    "'shadow.script','list'",
];

#[test]
fn neither_scripts_nor_functions_run_scripts() {
    let mut pair = Pair::start();
    let words = Words::of(pair.server());
    for command in REFUSED {
        pair.load_bodies(&[Body::plain("f", &format!("return redis.call({command})"))]);
        pair.compare(&["FCALL", "f", "0"]);
        let caught = format!("return redis.pcall({command})");
        for own in ["EVAL", "SHADOW.EVAL"] {
            let reply = pair.server().client().call(&[own, &caught, "0"]);
            assert_eq!(reply, Value::Error(words.not_for_scripts.to_owned()), "{own} {caught}");
        }
    }
    pair.finish();
}

#[test]
fn an_intercepting_server_refuses_them_in_the_same_words() {
    let mut pair = Pair::intercepting();
    for command in [
        "'eval','return 1','0'",
        "'eval_ro','return 1','0'",
        "'evalsha','x','0'",
        "'evalsha_ro','x','0'",
        "'script','load','return 1'",
        "'script','exists','x'",
        "'script','flush'",
        "'script','kill'",
        "'fcall','f','0'",
        "'function','list'",
        "'eval'",
        "'script'",
    ] {
        for way in ["call", "pcall"] {
            pair.compare(&["EVAL", &format!("return redis.{way}({command})"), "0"]);
        }
    }
    pair.finish();
}

#[test]
fn scripts_may_ask_for_help() {
    let server = Server::start();
    let mut client = server.client();
    let lines = client.run("SHADOW.SCRIPT HELP").items().len();
    assert!(lines > 10);
    for command in ["EVAL", "SHADOW.EVAL"] {
        let reply = client.call(&[command, "return #redis.call('shadow.script', 'help')", "0"]);
        assert_eq!(reply, Value::Integer(lines as i64), "{command}");
    }
    let least = if server.flavour() == Flavour::Valkey { 19 } else { 17 };
    let reply = client.call(&["SHADOW.EVAL", "return #redis.call('script', 'help')", "0"]);
    assert!(matches!(reply, Value::Integer(lines) if lines >= least), "{reply:?}");
}

#[test]
fn a_script_works_in_the_callers_database_and_leaves_it_selected() {
    let mut pair = Pair::start();
    let script = "redis.call('set', 'here', 1) redis.call('select', 5) redis.call('set', 'there', 1)";
    for ending in ["", " error('x')", " redis.call('nosuch')"] {
        for protocol in [2, 3] {
            pair.compare_sequence_in(
                protocol,
                &[
                    vec!["FLUSHALL"],
                    vec!["SELECT", "3"],
                    vec!["EVAL", &format!("{script}{ending}"), "0"],
                    vec!["EXISTS", "here", "there"],
                    vec!["EVAL", "return redis.call('exists', 'here', 'there')", "0"],
                    vec!["SELECT", "5"],
                    vec!["EXISTS", "here", "there"],
                    vec!["SELECT", "0"],
                    vec!["EXISTS", "here", "there"],
                ],
            );
        }
    }
    pair.finish();
}
