//! The libraries of examples/, and those of docs/writing-libraries.md.

mod delayed_queue;
mod guide;
mod inventory;
mod json_document;
mod leaderboard;
mod lock;
mod rate_limiter;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::library::load;
use crate::support::{Client, Server, Value};

/// A file of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The source of an example.
fn example(name: &str) -> String {
    fs::read_to_string(project(&format!("examples/{name}.lua"))).expect("the example is there")
}

/// The names of all examples.
fn examples() -> Vec<String> {
    let entries = fs::read_dir(project("examples")).expect("the examples are there");
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".lua")?.to_owned())).collect();
    names.sort();
    names
}

/// A server with one library, and a client of it.
struct Loaded {
    /// Ends with this value.
    server: Server,
    client: Client,
}

impl Loaded {
    fn start(name: &str) -> Self {
        let server = Server::start();
        let mut client = server.client();
        load(&mut client, &example(name));
        Self { server, client }
    }

    /// Calls a function, given with its keys and arguments as one line of words; the reply as [`shown`].
    fn call(&mut self, line: &str) -> String {
        self.call_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// [`Loaded::call`] of words that may hold spaces.
    fn call_words(&mut self, words: &[&str]) -> String {
        shown(&self.client.call(&[&["SHADOW.FCALL"], words].concat()))
    }

    /// Any other command.
    fn run(&mut self, line: &str) -> String {
        shown(&self.client.run(line))
    }
}

/// A reply in short: `nil`, `-` before an error, `[a b]` for an array, the text of everything else.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Error(text) => format!("-{text}"),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => other.text(),
    }
}

/// A registered function.
struct Function {
    name: String,
    description: String,
    flags: Vec<String>,
}

/// The functions of the libraries that are loaded.
fn functions(client: &mut Client) -> Vec<Function> {
    let field = |value: &Value, name: &str| value.field(name).unwrap_or_else(|| panic!("{name} in {value:?}"));
    let libraries = client.run("SHADOW.FUNCTION LIST").items();
    let functions = libraries.iter().flat_map(|library| field(library, "functions").items());
    functions
        .map(|function| Function {
            name: field(&function, "name").text(),
            description: field(&function, "description").text(),
            flags: field(&function, "flags").sorted_texts(),
        })
        .collect()
}

#[test]
fn there_are_six_and_each_has_the_name_of_its_file() {
    let server = Server::start();
    let mut client = server.client();
    let names = examples();
    assert!(names.len() >= 6, "{names:?}");
    for name in &names {
        assert_eq!(client.call(&["SHADOW.FUNCTION", "LOAD", &example(name)]).text(), *name);
    }
}

#[test]
fn a_call_without_keys_and_arguments_is_an_error_that_writes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    for name in examples() {
        load(&mut client, &example(&name));
    }
    for Function { name, flags, .. } in functions(&mut client) {
        let command = if flags.contains(&"no-writes".to_owned()) { "SHADOW.FCALL_RO" } else { "SHADOW.FCALL" };
        let reply = client.call(&[command, &name, "0"]);
        assert!(reply.is_error() && reply.text().starts_with("ERR expected "), "{name}: {reply:?}");
        assert!(!reply.text().contains(" script: "), "{name} raises instead of answering: {reply:?}");
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(0));
}

#[test]
fn those_that_only_read_say_so_and_no_others() {
    let server = Server::start();
    let mut client = server.client();
    for name in examples() {
        load(&mut client, &example(&name));
    }
    let reads = |function: &Function| function.flags.contains(&"no-writes".to_owned());
    let mut readers: Vec<String> =
        functions(&mut client).into_iter().filter(reads).map(|function| function.name).collect();
    readers.sort();
    let expected =
        ["board_around", "board_top", "doc_get", "inv_count", "inv_log", "lock_info", "queue_length", "rate_peek"];
    assert_eq!(readers, expected);
}

#[test]
fn every_function_says_what_it_does_and_which_arguments_it_takes() {
    let server = Server::start();
    let mut client = server.client();
    for name in examples() {
        load(&mut client, &example(&name));
    }
    for Function { name, description, .. } in functions(&mut client) {
        assert!(description.contains(": "), "{name}: {description:?}");
    }
}

/// A call of each function that does something, in an order in which each finds what it needs.
const CALLS: [&str; 28] = [
    "lock_acquire 1 {x}a token 60000",
    "lock_extend 1 {x}a token 60000",
    "lock_info 1 {x}a",
    "lock_release 1 {x}a token",
    "rate_take 1 {x}a 10 1",
    "rate_peek 1 {x}a 10 1",
    "DEL {x}a",
    "board_add 1 {x}a ann 1",
    "board_record 1 {x}a ann 2",
    "board_top 1 {x}a 10",
    "board_around 1 {x}a ann 1",
    "DEL {x}a",
    "queue_put 2 {x}a {x}b one 0 payload",
    "queue_put 2 {x}a {x}b two 0 payload",
    "queue_take 2 {x}a {x}b 10 60000",
    "queue_postpone 2 {x}a {x}b one 1 0",
    "queue_done 2 {x}a {x}b one 1",
    "queue_cancel 2 {x}a {x}b two",
    "queue_length 2 {x}a {x}b",
    "DEL {x}a {x}b",
    "inv_change 2 {x}a {x}b apple 3",
    "inv_undo 2 {x}a {x}b",
    "inv_count 1 {x}a apple",
    "inv_log 1 {x}b 10",
    "DEL {x}a {x}b",
    "doc_set 1 {x}a {}",
    "doc_patch 1 {x}a {\"a\":1}",
    "doc_get 1 {x}a /a",
];

/// A command for an entry of [`CALLS`].
fn command(call: &str) -> Vec<String> {
    let words = call.split(' ').map(str::to_owned);
    if call.starts_with("DEL") {
        words.collect()
    } else {
        ["SHADOW.FCALL".to_owned()].into_iter().chain(words).collect()
    }
}

#[test]
fn no_example_reaches_a_key_that_was_not_declared() {
    let server = Server::start();
    let mut client = server.client();
    for name in examples() {
        load(&mut client, &example(&name));
    }
    client.run("ACL SETUSER ann on nopass ~{x}a ~{x}b +@all");
    let mut user = server.client();
    user.run("AUTH ann x");
    let mut called = Vec::new();
    for call in CALLS {
        let reply = user.call(&command(call));
        assert!(!reply.is_error(), "{call}: {reply:?}");
        called.extend(call.split(' ').next().filter(|name| *name != "DEL").map(str::to_owned));
    }
    called.sort();
    let mut all: Vec<String> = functions(&mut client).into_iter().map(|function| function.name).collect();
    all.sort();
    called.dedup();
    assert_eq!(called, all, "every function was called");
}

#[test]
fn one_key_more_or_one_argument_more_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    for name in examples() {
        load(&mut client, &example(&name));
    }
    for call in CALLS.iter().filter(|call| !call.starts_with("DEL")) {
        let mut more = command(call);
        let keys: usize = more[2].parse().expect("the number of keys");
        more[2] = (keys + 1).to_string();
        more.insert(3 + keys, "{x}c".to_owned());
        let reply = client.call(&more);
        assert!(reply.text().starts_with("ERR expected "), "{more:?}: {reply:?}");
        // The others take more arguments.
        if ["lock_", "board_", "queue_", "inv_log", "inv_undo"].iter().any(|name| call.starts_with(name)) {
            let mut more = command(call);
            more.push("1".to_owned());
            let reply = client.call(&more);
            assert!(reply.text().starts_with("ERR expected "), "{more:?}: {reply:?}");
        }
    }
    assert_eq!(client.run("DBSIZE"), Value::Integer(0));
}
