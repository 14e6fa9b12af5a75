//! Scripts, those that are none, and SCRIPT in the states that `flags` puts a server into.

use super::super::{Body, Pair};
use crate::support::Flavour;
use crate::support::scripts::digest;

/// Texts that are no scripts.
const NO_SCRIPTS: &[&str] = &[
    "return (",
    "#!lua",
    "#!lua nonsense\nreturn 1",
    "#!lua flags=nonsense\nreturn 1",
    "#!lua flags=no-writes\nreturn (",
    "#!lua flags=no-writes,allow-stale\nreturn (",
    "#!lua flags=allow-oom\nreturn (",
    "#!lua\nreturn (",
];

/// Texts whose first line names an engine that there is not.
const OTHER_ENGINES: &[&str] = &["#!nonsense\nreturn 1", "#!nonsense flags=no-writes\nreturn 1"];

/// Compares scripts that were loaded, by their digests, those that are none, and the subcommands of SCRIPT.
pub fn compare_scripts(pair: &mut Pair, loaded: &[Body]) {
    for body in loaded {
        let digest = digest(body.script());
        pair.compare(&["EVALSHA", &digest, "1", "key"]);
        pair.compare(&["EVALSHA_RO", &digest, "1", "key"]);
    }
    let unknown = digest("unknown");
    for command in ["EVALSHA", "EVALSHA_RO"] {
        pair.compare(&[command, &unknown, "0"]);
        pair.compare(&[command, &unknown, "x"]);
        pair.compare(&[command, "short", "0"]);
    }
    for script in NO_SCRIPTS.iter().chain(OTHER_ENGINES) {
        for command in ["EVAL", "EVAL_RO"] {
            pair.compare(&[command, script, "0"]);
            pair.compare(&[command, script, "x"]);
        }
        pair.compare(&["SCRIPT", "LOAD", script]);
    }
    let (first, late) = (digest(loaded[0].script()), "return 'late'");
    pair.compare(&["SCRIPT", "EXISTS", &first, &unknown]);
    if pair.server().flavour() == Flavour::Valkey {
        pair.compare(&["SCRIPT", "SHOW", &first]);
        pair.compare(&["SCRIPT", "SHOW", &unknown]);
    }
    pair.compare(&["SCRIPT", "LOAD", late]);
    pair.compare(&["EVAL", "#!lua flags=no-writes\nreturn 'later'", "0"]);
    for words in
        [&["KILL"][..], &["NONE"], &["LOAD"], &["FLUSH", "BAD"], &["FLUSH"], &["EXISTS", &first, &digest(late)]]
    {
        pair.compare(&[&["SCRIPT"][..], words].concat());
    }
}
