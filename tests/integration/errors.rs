//! Errors that the server's own commands do not survive, or pass on with line ends in them.

use crate::support::library::{evaluate, load, source};
use crate::support::{Server, Value, Words};

fn error(text: &str) -> Value {
    Value::Error(text.to_owned())
}

#[test]
fn an_error_table_without_a_text_is_an_unknown_error() {
    let server = Server::start();
    let mut client = server.client();
    let place = Words::of(&server).place("f", 2);
    for body in [
        "error({})",
        "error({a=1})",
        "error({err={}})",
        "error({err=true})",
        "error(setmetatable({},{__index={err='x'}}))",
    ] {
        assert_eq!(evaluate(&mut client, body), error(&format!("ERR unknown error{place}")), "{body}");
    }
}

#[test]
fn line_ends_never_reach_the_wire() {
    let server = Server::start();
    let mut client = server.client();
    let place = Words::of(&server).place("f", 2);
    for (body, text) in [
        ("error('a\\r\\nb')", &*format!("ERR user_function:2: a  b{place}")),
        ("error({err='A b\\r\\nc'})", &format!("A b  c{place}")),
        ("return {err='A b\\nc'}", "A b c"),
        ("return redis.error_reply('A b\\r\\nc')", "A b  c"),
        ("return {{err='A b\\rc'}}", ""),
    ] {
        let reply = evaluate(&mut client, body);
        if text.is_empty() {
            assert_eq!(reply.items(), [error("A b c")], "{body}");
        } else {
            assert_eq!(reply, error(text), "{body}");
        }
    }
    assert_eq!(evaluate(&mut client, "return {ok='a\\r\\nb'}"), Value::Simple("a  b".to_owned()));
    for (words, text) in [
        (vec!["LOAD", "a\r\nb", "x"], "ERR Unknown option given: a  b"),
        (vec!["LOAD", "#!lua name=a \"b\\r\\nc\"\nx"], "ERR Invalid metadata value given: b  c"),
        (vec!["LOAD", "#!\"a\\nb\" name=a\nx"], "ERR Engine 'a b' not found"),
        (vec!["LIST", "a\r\nb"], "ERR Unknown argument a  b"),
        (vec!["a\r\nb"], "ERR unknown subcommand 'a  b'. Try SHADOW.FUNCTION HELP."),
    ] {
        let command = [vec!["SHADOW.FUNCTION"], words].concat();
        assert_eq!(client.call(&command), error(text), "{command:?}");
    }
}

#[test]
fn the_error_of_a_function_names_it_as_registered() {
    let server = Server::start();
    let mut client = server.client();
    load(&mut client, &source("mylib", "redis.register_function('MyName', function()\n  error('x')\nend)"));
    let place = Words::of(&server).place("MyName", 3);
    assert_eq!(client.run("SHADOW.FCALL myname 0"), error(&format!("ERR user_function:3: x{place}")));
}

#[test]
fn an_error_of_an_inner_command_counts_once_when_it_leaves_the_function() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET text value");
    for (body, counted) in [
        ("return redis.call('lpush', 'text', 'x')", true),
        ("return redis.pcall('lpush', 'text', 'x')", true),
        ("redis.pcall('lpush', 'text', 'x') return 1", false),
    ] {
        client.run("CONFIG RESETSTAT");
        evaluate(&mut client, body);
        assert_eq!(client.info("errorstat_WRONGTYPE").as_deref(), counted.then_some("count=1"), "{body}");
        assert_eq!(client.info_number("total_error_replies"), i64::from(counted), "{body}");
        assert_eq!(client.command_stat("lpush", "failed_calls"), 1.0, "{body}");
        assert_eq!(client.command_stat("shadow.fcall", "failed_calls"), f64::from(u8::from(counted)), "{body}");
    }
}

#[test]
fn an_error_counts_under_its_own_code() {
    let server = Server::start();
    let mut client = server.client();
    for (body, code) in [
        ("error('x')", "ERR"),
        ("error({err='MYERR x'})", "MYERR"),
        ("return redis.error_reply('MYCODE x')", "MYCODE"),
        ("return {err='onlytext'}", "ERR"),
        ("return {1, {err='NESTED x'}}", "NESTED"),
        ("return redis.call('nosuchcommand')", "ERR"),
    ] {
        client.run("CONFIG RESETSTAT");
        evaluate(&mut client, body);
        assert_eq!(client.info(&format!("errorstat_{code}")).as_deref(), Some("count=1"), "{body}");
        assert_eq!(client.command_stat("shadow.fcall", "failed_calls"), 1.0, "{body}");
    }
}
