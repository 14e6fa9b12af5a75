//! SHADOW.FUNCTION HELP, and what the servers have that the module only speaks of.

use crate::support::{Server, Value};

/// The server's own help without the entries of these subcommands: an entry is a line at the margin and the indented
/// ones after it.
fn without(help: Vec<Value>, subcommands: &[&str]) -> Vec<Value> {
    let mut kept = true;
    help.into_iter()
        .filter(|line| {
            let text = line.text();
            if !text.starts_with(' ') {
                kept = !subcommands.contains(&text.split(' ').next().unwrap_or_default());
            }
            kept
        })
        .collect()
}

/// The server's own help without what it says of WITHSTATS.
fn without_statistics(help: Vec<Value>) -> Vec<Value> {
    let words = |line: &Value| line.text().replace(" [WITHSTATS]", "");
    let kept = help.iter().filter(|line| !line.text().contains("(if WITHSTATS is given)"));
    kept.map(|line| Value::Simple(words(line))).collect()
}

#[test]
fn the_text_is_the_servers_own_for_the_subcommands_there_are() {
    let server = Server::start();
    let mut client = server.client();
    for protocol in [2, 3] {
        if protocol == 3 {
            client.hello3();
        }
        let own = client.run("FUNCTION HELP").items();
        let whole = client.run("SHADOW.FUNCTION HELP").items();
        let shadow = without_statistics(without(
            whole.clone(),
            &["DEPLOY", "ROLLBACK", "VERSIONS", "IMPORT", "KEYS", "HISTOGRAM", "SLOWLOG", "PROFILE", "RESETSTAT"],
        ));
        let added = "seven subcommands of two lines, one of three, one of six, and a line of LIST";
        assert_eq!(whole.len(), shadow.len() + 24, "{added}");
        assert_eq!(
            shadow[0],
            Value::Simple("SHADOW.FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".to_owned())
        );
        assert_eq!(shadow[1..], own[1..]);
    }
}

#[test]
fn every_subcommand_that_help_names_exists() {
    let server = Server::start();
    let mut client = server.client();
    let help = client.run("SHADOW.FUNCTION HELP").items();
    let subcommands: Vec<String> = help[1..]
        .iter()
        .map(Value::text)
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().expect("a word").to_owned())
        .collect();
    assert_eq!(
        subcommands,
        [
            "LOAD",
            "DELETE",
            "LIST",
            "STATS",
            "KILL",
            "FLUSH",
            "DUMP",
            "RESTORE",
            "DEPLOY",
            "ROLLBACK",
            "VERSIONS",
            "IMPORT",
            "KEYS",
            "HISTOGRAM",
            "SLOWLOG",
            "PROFILE",
            "RESETSTAT",
            "HELP"
        ]
    );
    for subcommand in subcommands {
        let reply = client.call(&["SHADOW.FUNCTION", &subcommand, "a", "b", "c", "d"]);
        assert!(!reply.text().contains("unknown subcommand '"), "{reply:?}");
    }
}

#[test]
fn the_debugger_is_left_to_the_server() {
    let server = Server::start();
    let mut client = server.client();
    for words in ["YES", "SYNC", "no", "x", "YES lua"] {
        let reply = client.run(&format!("SHADOW.SCRIPT DEBUG {words}"));
        assert!(reply.is_error() && reply.text().contains("cannot be debugged"), "{reply:?}");
    }
    assert_eq!(client.call(&["SHADOW.EVAL", "return redis.breakpoint()", "0"]), Value::Null);
    assert_eq!(client.run("SCRIPT DEBUG NO").text(), "OK");
}

#[test]
fn scripts_may_ask_for_help() {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.call(&["EVAL", "return #redis.call('shadow.function', 'help')", "0"]);
    assert!(matches!(reply, Value::Integer(lines) if lines > 10), "{reply:?}");
}
