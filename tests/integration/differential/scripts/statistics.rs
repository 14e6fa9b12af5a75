//! What the server counts of scripts: calls, failures and errors, as for its own under their own names.

use super::{Pair, Server, wording};
use crate::support::Client;
use crate::support::scripts::digest;

/// Calls, and the name under which the server counts them.
const CALLS: &[(&[&str], &str)] = &[
    (&["EVAL", "return 1", "0"], "eval"),
    (&["EVAL_RO", "return 1", "0"], "eval_ro"),
    (&["EVALSHA", "short", "0"], "evalsha"),
    (&["EVALSHA_RO", "short", "0"], "evalsha_ro"),
    (&["EVAL", "return (", "0"], "eval"),
    (&["EVAL", "#!lua nonsense\nreturn 1", "0"], "eval"),
    (&["EVAL", "return 1", "x"], "eval"),
    (&["EVAL", "return 1", "9"], "eval"),
    (&["EVAL", "return 1"], "eval"),
    (&["EVAL_RO", "#!lua\nreturn 1", "0"], "eval_ro"),
    (&["EVAL", "error('x')", "0"], "eval"),
    (&["EVAL", "error({err='MYERR x'})", "0"], "eval"),
    (&["EVAL", "return {err='MYERR x'}", "0"], "eval"),
    (&["EVAL", "return {err='x'}", "0"], "eval"),
    (&["EVAL", "return redis.error_reply('MYERR x')", "0"], "eval"),
    (&["EVAL", "return redis.call('nosuch')", "0"], "eval"),
    (&["EVAL", "return redis.call('get')", "0"], "eval"),
    (&["EVAL", "return redis.call('lpush', 'text', 'x')", "0"], "eval"),
    (&["SCRIPT", "LOAD", "return 1"], "script|load"),
    (&["SCRIPT", "LOAD", "return ("], "script|load"),
    (&["SCRIPT", "LOAD"], "script|load"),
    (&["SCRIPT", "EXISTS", "x"], "script|exists"),
    (&["SCRIPT", "FLUSH"], "script|flush"),
    (&["SCRIPT", "FLUSH", "BAD"], "script|flush"),
    (&["SCRIPT", "KILL"], "script|kill"),
    (&["SCRIPT", "NOSUCH"], "script"),
    (&["SCRIPT"], "script"),
];

/// The counters of errors, and of the commands with this name and of an inner one.
fn counted(client: &mut Client, name: &str) -> Vec<String> {
    let text = client.run("INFO everything").text();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("errorstat_") || line.starts_with("total_error"))
        .map(str::to_owned)
        .collect();
    for command in [name, "lpush"] {
        let fields = ["calls", "failed_calls", "rejected_calls"];
        let counters = fields.map(|field| format!("{field} {}", client.command_stat(command, field)));
        lines.push(counters.join(", "));
    }
    lines
}

#[test]
fn calls_and_errors_are_counted_alike() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET text value");
    for (words, name) in CALLS {
        let outcomes = ["", "SHADOW."].map(|prefix| {
            client.run("CONFIG RESETSTAT");
            let command = [
                &[format!("{prefix}{}", words[0])][..],
                &words[1..].iter().map(ToString::to_string).collect::<Vec<_>>(),
            ]
            .concat();
            let reply = wording(&client.raw(&command)).escape_ascii().to_string();
            (reply, counted(&mut client, &format!("{}{name}", prefix.to_lowercase())))
        });
        assert_eq!(outcomes[1], outcomes[0], "{words:?}");
    }
}

/// The row `monitor-inner-calls`: MONITOR shows the inner commands alone.
#[test]
fn inner_commands_are_counted_as_their_own() {
    let server = Server::start();
    let mut client = server.client();
    for command in ["EVAL", "SHADOW.EVAL"] {
        client.run("CONFIG RESETSTAT");
        client.call(&[command, "for i = 1, 3 do redis.call('ping') end", "0"]);
        assert_eq!(client.command_stat("ping", "calls"), 3.0, "{command}");
        assert_eq!(client.command_stat(&command.to_lowercase(), "calls"), 1.0, "{command}");
    }
}

#[test]
fn a_blocked_client_wakes_on_a_write_of_a_script() {
    let mut pair = Pair::start();
    for command in ["EVAL", "SHADOW.EVAL"] {
        let mut waiting = pair.server().client();
        waiting.send(&["BLPOP", "list", "0"]);
        let mut client = pair.server().client();
        crate::support::wait_until("a client is blocked", || client.info_number("blocked_clients") == 1);
        client.call(&[command, "redis.call('rpush', 'list', 'x', 'y') redis.call('lpop', 'list')", "0"]);
        assert_eq!(waiting.read().sorted_texts(), ["list", "y"], "{command}");
    }
    pair.compare(&["EVALSHA", &digest("none"), "0"]);
    pair.finish();
}
