//! docs/writing-libraries.md: its libraries load, and its test of one passes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

use super::{Function, functions, project, shown};
use crate::support::Server;

/// The page.
fn page() -> String {
    fs::read_to_string(project("docs/writing-libraries.md")).expect("the page is there")
}

/// The blocks of code of this language, in their order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    page.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix(&format!("{language}\n"))).collect()
}

/// The name in the first line of a library.
fn name(source: &str) -> &str {
    source.lines().next().and_then(|line| line.strip_prefix("#!lua name=")).expect("a library begins with its name")
}

#[test]
fn each_library_of_the_guide_loads_and_each_of_its_functions_is_called() {
    let page = page();
    let server = Server::start();
    let mut client = server.client();
    let libraries = blocks(&page, "lua");
    assert!(libraries.len() >= 5, "the guide has libraries");
    for source in &libraries {
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", source]).text(), name(source));
    }
    let called: BTreeSet<&str> = page
        .split("SHADOW.FCALL ")
        .chain(page.split("SHADOW.FCALL_RO "))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    for Function { name, .. } in functions(&mut client) {
        assert!(called.contains(name.as_str()), "{name} is not called");
    }
}

#[test]
fn the_guides_test_passes_and_finds_a_library_that_is_wrong() {
    let page = page();
    let server = Server::start();
    let votes = blocks(&page, "lua").into_iter().find(|source| name(source) == "votes").expect("it is tested");
    let test = blocks(&page, "sh").into_iter().find(|script| script.contains("votes.lua")).expect("the test");
    let run = |library: &str| {
        let (script, source) = (server.directory().join("test-votes.sh"), server.directory().join("votes.lua"));
        fs::write(&script, test).expect("a file of the test");
        fs::write(source, library).expect("a file of the test");
        let output = server.directory().join("printed");
        let printed = File::create(&output).expect("a file of the test");
        let status = Command::new("sh")
            .arg(script)
            .current_dir(server.directory())
            .env("PORT", server.port().to_string())
            .stderr(printed.try_clone().expect("a second handle of the file"))
            .stdout(printed)
            .status()
            .expect("a shell");
        (status.success(), fs::read_to_string(output).expect("what was printed"))
    };
    assert_eq!(run(votes), (true, "ok\n".to_owned()));
    assert_eq!(shown(&server.client().run("HGETALL poll:test")), "[ann pizza]");
    let (passed, printed) = run(&votes.replace("+ 1", "+ 2"));
    assert!(!passed && printed.contains("vote_count"), "{printed}");
}
