//! docs/commands.md, beside what the server says about the commands.

use std::collections::BTreeSet;

use super::expect_none;
use super::page::Page;
use crate::support::{Client, Options, Value};

/// The names of the commands that the page must describe, as COMMAND has them, and their entries in COMMAND INFO.
fn commands(client: &mut Client) -> Vec<(String, Vec<Value>)> {
    let names = client.run("COMMAND LIST FILTERBY MODULE shadow").items();
    let entry = |name: &Value| client.call(&["COMMAND", "INFO", &name.text()]).items()[0].items();
    let entries: Vec<Vec<Value>> = names.iter().map(entry).collect();
    // A container is described by its subcommands, which the list has as well.
    let commands = entries.into_iter().filter(|entry| entry[9].items().is_empty());
    commands.map(|entry| (entry[0].text(), entry)).collect()
}

/// An argument as the page writes it.
fn syntax(argument: &Value) -> String {
    let field = |name: &str| argument.field(name).map(|value| value.text());
    let flags = argument.field("flags").map(|flags| flags.sorted_texts()).unwrap_or_default();
    let has = |flag: &str| flags.iter().any(|set| set == flag);
    let name = field("name").unwrap_or_default();
    let text = match (field("type").as_deref(), field("token")) {
        (Some(kind @ ("oneof" | "block")), _) => {
            let parts = argument.field("arguments").expect("it has parts").items();
            parts.iter().map(syntax).collect::<Vec<_>>().join(if kind == "oneof" { " | " } else { " " })
        }
        (Some("pure-token"), Some(token)) => token,
        (_, Some(token)) => format!("{token} {name}"),
        (_, None) => name,
    };
    let text = if has("multiple") { format!("{text} [{text} ...]") } else { text };
    if has("optional") { format!("[{text}]") } else { text }
}

/// The value of a line such as `- **Since:** 0.1.0`, which may go on in the next line.
fn label(section: &str, name: &str) -> Option<String> {
    let start = format!("- **{name}:** ");
    let mut lines = section.lines().skip_while(|line| !line.starts_with(&start));
    let mut value = lines.next()?.strip_prefix(&start)?.to_owned();
    for line in lines.take_while(|line| line.starts_with("  ")) {
        value = format!("{value} {}", line.trim());
    }
    Some(value)
}

fn words(list: &str) -> BTreeSet<String> {
    list.split([',', ' ']).filter(|word| !word.is_empty()).map(|word| word.trim_matches('`').to_owned()).collect()
}

fn set(value: &Value) -> BTreeSet<String> {
    value.sorted_texts().into_iter().collect()
}

#[test]
fn the_page_of_commands_says_what_the_server_says() {
    let page = Page::read("docs/commands.md".as_ref());
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    let is_valkey_9_1 = server.valkey_version().is_some_and(|version| version >= (9, 1, 0));
    let mut misses = Vec::new();
    let commands = commands(&mut client);
    assert!(commands.len() >= 26, "{} commands", commands.len());
    for (name, entry) in commands {
        let title = name.replace('|', " ").to_uppercase();
        let Some(section) = page.section(&title) else {
            misses.push(format!("{title} has no section"));
            continue;
        };
        let docs = client.call(&["COMMAND", "DOCS", &name]).items()[1].clone();
        let arguments = docs.field("arguments").map(|list| list.items()).unwrap_or_default();
        let line = [title.clone()].into_iter().chain(arguments.iter().map(syntax)).collect::<Vec<_>>().join(" ");
        let shown = section.lines().find_map(|line| line.strip_prefix("    ")).unwrap_or_default();
        // SHADOW.DEBUG does not tell the server what it takes.
        let shown = if name == "shadow.debug" { &title } else { shown };
        let text = |field: &str| docs.field(field).map(|value| value.text()).unwrap_or_default();
        let mut flags = set(&entry[2]);
        flags.remove("module");
        if ["shadow.fcall", "shadow.eval", "shadow.evalsha"].contains(&&*name) && server.version() < (7, 2, 0) {
            assert!(flags.remove("readonly"), "the page says so of Redis 7.0");
        }
        if ["shadow.script|exists", "shadow.script|flush", "shadow.script|show"].contains(&&*name) && is_valkey_9_1 {
            assert!(flags.remove("stale"), "the page says so of Valkey 9.1");
        }
        let said = |name: &str| label(section, name).unwrap_or_default();
        for (what, page, server) in [
            ("syntax", shown.to_owned(), line),
            ("Since", said("Since"), text("since")),
            ("Complexity", said("Complexity"), text("complexity")),
        ] {
            if page != server {
                misses.push(format!("{title}, {what}: the page has {page:?}, the server {server:?}"));
            }
        }
        // Before 7.2, the server lets no module choose categories.
        let categories = (server.version() >= (7, 2, 0)).then(|| set(&entry[6]));
        for (what, server) in [("Flags", Some(flags)), ("ACL categories", categories)] {
            let page = words(&said(what));
            if server.as_ref().is_some_and(|server| *server != page) {
                misses.push(format!("{title}, {what}: the page has {page:?}, the server {server:?}"));
            }
        }
        for entry in docs.field("history").map(|history| history.items()).unwrap_or_default() {
            let entry = entry.items().iter().map(Value::text).collect::<Vec<_>>().join(": ");
            if !section.lines().any(|line| line == format!("- {entry}")) {
                misses.push(format!("{title}, History: the page does not have {entry:?}"));
            }
        }
        for part in ["**Reply", "**Errors", "**Replication:**", "**Examples**", "**History**"] {
            if !section.lines().any(|line| line.starts_with(part)) {
                misses.push(format!("{title} has no part {part}"));
            }
        }
    }
    expect_none(&misses);
}
