//! Sources of libraries, and what most tests do with them.

use super::{Client, Value};

/// A library with this name and body; the body begins on line 2.
pub fn source(name: &str, body: &str) -> String {
    format!("#!lua name={name}\n{body}")
}

/// The library `mylib` with one function `f` that has this body, on line 2.
pub fn callback(body: &str) -> String {
    source("mylib", &format!("redis.register_function('f', function(KEYS, ARGV) {body} end)"))
}

/// A library `lib<number>` with one function `f<number>` that returns the number.
pub fn numbered(number: usize) -> String {
    let body = format!("redis.register_function('f{number}', function() return {number} end)");
    source(&format!("lib{number}"), &body)
}

/// The command that loads `source`.
pub fn load_command(source: &str) -> Vec<String> {
    ["SHADOW.FUNCTION", "LOAD", source].map(str::to_owned).to_vec()
}

/// Loads a library, in place of its older self if there is one.
pub fn load(client: &mut Client, source: &str) {
    let reply = client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", source]);
    assert!(!reply.is_error(), "{reply:?} for {source:.1000}");
}

/// Loads the libraries numbered `0..count` in one write.
pub fn load_many(client: &mut Client, count: usize) {
    let commands: Vec<_> = (0..count).map(|number| load_command(&numbered(number))).collect();
    let refused = client.pipeline(&commands).into_iter().find(Value::is_error);
    assert_eq!(refused, None);
}

/// Makes `body` the body of the function `f` and calls it without keys and arguments.
pub fn evaluate(client: &mut Client, body: &str) -> Value {
    load(client, &callback(body));
    client.run("SHADOW.FCALL f 0")
}

/// The names of the loaded libraries, sorted.
pub fn names(client: &mut Client) -> Vec<String> {
    let list = client.run("SHADOW.FUNCTION LIST");
    let mut names: Vec<String> =
        list.items().iter().map(|library| library.field("library_name").expect("a name").text()).collect();
    names.sort();
    names
}
