//! Hostile scripts, as functions and as scripts of EVAL: the server is alive afterwards, and what was loaded before
//! still answers.

mod cves;
mod endless;
mod refused;

use std::collections::BTreeSet;

use crate::support::library::{load, source};
use crate::support::scripts::digest;
use crate::support::{Client, Options, Server};

const BYSTANDER: &str = "return 'here'";

/// Loads a function and a script that nothing may happen to.
fn load_bystanders(server: &Server) {
    let body = format!("redis.register_function('bystander', function() {BYSTANDER} end)");
    let mut client = server.client();
    load(&mut client, &source("bystander", &body));
    assert_eq!(client.call(&["SHADOW.SCRIPT", "LOAD", BYSTANDER]).text(), digest(BYSTANDER));
}

/// Calls both.
fn assert_bystanders_answer(client: &mut Client, after: &str) {
    for call in ["SHADOW.FCALL bystander 0", &format!("SHADOW.EVALSHA {} 0", digest(BYSTANDER))] {
        assert_eq!(client.run(call).text(), "here", "{call} after {after}");
    }
}

/// A server that lets others in after a tenth of a second.
pub fn impatient() -> Server {
    Options::new().set("busy-reply-threshold", "100").start()
}

#[test]
fn the_page_and_the_tests_list_the_same_scripts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let page = std::fs::read_to_string(path).expect("docs/security.md");
    let documented: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let endless = [endless::LANGUAGE, endless::STRINGS, endless::TABLES, endless::BYTES];
    let endless = endless.iter().flat_map(|group| group.iter().map(|script| script.id));
    let refused = [refused::REFUSED, refused::LIBRARIES, refused::SCRIPTS, cves::CVES];
    let refused = refused.iter().flat_map(|group| group.iter().map(|script| script.id));
    let tested: Vec<&str> = endless.chain(refused).collect();
    let set = |ids: &[&'static str]| ids.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), set(&tested));
    assert_eq!(documented.len(), set(&tested).len(), "a script has two rows");
}
