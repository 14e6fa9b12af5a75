//! redis.register_function.

use crate::support::library::{load, source};
use crate::support::{Server, Value, Words};

#[test]
fn both_forms_register() {
    let server = Server::start();
    let mut client = server.client();
    let body = "redis.register_function('positional', function() return 1 end)\n\
                redis.register_function{function_name='named', callback=function() return 2 end}";
    load(&mut client, &source("mylib", body));
    assert_eq!(client.run("SHADOW.FCALL positional 0"), Value::Integer(1));
    assert_eq!(client.run("SHADOW.FCALL named 0"), Value::Integer(2));
}

#[test]
fn a_name_belongs_to_one_library_whatever_its_case() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("one", "redis.register_function('Name', function() return 'one' end)"));
    let taken = source("two", "redis.register_function('nAME', function() end)");
    assert_eq!(
        client.call(&["SHADOW.FUNCTION", "LOAD", &taken]),
        Value::Error("ERR Function nAME already exists".to_owned())
    );
    assert_eq!(client.run("SHADOW.FCALL NAME 0").text(), "one");
}

#[test]
fn registering_while_a_function_runs_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let body = "local register = redis.register_function\n\
                redis.register_function('f', function() register('late', function() end) end)";
    load(&mut client, &source("mylib", body));
    let words = Words::of(&server);
    assert_eq!(
        client.run("SHADOW.FCALL f 0").text(),
        format!(
            "ERR {}.register_function can only be called on FUNCTION LOAD command{}",
            words.api,
            words.place("f", 3)
        )
    );
    assert!(client.run("SHADOW.FCALL late 0").is_error());
}

#[test]
fn a_library_may_register_a_thousand_functions() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "for i=1,1000 do redis.register_function('f'..i, function() return i end) end"));
    for number in [1, 500, 1000] {
        assert_eq!(client.run(&format!("SHADOW.FCALL f{number} 0")), Value::Integer(number));
    }
}
