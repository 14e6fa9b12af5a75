//! The module's threads: the worker and the watch.

use crate::support::library::{callback, load, load_many, numbered};
use crate::support::{KINDS, Kind, Options, Server, wait_until};

const THREADS: [&str; 2] = ["shadow-reclaim", "shadow-watch"];

#[test]
fn the_threads_run_under_their_names() {
    let server = Server::start();
    wait_until("both have their names", || {
        let ours = server.thread_names().into_iter().filter(|name| name.starts_with("shadow"));
        let mut ours: Vec<String> = ours.collect();
        ours.sort();
        ours == THREADS
    });
}

#[test]
fn the_threads_take_no_signal() {
    let server = Server::start();
    for thread in THREADS {
        wait_until("it has its name", || server.thread_names().contains(&thread.to_owned()));
        let blocked = server.thread_status(thread, "SigBlk").expect("the thread runs");
        let blocked = u64::from_str_radix(&blocked, 16).expect("a mask");
        // SIGKILL and SIGSTOP cannot be blocked.
        for signal in (1..=31).filter(|signal| ![9, 19].contains(signal)) {
            assert!(blocked & 1 << (signal - 1) != 0, "{thread} does not block signal {signal}");
        }
    }
}

#[test]
fn without_calls_the_watch_sleeps_until_the_next() {
    let server = Options::new().set("busy-reply-threshold", "50").start();
    let (mut caller, mut other) = (server.client(), server.client());
    load(&mut caller, &callback("while true do end"));
    for kind in KINDS {
        server.wait_until_at_rest();
        caller.send(&match kind {
            Kind::Function => ["SHADOW.FCALL", "f", "0"],
            Kind::Script => ["SHADOW.EVAL", "while true do end", "0"],
        });
        wait_until("the server is busy", || other.run("PING").text().starts_with("BUSY "));
        assert_eq!(other.call(&[kind.container(), "KILL"]).text(), "OK");
        assert!(caller.read().is_error());
    }
    // A profile wants it as well.
    server.wait_until_at_rest();
    load(&mut caller, &numbered(1));
    assert_eq!(other.run("SHADOW.FUNCTION PROFILE START HZ 1000 SECONDS 60").text(), "OK");
    wait_until("a call is sampled", || {
        caller.run("SHADOW.FCALL f1 0");
        other.run("SHADOW.FUNCTION PROFILE GET").text().contains("f1")
    });
}

#[test]
fn the_server_goes_on_while_the_worker_frees() {
    let server = Options::new().module_arguments("enable-debug-command yes").start();
    let mut client = server.client();
    client.run("SHADOW.DEBUG RECLAIM-HOLD");
    load_many(&mut client, 1000);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert_eq!(client.info_number("shadow_pending_libraries"), 1000);
    load_many(&mut client, 1000);
    assert_eq!(client.run("SHADOW.FCALL f999 0").text(), "999");
    client.run("SHADOW.DEBUG RECLAIM-RELEASE");
    wait_until("the worker has freed them", || client.info_number("shadow_pending_libraries") == 0);
    assert_eq!(client.run("SHADOW.FCALL f999 0").text(), "999");
}

#[test]
fn the_worker_has_room_for_the_deepest_source() {
    let server = Server::start();
    let mut client = server.client();
    // From 100 levels to more than there may be, of what takes most room.
    for levels in (100..=2_000).step_by(100) {
        for (open, close) in [("f({", "})"), ("function() return ", " end")] {
            let body = format!("return {}1{}", open.repeat(levels), close.repeat(levels));
            let code = format!("#!lua name=deep\nredis.register_function('deep', function() {body} end)");
            let reply = client.call(&["SHADOW.FUNCTION", "DEPLOY", "TRY", &code]);
            if reply.is_error() {
                let text = reply.text();
                assert!(text.starts_with("ERR Library 'deep': Error compiling function: "), "{levels}: {text}");
            }
        }
    }
}

#[test]
fn the_server_shuts_down_in_the_middle_of_freeing() {
    let mut server = Options::new().set("loglevel", "verbose").start();
    let mut client = server.client();
    load_many(&mut client, 5000);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
    assert!(server.log().contains("<shadow> the thread shadow-reclaim is at rest"), "{}", server.log());
}

#[test]
fn the_worker_is_at_rest_when_the_server_ends_under_a_running_function() {
    for command in ["SHUTDOWN NOSAVE", "SHUTDOWN NOSAVE FORCE NOW"] {
        let options = Options::new().module_arguments("enable-debug-command yes").set("loglevel", "verbose");
        let mut server = options.set("busy-reply-threshold", "50").start();
        let (mut caller, mut other) = (server.client(), server.client());
        load_many(&mut caller, 1000);
        // The worker waits in the middle of its work, which it would do until the process is gone.
        caller.run("SHADOW.DEBUG RECLAIM-HOLD");
        caller.run("SHADOW.FUNCTION FLUSH ASYNC");
        wait_until("the worker has it", || caller.info_number("shadow_reclaim_queue") == 0);
        assert_eq!(caller.info_number("shadow_pending_libraries"), 1000);
        load(&mut caller, &callback("while true do end"));
        caller.send(&["SHADOW.FCALL", "f", "0"]);
        wait_until("the server is busy", || other.run("PING").text().starts_with("BUSY "));
        other.send(&command.split(' ').collect::<Vec<_>>());
        assert!(server.wait_for_exit().success(), "{}", server.log());
        assert!(server.log().contains("<shadow> the thread shadow-reclaim is at rest"), "{}", server.log());
        assert!(caller.read_raw().is_err(), "its call has no reply");
    }
}

#[test]
fn a_fork_in_the_middle_of_freeing_saves() {
    let server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 5000);
    client.run("SET key value");
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    assert!(!client.run("BGSAVE").is_error());
    wait_until("the save has ended", || client.info("rdb_bgsave_in_progress").as_deref() == Some("0"));
    assert_eq!(client.info("rdb_last_bgsave_status").as_deref(), Some("ok"));
    assert!(!client.call(&["SHADOW.FUNCTION", "LOAD", "REPLACE", &numbered(1)]).is_error());
}
