//! examples/delayed_queue.lua

use super::{Loaded, shown};
use crate::support::wait_until;

const KEYS: &str = "2 {q}due {q}jobs";

impl Loaded {
    fn queue(&mut self, function: &str, arguments: &str) -> String {
        self.call(&format!("queue_{function} {KEYS} {arguments}"))
    }
}

#[test]
fn a_job_is_taken_once_and_is_gone_when_it_is_done() {
    let mut jobs = Loaded::start("delayed_queue");
    assert_eq!(jobs.queue("put", "mail 0 hello"), "1");
    assert_eq!(jobs.queue("take", "10 60000"), "[[mail hello 1]]");
    assert_eq!(jobs.queue("take", "10 60000"), "[]");
    assert_eq!(jobs.queue("done", "mail 1"), "1");
    assert_eq!(jobs.queue("done", "mail 1"), "0");
    assert_eq!(jobs.run("DBSIZE"), "0");
}

#[test]
fn a_job_is_not_taken_before_it_is_due() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "later 3600000 x");
    assert_eq!(jobs.queue("take", "10 60000"), "[]");
    jobs.queue("put", "soon 20 x");
    wait_until("it becomes due", || jobs.queue("take", "10 60000") == "[[soon x 1]]");
}

#[test]
fn a_job_is_due_by_the_servers_clock() {
    let mut jobs = Loaded::start("delayed_queue");
    let mut other = jobs.server.client();
    let mut clock = || {
        let time: Vec<u64> =
            other.run("TIME").items().iter().map(|part| part.text().parse().expect("a number")).collect();
        time[0] * 1000 + time[1] / 1000
    };
    // In both halves of a second.
    for half in [0, 500] {
        wait_until("the second has come so far", || clock() % 1000 / 500 * 500 == half);
        let before = clock();
        jobs.client.run(&format!("SHADOW.FCALL queue_put {KEYS} job{half} 5000 x"));
        let due: u64 = jobs.client.run(&format!("ZSCORE {{q}}due job{half}")).text().parse().expect("a time");
        let after = clock();
        assert!(
            (before + 5000..=after + 5000).contains(&due),
            "{due} is not between {before} and {after} and 5 seconds"
        );
    }
}

#[test]
fn the_job_that_waits_longest_comes_first() {
    let mut jobs = Loaded::start("delayed_queue");
    for job in ["c 0 x", "b 20 x", "a 40 x"] {
        jobs.queue("put", job);
    }
    wait_until("all are due", || jobs.queue("length", "") == "[3 3 0]");
    assert_eq!(jobs.queue("take", "2 60000"), "[[c x 1] [b x 1]]");
    assert_eq!(jobs.queue("take", "2 60000"), "[[a x 1]]");
}

#[test]
fn a_job_whose_lease_ends_is_taken_again_and_the_first_worker_has_lost_it() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "mail 0 x");
    assert_eq!(jobs.queue("take", "1 1"), "[[mail x 1]]");
    wait_until("the lease ends", || jobs.queue("take", "1 60000") == "[[mail x 2]]");
    assert_eq!(jobs.queue("done", "mail 1"), "0");
    assert_eq!(jobs.queue("postpone", "mail 1 0"), "0");
    assert_eq!(jobs.queue("done", "mail 2"), "1");
}

#[test]
fn a_postponed_job_comes_back_or_is_kept() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "mail 0 x");
    jobs.queue("take", "1 60000");
    assert_eq!(jobs.queue("postpone", "mail 1 0"), "1");
    assert_eq!(jobs.queue("take", "1 60000"), "[[mail x 2]]");
    assert_eq!(jobs.queue("postpone", "mail 2 3600000"), "1");
    assert_eq!(jobs.queue("take", "1 60000"), "[]");
    assert_eq!(jobs.queue("done", "mail 2"), "1");
}

#[test]
fn a_job_that_is_there_stays_as_it_is() {
    let mut jobs = Loaded::start("delayed_queue");
    assert_eq!(jobs.queue("put", "mail 0 first"), "1");
    assert_eq!(jobs.queue("put", "mail 3600000 second"), "0");
    assert_eq!(jobs.queue("take", "1 60000"), "[[mail first 1]]");
    assert_eq!(jobs.queue("put", "mail 0 third"), "0");
}

#[test]
fn a_job_can_be_cancelled_whoever_has_it() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "one 3600000 x");
    jobs.queue("put", "two 0 x");
    jobs.queue("take", "1 60000");
    assert_eq!(jobs.queue("cancel", "one"), "1");
    assert_eq!(jobs.queue("cancel", "two"), "1");
    assert_eq!(jobs.queue("cancel", "two"), "0");
    assert_eq!(jobs.queue("done", "two 1"), "0");
    assert_eq!(jobs.run("DBSIZE"), "0");
}

#[test]
fn the_length_tells_what_is_due_and_when_the_next_one_is() {
    let mut jobs = Loaded::start("delayed_queue");
    assert_eq!(jobs.queue("length", ""), "[0 0 nil]");
    jobs.queue("put", "later 3600000 x");
    let reply = shown(&jobs.client.run(&format!("SHADOW.FCALL_RO queue_length {KEYS}")));
    let wait: u64 =
        reply.strip_prefix("[0 1 ").and_then(|rest| rest.strip_suffix(']')).expect("three").parse().expect("a time");
    assert!((3_590_000..=3_600_000).contains(&wait), "{wait}");
    jobs.queue("put", "now 0 x");
    assert_eq!(jobs.queue("length", ""), "[1 2 0]");
}

#[test]
fn payloads_are_bytes_of_any_kind() {
    let mut jobs = Loaded::start("delayed_queue");
    let command: [&[u8]; 8] = [b"SHADOW.FCALL", b"queue_put", b"2", b"due", b"jobs", b"a\0b", b"0", b"\xff\r\n\0"];
    jobs.client.call(&command);
    let taken = jobs.client.run("SHADOW.FCALL queue_take 2 due jobs 1 1000").items()[0].items();
    assert_eq!(taken[0], crate::support::Value::Bulk(b"a\0b".to_vec()));
    assert_eq!(taken[1], crate::support::Value::Bulk(b"\xff\r\n\0".to_vec()));
}

#[test]
fn a_job_whose_payload_was_deleted_is_dropped() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "lost 0 x");
    jobs.run("DEL {q}jobs");
    jobs.queue("put", "kept 0 x");
    assert_eq!(jobs.queue("take", "10 60000"), "[[kept x 1]]");
    assert_eq!(jobs.queue("length", "").split(' ').nth(1), Some("1"));
}

#[test]
fn a_full_server_lets_workers_finish() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.queue("put", "one 0 x");
    jobs.queue("put", "two 0 x");
    jobs.queue("take", "1 60000");
    jobs.run("CONFIG SET maxmemory 1");
    assert!(jobs.queue("put", "three 0 x").starts_with("-OOM"));
    assert_eq!(jobs.queue("done", "one 1"), "1");
    assert_eq!(jobs.queue("cancel", "two"), "1");
}

#[test]
fn wrong_arguments_are_refused() {
    let mut jobs = Loaded::start("delayed_queue");
    for number in ["-1", "1.5", "1e3", "0x10", "nan", "1000000000001", "soon"] {
        let complaint = "-ERR milliseconds must be a whole number from 0 to 1e12";
        assert_eq!(jobs.queue("put", &format!("mail {number} x")), complaint, "{number}");
        assert_eq!(jobs.queue("postpone", &format!("mail 1 {number}")), complaint, "{number}");
    }
    for number in ["0", "-1", "1.5", "1001", "all"] {
        let reply = jobs.queue("take", &format!("{number} 1000"));
        assert_eq!(reply, "-ERR count must be a whole number from 1 to 1000", "{number}");
    }
    assert_eq!(jobs.queue("take", "1 0"), "-ERR lease must be a whole number from 1 to 1e12");
    assert_eq!(jobs.queue("done", "mail 0"), "-ERR attempt must be a whole number above 0");
    assert_eq!(jobs.queue("put", "mail 0"), "-ERR expected 2 keys, job, milliseconds, payload");
    assert_eq!(jobs.call("queue_put 1 due mail 0 x"), "-ERR expected 2 keys, job, milliseconds, payload");
    assert_eq!(jobs.call("queue_put 2 due due mail 0 x"), "-ERR the two keys must differ");
    assert_eq!(
        jobs.call_words(&["queue_put", "2", "due", "jobs", "", "0", "x"]),
        "-ERR the name of a job must not be empty"
    );
    assert_eq!(jobs.run("DBSIZE"), "0");
}

#[test]
fn a_key_of_the_wrong_kind_is_an_error_that_writes_nothing() {
    let mut jobs = Loaded::start("delayed_queue");
    jobs.run("SET {q}jobs text");
    assert!(jobs.queue("put", "mail 0 x").starts_with("-WRONGTYPE"));
    assert_eq!(jobs.run("EXISTS {q}due"), "0");
}
