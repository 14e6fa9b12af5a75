//! SHADOW.FUNCTION DELETE.

use crate::support::library::{load, load_many, names, numbered, source};
use crate::support::{Server, Value};

#[test]
fn the_library_and_all_its_functions_go() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    load(
        &mut client,
        &source("two", "redis.register_function('a', function() end) redis.register_function('b', function() end)"),
    );
    assert_eq!(client.run("SHADOW.FUNCTION DELETE two"), Value::Simple("OK".to_owned()));
    assert_eq!(names(&mut client), ["lib1"]);
    for function in ["a", "b"] {
        assert!(client.call(&["SHADOW.FCALL", function, "0"]).is_error());
    }
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn names_of_libraries_are_told_apart_by_case() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    assert_eq!(client.run("SHADOW.FUNCTION DELETE LIB1"), Value::Error("ERR Library not found".to_owned()));
    assert_eq!(names(&mut client), ["lib1"]);
}

#[test]
fn a_deleted_library_can_be_loaded_afresh() {
    let server = Server::start();
    let mut client = server.client();
    let counter = source("mylib", "local n=0 redis.register_function('f', function() n=n+1 return n end)");
    for _ in 0..3 {
        load(&mut client, &counter);
        assert_eq!(client.run("SHADOW.FCALL f 0"), Value::Integer(1));
        client.run("SHADOW.FUNCTION DELETE mylib");
    }
}

#[test]
fn deleting_one_of_many_leaves_the_others() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 500);
    for number in (0..500).step_by(2) {
        assert!(!client.run(&format!("SHADOW.FUNCTION DELETE lib{number}")).is_error());
    }
    for number in 0..500 {
        assert_eq!(client.run(&format!("SHADOW.FCALL f{number} 0")).is_error(), number % 2 == 0, "{number}");
    }
}
