//! The worker thread.

use crate::library::{load_many, numbered};
use crate::support::{Options, Server, wait_until};

const WORKER: &str = "shadow-reclaim";

#[test]
fn the_worker_runs_under_its_name() {
    let server = Server::start();
    wait_until("the worker has its name", || server.thread_names().contains(&WORKER.to_owned()));
    let ours: Vec<String> = server.thread_names().into_iter().filter(|name| name.starts_with("shadow")).collect();
    assert_eq!(ours, [WORKER]);
}

#[test]
fn the_worker_takes_no_signal() {
    let server = Server::start();
    wait_until("the worker has its name", || server.thread_names().contains(&WORKER.to_owned()));
    let blocked = server.thread_status(WORKER, "SigBlk").expect("the worker runs");
    let blocked = u64::from_str_radix(&blocked, 16).expect("a mask");
    // SIGKILL and SIGSTOP cannot be blocked.
    for signal in (1..=31).filter(|signal| ![9, 19].contains(signal)) {
        assert!(blocked & 1 << (signal - 1) != 0, "signal {signal} is not blocked");
    }
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
fn the_server_shuts_down_in_the_middle_of_freeing() {
    let mut server = Server::start();
    let mut client = server.client();
    load_many(&mut client, 5000);
    client.run("SHADOW.FUNCTION FLUSH ASYNC");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
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
