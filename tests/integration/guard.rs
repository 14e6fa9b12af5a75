//! A panic is an error of one command, not the end of the server.

use crate::support::library::{load, load_many, numbered, source};
use crate::support::{Client, Options, Server, Value, wait_until};

fn with_faults() -> Server {
    Options::new().module_arguments("enable-debug-command yes").start()
}

/// Asks for a fault outside of the command that asks.
fn ask_for(client: &mut Client, fault: &str) {
    assert_eq!(client.run(&format!("SHADOW.DEBUG {fault}")).text(), "OK");
}

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

/// A backtrace reads files by way of the C library, whose allocator need not be the one that the process has.
#[test]
fn a_backtrace_of_a_panic_is_survived_with_any_allocator() {
    for detail in ["1", "full"] {
        let server = Options::new()
            .environment("RUST_BACKTRACE", detail)
            .module_arguments("enable-debug-command yes")
            .set("busy-reply-threshold", "50")
            .start();
        let mut client = server.client();
        load(&mut client, &numbered(1));
        for _ in 0..3 {
            let reply = client.try_raw(&["SHADOW.DEBUG", "PANIC"]).expect("the server lives");
            assert!(reply.starts_with(b"-ERR internal error"), "{}", reply.escape_ascii());
        }
        for (fault, line) in [
            ("PANIC-IN-CALLBACK", "a panic in a callback was asked for"),
            ("PANIC-IN-WORKER", "a panic of the worker was asked for"),
            ("PANIC-IN-WATCH", "a panic of the watch was asked for"),
        ] {
            ask_for(&mut client, fault);
            server.wait_for_log(&format!("{line}\n"));
        }
        assert!(server.log().contains("stack backtrace:"), "{}", server.log());
        assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
    }
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
fn a_panic_in_the_middle_of_a_reply_closes_that_connection_alone() {
    let server = with_faults();
    let (mut client, mut other) = (server.client(), server.client());
    load(&mut client, &numbered(1));
    client.send(&["SHADOW.DEBUG", "PANIC-IN-REPLY"]);
    assert!(client.read_raw().is_err(), "the reply has no end");
    assert_eq!(other.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn a_panic_in_a_callback_is_logged_and_survived() {
    let server = with_faults();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    ask_for(&mut client, "PANIC-IN-CALLBACK");
    server.wait_for_log("<shadow> internal error: a panic in a callback was asked for");
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1));
}

#[test]
fn a_worker_that_is_gone_is_noticed_and_flushes_free_in_place() {
    const COUNT: usize = 1000;
    let mut server = with_faults();
    let mut client = server.client();
    wait_until("the worker has built a spare", || client.info_number("shadow_spare_ready") == 1);
    assert_eq!(client.info_number("shadow_reclaim_alive"), 1);
    load_many(&mut client, COUNT);
    ask_for(&mut client, "RECLAIM-HOLD");
    ask_for(&mut client, "PANIC-IN-WORKER");
    // It waits behind the fault.
    assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
    wait_until("it is with the worker", || client.info_number("shadow_pending_libraries") == COUNT as i64);
    ask_for(&mut client, "RECLAIM-RELEASE");
    wait_until("INFO says that the worker is gone", || client.info_number("shadow_reclaim_alive") == 0);
    server.wait_for_log("<shadow> internal error in the thread shadow-reclaim: a panic of the worker was asked for");
    server.wait_for_log("<shadow> the thread shadow-reclaim has ended: flushes free in place");
    wait_until("what it left is freed", || client.info_number("shadow_pending_libraries") == 0);
    assert_eq!(client.info_number("shadow_flushes_in_place"), 0);
    for round in 1..=3 {
        load_many(&mut client, COUNT);
        assert_eq!(client.run("SHADOW.FCALL f999 0"), Value::Integer(999));
        assert_eq!(client.run("SHADOW.FUNCTION FLUSH ASYNC").text(), "OK");
        assert_eq!(client.info_number("shadow_flushes_in_place"), round);
        assert_eq!(client.info_number("shadow_pending_libraries"), 0);
    }
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn a_watch_that_panics_still_lets_functions_be_killed() {
    let server = Options::new().module_arguments("enable-debug-command yes").set("busy-reply-threshold", "50").start();
    let (mut client, mut other) = (server.client(), server.client());
    load(&mut client, &source("endless", "redis.register_function('spin', function() while true do end end)"));
    ask_for(&mut client, "PANIC-IN-WATCH");
    server.wait_for_log("<shadow> internal error in the thread shadow-watch: a panic of the watch was asked for");
    client.send(&["SHADOW.FCALL", "spin", "0"]);
    wait_until("others are told", || other.run("PING").text().starts_with("BUSY "));
    assert_eq!(other.run("SHADOW.FUNCTION KILL").text(), "OK");
    assert!(client.read_raw().expect("a reply").starts_with(b"-ERR "));
}

#[test]
fn a_snapshot_that_cannot_hold_the_libraries_takes_no_ones_place() {
    let options = Options::new().module_arguments("enable-debug-command yes");
    let mut server = options.clone().start();
    let mut client = server.client();
    load(&mut client, &numbered(1));
    assert_eq!(client.run("SAVE").text(), "OK");
    load(&mut client, &numbered(2));
    ask_for(&mut client, "PANIC-IN-SAVE");
    assert!(!client.run("BGSAVE").is_error());
    wait_until("the save has ended", || client.info("rdb_bgsave_in_progress").as_deref() == Some("0"));
    assert_eq!(client.info("rdb_last_bgsave_status").as_deref(), Some("err"));
    server.wait_for_log("<shadow> libraries are missing from the file");
    server.restart(&options);
    let mut client = server.client();
    assert_eq!(client.run("SHADOW.FCALL f1 0"), Value::Integer(1), "the file of before is there");
    assert!(client.run("SHADOW.FCALL f2 0").is_error());
    // The server itself cannot fail to save, and says so.
    ask_for(&mut client, "PANIC-IN-SAVE");
    assert_eq!(client.run("SAVE").text(), "OK");
    assert_eq!(server.log().matches("<shadow> libraries are missing from the file").count(), 1);
    assert_eq!(client.run("SAVE").text(), "OK");
    server.restart(&options);
    assert_eq!(server.client().run("SHADOW.FCALL f1 0"), Value::Integer(1), "and the next time it does not");
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
