//! A panic is an error of one command, not the end of the server.

use crate::library::{load, numbered};
use crate::support::{Options, Value};

#[test]
fn a_panic_is_answered_logged_and_survived() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    for _ in 0..3 {
        let reply = client.run("SHADOW.DEBUG PANIC");
        assert!(matches!(&reply, Value::Error(text) if text.starts_with("ERR internal error")), "{reply:?}");
    }
    server.wait_for_log("panic");
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
    load(&mut client, &numbered(2));
    assert_eq!(client.run("SHADOW.FCALL f2 0"), Value::Integer(2));
}

#[test]
fn a_panic_in_a_transaction_leaves_the_other_replies_in_place() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    for command in ["MULTI", "ECHO before", "SHADOW.DEBUG PANIC", "ECHO after"] {
        assert!(!client.run(command).is_error(), "{command}");
    }
    let replies = client.run("EXEC").items();
    assert_eq!(replies[0].text(), "before");
    assert!(replies[1].text().starts_with("ERR internal error"), "{replies:?}");
    assert_eq!(replies[2].text(), "after");
}

#[test]
fn words_of_the_debug_command_are_checked() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    for command in ["SHADOW.DEBUG", "SHADOW.DEBUG NOSUCH"] {
        let reply = client.run(command);
        assert!(reply.is_error() && !reply.text().contains("internal error"), "{command}: {reply:?}");
    }
}
