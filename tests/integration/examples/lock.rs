//! examples/lock.lua

use super::{Loaded, shown};
use crate::support::wait_until;

#[test]
fn a_lock_has_one_owner_at_a_time() {
    let mut locks = Loaded::start("lock");
    assert_eq!(locks.call("lock_acquire 1 door ann 60000"), "1");
    assert_eq!(locks.call("lock_acquire 1 door bob 60000"), "0");
    assert_eq!(locks.call("lock_release 1 door bob"), "0");
    assert_eq!(locks.call("lock_extend 1 door bob 60000"), "0");
    assert_eq!(locks.call("lock_release 1 door ann"), "1");
    assert_eq!(locks.call("lock_release 1 door ann"), "0");
    assert_eq!(locks.call("lock_acquire 1 door bob 60000"), "1");
}

#[test]
fn its_owner_may_ask_again_and_sets_its_time_anew() {
    let mut locks = Loaded::start("lock");
    assert_eq!(locks.call("lock_acquire 1 door ann 1000"), "1");
    assert_eq!(locks.call("lock_acquire 1 door ann 600000"), "1");
    assert!(locks.run("PTTL door").parse::<u64>().expect("a time") > 1000);
    assert_eq!(locks.call("lock_extend 1 door ann 900000"), "1");
    assert!(locks.run("PTTL door").parse::<u64>().expect("a time") > 600_000);
}

#[test]
fn a_lock_that_has_expired_belongs_to_who_asks_next() {
    let mut locks = Loaded::start("lock");
    assert_eq!(locks.call("lock_acquire 1 door ann 1"), "1");
    wait_until("the lock expires", || locks.call("lock_acquire 1 door bob 60000") == "1");
    assert_eq!(locks.call("lock_release 1 door ann"), "0");
    assert_eq!(locks.call("lock_extend 1 door ann 1"), "0");
}

#[test]
fn anybody_may_look_at_a_lock() {
    let mut locks = Loaded::start("lock");
    assert_eq!(locks.call("lock_info 1 door"), "nil");
    locks.call("lock_acquire 1 door ann 60000");
    let reply = locks.client.run("SHADOW.FCALL_RO lock_info 1 door").items();
    assert_eq!(shown(&reply[0]), "ann");
    assert!((1..=60_000).contains(&shown(&reply[1]).parse::<i64>().expect("a time")));
}

#[test]
fn a_lock_can_be_released_when_memory_is_full() {
    let mut locks = Loaded::start("lock");
    locks.call("lock_acquire 1 door ann 60000");
    locks.run("CONFIG SET maxmemory 1");
    assert!(locks.call("lock_acquire 1 gate ann 60000").starts_with("-OOM"));
    assert_eq!(locks.call("lock_release 1 door ann"), "1");
}

#[test]
fn wrong_arguments_are_refused() {
    let mut locks = Loaded::start("lock");
    for time in ["0", "-1", "1.5", "1e3", "0x10", "nan", "", "1000000000000000", "12 "] {
        for function in ["lock_acquire", "lock_extend"] {
            let reply = locks.call_words(&[function, "1", "door", "ann", time]);
            assert_eq!(reply, "-ERR milliseconds must be a whole number above 0", "{function} {time}");
        }
    }
    for function in ["lock_acquire", "lock_extend"] {
        assert_eq!(locks.call_words(&[function, "1", "door", "", "10"]), "-ERR the token must not be empty");
        assert_eq!(
            locks.call_words(&[function, "2", "door", "gate", "ann", "10"]),
            "-ERR expected 1 key, token, milliseconds"
        );
    }
    assert_eq!(locks.call("lock_release 1 door"), "-ERR expected 1 key, token");
    assert_eq!(locks.call("lock_info 1 door ann"), "-ERR expected 1 key");
    assert_eq!(locks.run("DBSIZE"), "0");
    locks.run("RPUSH door x");
    assert!(locks.call("lock_acquire 1 door ann 10").starts_with("-WRONGTYPE"));
    assert_eq!(locks.call("lock_acquire 1 gate ann 999999999999999"), "1");
}
