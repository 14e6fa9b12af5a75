//! The shadow's registry and the server's own know nothing of each other.

use crate::support::library::{callback, load, numbered};
use crate::support::{Client, Server, Value};

fn load_both(client: &mut Client) {
    load(client, &callback("return 'shadow'"));
    client.call(&["FUNCTION", "LOAD", "REPLACE", &callback("return 'own'")]);
}

fn answers(client: &mut Client) -> (Value, Value) {
    (client.run("FCALL f 0"), client.run("SHADOW.FCALL f 0"))
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn missing() -> Value {
    Value::Error("ERR Function not found".to_owned())
}

#[test]
fn the_same_names_live_in_both() {
    let server = Server::start();
    let mut client = server.client();
    load_both(&mut client);
    assert_eq!(answers(&mut client), (bulk("own"), bulk("shadow")));
}

#[test]
fn a_flush_of_one_leaves_the_other() {
    let server = Server::start();
    let mut client = server.client();
    for mode in ["SYNC", "ASYNC"] {
        load_both(&mut client);
        client.run(&format!("SHADOW.FUNCTION FLUSH {mode}"));
        assert_eq!(answers(&mut client), (bulk("own"), missing()), "{mode}");
        load_both(&mut client);
        client.run(&format!("FUNCTION FLUSH {mode}"));
        assert_eq!(answers(&mut client), (missing(), bulk("shadow")), "{mode}");
    }
}

#[test]
fn deleting_and_loading_in_one_leaves_the_other() {
    let server = Server::start();
    let mut client = server.client();
    load_both(&mut client);
    client.run("SHADOW.FUNCTION DELETE mylib");
    assert_eq!(answers(&mut client), (bulk("own"), missing()));
    load_both(&mut client);
    client.run("FUNCTION DELETE mylib");
    assert_eq!(answers(&mut client), (missing(), bulk("shadow")));
    load(&mut client, &numbered(1));
    assert_eq!(client.run("FUNCTION LIST"), Value::Array(Vec::new()));
}

#[test]
fn flushing_scripts_and_data_leaves_the_libraries() {
    let server = Server::start();
    let mut client = server.client();
    load_both(&mut client);
    for command in ["SCRIPT FLUSH SYNC", "FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        assert!(!client.run(command).is_error(), "{command}");
        assert_eq!(client.run("SHADOW.FCALL f 0"), bulk("shadow"), "{command}");
    }
}
