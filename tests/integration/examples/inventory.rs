//! examples/inventory.lua

use super::{Loaded, shown};

impl Loaded {
    fn change(&mut self, steps: &str) -> String {
        self.call(&format!("inv_change 2 items log {steps}"))
    }

    fn undo(&mut self) -> String {
        self.call("inv_undo 2 items log")
    }
}

#[test]
fn a_change_adds_and_takes_and_tells_the_new_counts() {
    let mut shop = Loaded::start("inventory");
    assert_eq!(shop.change("apple 5 pear 2"), "[5 2]");
    assert_eq!(shop.change("apple -2 pear 1 plum 7"), "[3 3 7]");
    assert_eq!(shop.call("inv_count 1 items plum nothing apple"), "[7 0 3]");
}

#[test]
fn a_change_that_lacks_something_changes_nothing() {
    let mut shop = Loaded::start("inventory");
    shop.change("apple 1 pear 1");
    assert_eq!(shop.change("apple 5 pear -2"), "-LACKING 1 of pear are there");
    assert_eq!(shop.change("plum -1"), "-LACKING 0 of plum are there");
    assert_eq!(shop.call("inv_count 1 items apple pear plum"), "[1 1 0]");
    assert_eq!(shop.run("LLEN log"), "1");
}

#[test]
fn undo_takes_changes_back_one_by_one() {
    let mut shop = Loaded::start("inventory");
    shop.change("apple 5");
    shop.change("apple -3 pear 1");
    assert_eq!(shop.undo(), "[[apple 5] [pear 0]]");
    assert_eq!(shop.undo(), "[[apple 0]]");
    assert_eq!(shop.undo(), "nil");
    assert_eq!(shop.run("DBSIZE"), "0");
}

#[test]
fn undo_does_not_take_what_is_no_longer_there() {
    let mut shop = Loaded::start("inventory");
    shop.change("apple 5");
    shop.run("HSET items apple 2");
    assert_eq!(shop.undo(), "-LACKING 2 of apple are there");
    assert_eq!(shop.call("inv_count 1 items apple"), "[2]");
    assert_eq!(shop.run("LLEN log"), "1");
}

#[test]
fn the_log_shows_the_newest_change_first_and_keeps_a_hundred() {
    let mut shop = Loaded::start("inventory");
    for amount in 1..=120 {
        shop.change(&format!("apple {amount}"));
    }
    shop.change("apple -1 pear 2");
    assert_eq!(shop.run("LLEN log"), "100");
    let reply = shown(&shop.client.run("SHADOW.FCALL_RO inv_log 1 log 2"));
    assert_eq!(reply, "[[[apple -1] [pear 2]] [[apple 120]]]");
    assert_eq!(shop.call("inv_log 1 nothing 2"), "[]");
    shop.undo();
    assert_eq!(shop.call("inv_log 1 log 1"), "[[[apple 120]]]");
}

#[test]
fn an_item_may_have_any_name_and_counts_go_far() {
    let mut shop = Loaded::start("inventory");
    assert_eq!(
        shop.call_words(&["inv_change", "2", "items", "log", "a b\r\n", "1", "", "1000000000000000"]),
        "[1 1000000000000000]"
    );
    for _ in 0..8 {
        shop.call_words(&["inv_change", "2", "items", "log", "", "1000000000000000"]);
    }
    let full = shop.call_words(&["inv_change", "2", "items", "log", "", "7199254740992"]);
    assert_eq!(full, "-ERR  would be more than 2^53 - 1");
    let most = shop.call_words(&["inv_change", "2", "items", "log", "", "7199254740991"]);
    assert_eq!(most, "[9007199254740991]");
    assert_eq!(shop.undo(), "[[ 9000000000000000]]");
}

#[test]
fn wrong_arguments_are_refused() {
    let mut shop = Loaded::start("inventory");
    for amount in ["0", "1.5", "1e3", "0x10", "nan", "some", "1000000000000001", "--1"] {
        let reply = shop.change(&format!("pear 1 apple {amount}"));
        assert_eq!(reply, "-ERR an amount must be a whole number other than 0, up to 1e15", "{amount}");
    }
    assert_eq!(shop.change("apple 1 apple 2"), "-ERR apple is named twice");
    for arguments in ["", "apple", "apple 1 pear"] {
        let reply = shop.change(arguments);
        assert_eq!(reply, "-ERR expected 2 keys that differ, item, amount [item, amount ...]", "{arguments}");
    }
    assert!(shop.call("inv_change 2 items items apple 1").starts_with("-ERR expected 2 keys"));
    assert!(shop.call("inv_undo 2 items items").starts_with("-ERR expected 2 keys"));
    assert_eq!(shop.call("inv_count 1 items"), "-ERR expected 1 key, 1 to 1000 items");
    for count in ["0", "101", "-1", "all"] {
        assert_eq!(shop.call(&format!("inv_log 1 log {count}")), "-ERR expected 1 key, a count from 1 to 100");
    }
    let many: Vec<String> = (0..1001).map(|item| format!("item{item} 1")).collect();
    assert_eq!(shop.change(&many.join(" ")), "-ERR a change has at most 1000 items");
    assert_eq!(shop.run("DBSIZE"), "0");
    assert_eq!(shop.change(&many[..1000].join(" ")).split(' ').count(), 1000);
    let names: Vec<String> = (0..1001).map(|item| format!("item{item}")).collect();
    assert!(shop.call(&format!("inv_count 1 items {}", names.join(" "))).starts_with("-ERR expected 1 key"));
    assert_eq!(shop.call(&format!("inv_count 1 items {}", names[..1000].join(" "))).split(' ').count(), 1000);
}

#[test]
fn a_key_of_the_wrong_kind_is_an_error_that_writes_nothing() {
    let mut shop = Loaded::start("inventory");
    shop.run("SET log text");
    assert!(shop.change("apple 1").starts_with("-WRONGTYPE"));
    assert_eq!(shop.run("EXISTS items"), "0");
}
