//! What scripts have and functions have not: their commands, their cache, their first lines, their globals. What both
//! have is compared body by body elsewhere.

mod arguments;
mod bodies;
mod cache;
mod environment;
mod errors;
mod eviction;
mod first_lines;
mod interception;
mod kill;
mod propagation;
mod rights;
mod sort;
pub mod states;
mod statistics;
mod subcommands;
mod transactions;

use super::{Body, Pair, wording};
use crate::support::Server;

/// A sequence of commands: the words of each.
type Session<'a> = &'a [&'a [&'a str]];

/// Compares sequences of commands, in both versions of the protocol. Each begins with both caches and the keyspace
/// empty, on a server that has both commands and on one that intercepts what clients type.
fn compare_sessions(sessions: &[Session]) {
    for mut pair in [Pair::start(), Pair::intercepting()] {
        for session in sessions {
            for protocol in [2, 3] {
                pair.flush_scripts();
                pair.command(&["FLUSHALL"]);
                for words in *session {
                    pair.compare_in(protocol, words);
                }
            }
        }
        pair.finish();
    }
}

/// Compares a script by all commands that run one and by the one that only loads it: as it is, and by its digest.
pub fn compare_script(pair: &mut Pair, script: &[u8]) {
    let digest = crate::support::scripts::digest(script);
    let digest = digest.as_bytes();
    for protocol in [2, 3] {
        for command in [&b"EVAL"[..], b"EVAL_RO"] {
            pair.flush_scripts();
            pair.compare_in(protocol, &[command, script, b"1", b"key", b"argument"]);
            pair.compare_in(protocol, &[b"SCRIPT", b"EXISTS", digest]);
        }
        pair.flush_scripts();
        pair.compare_in(protocol, &[b"SCRIPT", b"LOAD".as_slice(), script]);
        pair.compare_in(protocol, &[b"SCRIPT", b"EXISTS", digest]);
        pair.compare_in(protocol, &[b"EVALSHA", digest, b"1", b"key", b"argument"]);
        pair.compare_in(protocol, &[b"EVALSHA_RO", digest, b"1", b"key", b"argument"]);
    }
}

/// Compares scripts that are called with a key and an argument.
fn compare_scripts(scripts: &[&str]) {
    let mut pair = Pair::start();
    pair.keyspace(&[]);
    for script in scripts {
        compare_script(&mut pair, script.as_bytes());
    }
    pair.finish();
}
