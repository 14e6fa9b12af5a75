//! The bound of the cache: which scripts a server that has one evicts, and when.

use std::ops::Range;

use super::Pair;
use crate::support::Flavour;
use crate::support::scripts::digest;

/// How many scripts a server keeps that has a bound.
const BOUND: usize = 500;

fn script(number: usize) -> String {
    format!("return {number}")
}

/// The command that runs a script by its text.
fn eval(number: usize) -> Vec<String> {
    vec!["EVAL".to_owned(), script(number), "0".to_owned()]
}

/// Runs scripts of these numbers on both sides.
fn evaluate(pair: &mut Pair, numbers: Range<usize>) {
    pair.compare_sequence_in(2, &numbers.map(eval).collect::<Vec<_>>());
}

/// Compares which of the scripts below this number are there.
fn compare_presence(pair: &mut Pair, below: usize) {
    let words = ["SCRIPT", "EXISTS"].map(str::to_owned);
    let digests = (0..below).map(|number| digest(script(number)));
    pair.compare_in(2, &words.into_iter().chain(digests).collect::<Vec<_>>());
}

#[test]
fn the_oldest_goes_where_there_is_a_bound() {
    let mut pair = Pair::start();
    for count in [BOUND - 1, BOUND, BOUND + 1, BOUND + 2, 2 * BOUND, 3 * BOUND] {
        pair.flush_scripts();
        evaluate(&mut pair, 0..count);
        compare_presence(&mut pair, count);
    }
    let digests: Vec<String> = (0..3 * BOUND).map(|number| digest(script(number))).collect();
    let kept = pair.server().client().call(&[vec!["SCRIPT".to_owned(), "EXISTS".to_owned()], digests].concat());
    let kept = kept.items().iter().filter(|there| there.text() == "1").count();
    let bounded = pair.server().version() >= (7, 4, 0) || pair.server().flavour() == Flavour::Valkey;
    assert_eq!(kept, if bounded { BOUND } else { 3 * BOUND }, "the bound that this test counts on");
    pair.finish();
}

#[test]
fn what_ran_last_goes_last() {
    let mut pair = Pair::start();
    let known = |number: usize| digest(script(number));
    evaluate(&mut pair, 0..BOUND);
    for words in [
        vec!["EVALSHA", &known(0), "0"],
        vec!["EVAL", &script(1), "0"],
        vec!["EVAL_RO", &script(2), "0"],
        vec!["EVALSHA_RO", &known(3), "0"],
        // What does not run does not count as use.
        vec!["SCRIPT", "EXISTS", &known(4)],
        vec!["EVALSHA", &known(5), "x"],
        vec!["EVAL", &script(6), "-1"],
        vec!["EVALSHA", &known(7).to_uppercase(), "0"],
    ] {
        pair.compare_in(2, &words);
    }
    if pair.server().flavour() == Flavour::Valkey {
        pair.compare_in(2, &["SCRIPT", "SHOW", &known(8)]);
    }
    evaluate(&mut pair, BOUND..BOUND + 20);
    compare_presence(&mut pair, BOUND + 20);
    pair.finish();
}

#[test]
fn a_script_that_fails_counts_as_one_that_ran_and_a_refused_one_does_not() {
    let mut pair = Pair::start();
    let (fails, refused) = ("error('x')", "#!lua\nreturn 1");
    pair.compare_in(2, &["EVAL", fails, "0"]);
    pair.compare_in(2, &["EVAL", refused, "0"]);
    evaluate(&mut pair, 0..BOUND - 2);
    pair.compare_in(2, &["EVALSHA", &digest(fails), "0"]);
    pair.compare_in(2, &["EVALSHA_RO", &digest(refused), "0"]);
    evaluate(&mut pair, BOUND..BOUND + 2);
    pair.compare_in(2, &["SCRIPT", "EXISTS", &digest(fails), &digest(refused)]);
    compare_presence(&mut pair, BOUND + 2);
    pair.finish();
}

#[test]
fn loaded_scripts_neither_go_nor_count() {
    let mut pair = Pair::start();
    let load = |number: usize| vec!["SCRIPT".to_owned(), "LOAD".to_owned(), script(number)];
    pair.compare_sequence_in(2, &(0..100).map(load).collect::<Vec<_>>());
    evaluate(&mut pair, 50..700);
    compare_presence(&mut pair, 700);
    pair.compare_sequence_in(2, &(700..1_300).map(load).collect::<Vec<_>>());
    compare_presence(&mut pair, 1_300);
    pair.finish();
}

/// Loading a script that EVAL had brought makes it stay on Valkey, and nowhere else.
#[test]
fn loading_an_evaluated_script_is_judged_alike() {
    let mut pair = Pair::start();
    evaluate(&mut pair, 0..10);
    for number in 0..5 {
        pair.compare_in(2, &["SCRIPT", "LOAD", &script(number)]);
    }
    evaluate(&mut pair, 10..BOUND + 20);
    compare_presence(&mut pair, BOUND + 20);
    pair.finish();
}

#[test]
fn what_does_not_compile_does_not_count() {
    let mut pair = Pair::start();
    evaluate(&mut pair, 0..BOUND);
    for number in 0..20 {
        pair.compare_in(2, &["EVAL", &format!("return ( -- {number}"), "0"]);
        pair.compare_in(2, &["EVAL", &format!("#!lua nonsense{number}\nreturn 1"), "0"]);
    }
    compare_presence(&mut pair, BOUND);
    pair.finish();
}

#[test]
fn a_flush_begins_anew() {
    let mut pair = Pair::start();
    evaluate(&mut pair, 0..BOUND);
    pair.compare_in(2, &["SCRIPT", "FLUSH", "ASYNC"]);
    evaluate(&mut pair, 10..BOUND);
    evaluate(&mut pair, 0..10);
    compare_presence(&mut pair, BOUND);
    evaluate(&mut pair, BOUND..BOUND + 5);
    compare_presence(&mut pair, BOUND + 5);
    pair.finish();
}

#[test]
fn in_a_transaction_the_oldest_goes_as_well() {
    let mut pair = Pair::start();
    let mut commands = vec![vec!["MULTI".to_owned()]];
    commands.extend((0..BOUND + 10).map(eval));
    commands.push(vec!["EXEC".to_owned()]);
    pair.compare_sequence_in(2, &commands);
    compare_presence(&mut pair, BOUND + 10);
    pair.finish();
}

#[test]
fn a_script_that_is_evicted_can_be_brought_back() {
    let mut pair = Pair::start();
    evaluate(&mut pair, 0..BOUND + 1);
    pair.compare_in(2, &["EVALSHA", &digest(script(0)), "0"]);
    pair.compare_in(2, &["EVAL", &script(0), "0"]);
    pair.compare_in(2, &["EVALSHA", &digest(script(0)), "0"]);
    compare_presence(&mut pair, BOUND + 1);
    pair.finish();
}
