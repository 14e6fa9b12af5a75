//! SHADOW.FUNCTION LIST.

use crate::library::{load, load_many, names, source};
use crate::support::Server;

const DESCRIBED: &str = "redis.register_function{function_name='f', callback=function() end, description='what it does', \
                         flags={'allow-oom','no-writes'}}";

#[test]
fn an_entry_has_its_fields_in_order_in_resp2() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "redis.register_function('f', function() end)"));
    assert_eq!(
        client.raw(&["SHADOW.FUNCTION", "LIST"]),
        b"*1\r\n*6\r\n$12\r\nlibrary_name\r\n$5\r\nmylib\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n\
          *1\r\n*6\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*0\r\n"
    );
}

#[test]
fn an_entry_is_made_of_maps_and_a_set_in_resp3() {
    let server = Server::start();
    let mut client = server.client();
    client.hello3();
    load(&mut client, &source("mylib", DESCRIBED));
    assert_eq!(
        client.raw(&["SHADOW.FUNCTION", "LIST"]),
        b"*1\r\n%3\r\n$12\r\nlibrary_name\r\n$5\r\nmylib\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n\
          *1\r\n%3\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n$12\r\nwhat it does\r\n$5\r\nflags\r\n\
          ~2\r\n+no-writes\r\n+allow-oom\r\n"
    );
}

#[test]
fn every_library_and_every_function_is_listed_once() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 300);
    load(&mut client, &source("many", "for i=1,50 do redis.register_function('m'..i, function() end) end"));
    let mut expected: Vec<String> = (0..300).map(|number| format!("lib{number}")).collect();
    expected.push("many".to_owned());
    expected.sort();
    assert_eq!(names(&mut client), expected);
    let many = client.run("SHADOW.FUNCTION LIST LIBRARYNAME many").items();
    let mut functions: Vec<String> = many[0]
        .field("functions")
        .expect("functions")
        .items()
        .iter()
        .map(|function| function.field("name").expect("a name").text())
        .collect();
    functions.sort();
    let mut expected: Vec<String> = (1..=50).map(|number| format!("m{number}")).collect();
    expected.sort();
    assert_eq!(functions, expected);
}

#[test]
fn a_pattern_selects_without_regard_to_case() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 20);
    for (pattern, count) in [("LIB1?", 10), ("lib*", 20), ("lib[0-4]", 5), ("none", 0)] {
        assert_eq!(
            client.run(&format!("SHADOW.FUNCTION LIST LIBRARYNAME {pattern}")).items().len(),
            count,
            "{pattern}"
        );
    }
}
