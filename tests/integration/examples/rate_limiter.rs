//! examples/rate_limiter.lua

use super::Loaded;
use crate::support::wait_until;

/// The three numbers of a reply: allowed, tokens left, milliseconds to wait.
fn numbers(reply: &str) -> Vec<i64> {
    let inside = reply.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("an array");
    inside.split(' ').map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn a_full_bucket_allows_its_capacity_and_no_more() {
    let mut limiter = Loaded::start("rate_limiter");
    assert_eq!(limiter.call("rate_take 1 bucket 3 0.001"), "[1 2 0]");
    assert_eq!(limiter.call("rate_take 1 bucket 3 0.001 2"), "[1 0 0]");
    let refused = numbers(&limiter.call("rate_take 1 bucket 3 0.001"));
    assert_eq!(refused[..2], [0, 0]);
    assert!((990_000..=1_000_000).contains(&refused[2]), "{refused:?}");
}

#[test]
fn a_refused_request_takes_nothing() {
    let mut limiter = Loaded::start("rate_limiter");
    assert_eq!(limiter.call("rate_take 1 bucket 3 0.001 2"), "[1 1 0]");
    assert_eq!(numbers(&limiter.call("rate_take 1 bucket 3 0.001 2"))[..2], [0, 1]);
    assert_eq!(limiter.call("rate_take 1 bucket 3 0.001 1"), "[1 0 0]");
}

#[test]
fn tokens_come_back_with_time() {
    let mut limiter = Loaded::start("rate_limiter");
    assert_eq!(limiter.call("rate_take 1 bucket 1 100"), "[1 0 0]");
    wait_until("a token comes back", || numbers(&limiter.call("rate_take 1 bucket 1 100"))[0] == 1);
    // The time to wait is in milliseconds, one of which may end between the two calls.
    wait_until("a refusal says in the same millisecond what a look says", || {
        limiter.call("rate_take 1 bucket 1 0.001 1") == limiter.call("rate_peek 1 bucket 1 0.001 1")
    });
}

#[test]
fn tokens_come_back_one_by_one() {
    let mut limiter = Loaded::start("rate_limiter");
    assert_eq!(limiter.call("rate_take 1 bucket 1000 10 1000"), "[1 0 0]");
    wait_until("a token comes back", || numbers(&limiter.call("rate_peek 1 bucket 1000 10"))[0] == 1);
    assert_eq!(numbers(&limiter.call("rate_peek 1 bucket 1000 10 1000"))[0], 0);
}

#[test]
fn looking_takes_nothing_and_makes_no_key() {
    let mut limiter = Loaded::start("rate_limiter");
    for _ in 0..3 {
        assert_eq!(limiter.client.run("SHADOW.FCALL_RO rate_peek 1 bucket 1 0.001").items().len(), 3);
        assert_eq!(limiter.call("rate_peek 1 bucket 1 0.001"), "[1 1 0]");
    }
    assert_eq!(limiter.run("DBSIZE"), "0");
}

#[test]
fn a_bucket_that_lacks_a_field_counts_as_full() {
    let mut limiter = Loaded::start("rate_limiter");
    for field in ["tokens", "at"] {
        limiter.call("rate_take 1 bucket 2 0.001");
        limiter.run(&format!("HDEL bucket {field}"));
        assert_eq!(limiter.call("rate_take 1 bucket 2 0.001"), "[1 1 0]");
    }
}

#[test]
fn a_bucket_expires_when_it_is_full_again() {
    let mut limiter = Loaded::start("rate_limiter");
    limiter.call("rate_take 1 bucket 10 0.5 5");
    let left: i64 = limiter.run("PTTL bucket").parse().expect("a time");
    assert!((9_000..=10_000).contains(&left), "{left}");
    limiter.call("rate_take 1 quick 1 1000");
    wait_until("the bucket expires", || limiter.run("EXISTS quick") == "0");
}

#[test]
fn wrong_arguments_are_refused() {
    let mut limiter = Loaded::start("rate_limiter");
    for (capacity, rate, cost, complaint) in [
        ("0.5", "1", "1", "capacity must be a number from 1 to 1e9"),
        ("2e9", "1", "1", "capacity must be a number from 1 to 1e9"),
        ("nan", "1", "1", "capacity must be a number from 1 to 1e9"),
        ("many", "1", "1", "capacity must be a number from 1 to 1e9"),
        ("1", "0", "1", "rate must be a number from 1e-6 to 1e9"),
        ("1", "inf", "1", "rate must be a number from 1e-6 to 1e9"),
        ("1", "nan", "1", "rate must be a number from 1e-6 to 1e9"),
        ("1", "1", "0", "cost must be above 0 and at most the capacity"),
        ("1", "1", "2", "cost must be above 0 and at most the capacity"),
        ("1", "1", "nan", "cost must be above 0 and at most the capacity"),
    ] {
        for function in ["rate_take", "rate_peek"] {
            let reply = limiter.call_words(&[function, "1", "bucket", capacity, rate, cost]);
            assert_eq!(reply, format!("-ERR {complaint}"), "{function} {capacity} {rate} {cost}");
        }
    }
    assert_eq!(limiter.call("rate_take 1 bucket 1"), "-ERR expected 1 key, capacity, rate [cost]");
    assert_eq!(limiter.call("rate_take 1 bucket 1 1 1 1"), "-ERR expected 1 key, capacity, rate [cost]");
    assert_eq!(limiter.run("DBSIZE"), "0");
    assert_eq!(limiter.call("rate_peek 1 bucket 1e9 1e9 1e9"), "[1 1000000000 0]");
    assert_eq!(limiter.call("rate_peek 1 bucket 1 1e-6 0.5"), "[1 1 0]");
    limiter.run("SET bucket text");
    assert!(limiter.call("rate_take 1 bucket 1 1").starts_with("-WRONGTYPE"));
}
