//! The documentation: what its pages show is what happens, and what they name exists.

mod block;
mod commands;
mod page;
mod stage;

use std::collections::BTreeSet;
use std::fs;

use block::steps;
use page::{Page, pages, root};
use stage::{Miss, Stage};

use crate::support::library::evaluate;
use crate::support::{Client, Server};

/// Fails with all of `misses` at once.
fn expect_none(misses: &[String]) {
    assert!(misses.is_empty(), "{} places\n\n{}", misses.len(), misses.join("\n\n"));
}

/// Carries out all blocks of a page, from top to bottom.
fn carry_out(page: &Page) -> Vec<String> {
    let mut misses = Vec::new();
    let mut stage: Option<Stage> = None;
    for block in &page.blocks {
        match steps(block) {
            Ok(steps) => {
                for step in &steps {
                    stage.get_or_insert_with(Stage::new).play(step, &mut misses);
                }
            }
            Err((line, what)) => misses.push(Miss { line, what }),
        }
    }
    misses.into_iter().map(|miss| format!("{}: {}", page.place(miss.line), miss.what)).collect()
}

#[test]
fn every_command_prints_what_its_page_shows() {
    expect_none(&pages().iter().flat_map(carry_out).collect::<Vec<_>>());
}

#[test]
fn what_a_page_shows_wrongly_is_found_and_nothing_else() {
    let source = [
        "    > PING",
        "    PONG",
        "    > ECHO a",
        "    \"b\"",
        "    > ECHO b",
        "    \"b\"",
        "",
        "and in a shell:",
        "",
        "    $ redis-cli ECHO a | wc -c",
        "    2",
        "    $ redis-cli ECHO a",
        "    a",
        "",
        "without replies:",
        "",
        "    redis-cli ECHO a",
        "    redis-cli NONSENSE",
        "    redis-server --loadmodule /path/to/libshadow.so reclaim-queue 1",
        "    redis-server --loadmodule /path/to/libshadow.so reclaim-queue 0",
        "",
        "text",
        "",
        "    OK",
        "    > PING",
        "    PONG",
    ];
    let misses = carry_out(&Page::parse("page.md".as_ref(), source.join("\n")));
    let places: Vec<&str> = misses.iter().filter_map(|miss| miss.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["page.md:3", "page.md:12", "page.md:18", "page.md:20", "page.md:24"], "{misses:#?}");
    assert!(misses[0].ends_with("--- the page shows\n\"b\"\n--- printed was\n\"a\""), "{misses:#?}");
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut misses = Vec::new();
    for page in &pages {
        for (line, link) in page.links.iter().filter(|(_, link)| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(&page.path)
            } else {
                root().join(&page.path).parent().expect("a directory").join(file)
            };
            let Ok(target) = fs::canonicalize(target) else {
                misses.push(format!("{}: {link}: there is no such file", page.place(*line)));
                continue;
            };
            let leads = anchor.is_empty()
                || pages.iter().any(|other| {
                    fs::canonicalize(root().join(&other.path)).ok().as_ref() == Some(&target)
                        && other.anchors().contains(anchor)
                });
            if !leads {
                misses.push(format!("{}: {link}: there is no such heading", page.place(*line)));
            }
        }
    }
    expect_none(&misses);
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target).collect();
    let mut misses = Vec::new();
    let mut named = 0;
    for page in pages() {
        for (line, code) in page.code() {
            let mut words = code.split_whitespace();
            let (Some("make"), Some(target)) = (words.next(), words.next()) else { continue };
            named += 1;
            if !targets.contains(target) {
                misses.push(format!("{}: make {target}", page.place(line)));
            }
        }
    }
    assert!(named > 10, "the pages name targets");
    expect_none(&misses);
}

#[test]
fn every_file_that_a_page_names_exists() {
    let tops = ["benches/", "docs/", "examples/", "fuzz/", "scripts/", "src/", "tests/", "types/"];
    let mut misses = Vec::new();
    let mut named = 0;
    for page in pages() {
        for (line, word) in &page.words {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-');
            if tops.iter().any(|top| word.starts_with(top)) && word.chars().all(plain) {
                named += 1;
                if !root().join(word).exists() {
                    misses.push(format!("{}: {word}", page.place(*line)));
                }
            }
        }
    }
    assert!(named > 10, "the pages name files");
    expect_none(&misses);
}

/// The words of a code span or a line of a block that begin with `prefix` and go on in small letters.
fn names<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(|letter: char| letter.is_whitespace() || matches!(letter, '\'' | '"' | '`' | ',' | '='))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(move |word| {
            let rest = word.strip_prefix(prefix).unwrap_or_default();
            !rest.is_empty()
                && rest.chars().all(|letter| letter.is_ascii_lowercase() || matches!(letter, '-' | '_' | '|'))
        })
}

#[test]
fn every_setting_that_a_page_names_exists_and_each_is_described() {
    let server = Server::start();
    let mut client = server.client();
    let settings: BTreeSet<String> =
        client.run("CONFIG GET shadow.*").items().chunks(2).map(|pair| pair[0].text()).collect();
    let mut known: BTreeSet<String> = settings.clone();
    known.extend(client.run("COMMAND LIST FILTERBY MODULE shadow").items().iter().map(crate::support::Value::text));
    let mut misses = Vec::new();
    for page in pages() {
        for (line, code) in page.code() {
            let strangers = names(code, "shadow.").filter(|name| {
                let command = name.split_once('|').map_or(*name, |(command, _)| command);
                !known.contains(*name) && !known.contains(command)
            });
            misses.extend(strangers.map(|name| format!("{}: {name}", page.place(line))));
        }
    }
    let operations = Page::read("docs/operations.md".as_ref());
    let described: BTreeSet<&str> = operations.words.iter().map(|(_, word)| word.as_str()).collect();
    for setting in settings.iter().filter(|setting| !described.contains(setting.as_str())) {
        misses.push(format!("docs/operations.md does not describe {setting}"));
    }
    expect_none(&misses);
}

#[test]
fn every_field_of_info_is_described() {
    let server = Server::start();
    let text = server.client().run("INFO shadow").text();
    let fields: Vec<&str> = text.lines().filter_map(|line| line.split_once(':')).map(|(field, _)| field).collect();
    assert!(fields.len() > 10, "{text}");
    let operations = Page::read("docs/operations.md".as_ref());
    let described: BTreeSet<&str> = operations.words.iter().map(|(_, word)| word.as_str()).collect();
    let misses: Vec<String> =
        fields.into_iter().filter(|field| !described.contains(field)).map(str::to_owned).collect();
    expect_none(&misses);
}

#[test]
fn every_metric_is_described() {
    let server = Server::start();
    let mut client = server.client();
    let call_both = |client: &mut Client| {
        evaluate(client, "return 1");
        client.call(&["SHADOW.EVAL", "return 1", "0"]);
    };
    call_both(&mut client);
    // What is told of a flush is there after the first one.
    client.run("SHADOW.FUNCTION FLUSH SYNC");
    client.run("SHADOW.SCRIPT FLUSH SYNC");
    call_both(&mut client);
    let text = client.run("SHADOW.METRICS PROMETHEUS").text();
    let metrics: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(metrics.len() > 40, "{text}");
    let operations = Page::read("docs/operations.md".as_ref());
    let described: BTreeSet<&str> = operations.words.iter().map(|(_, word)| word.as_str()).collect();
    let misses: Vec<String> =
        metrics.into_iter().filter(|metric| !described.contains(metric)).map(str::to_owned).collect();
    expect_none(&misses);
}
