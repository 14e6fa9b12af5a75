//! Random programs, many of them, as functions and as scripts of the server's own and of the module's: interpreted and
//! as machine code, each answers what the server answers, but for what docs/compatibility.md lists.
//!
//! `COUNT` is the number of programs, `SEED` makes them (the same ones in each run without it, `new` for others),
//! `ENOUGH` is how many differences are looked into before the test gives up.

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod grammar;
mod library;
mod rules;
mod shrink;
mod subject;
mod tree;
mod verdict;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use grammar::Grammar;
use shrink::shrink;
use subject::{Form, Replies, Subject, Way};
use tree::Node;
use verdict::agree;

const DEFAULT_COUNT: usize = 2_000;
/// What makes the programs when nobody says: a change is judged by the change, not by luck.
const DEFAULT_SEED: u64 = 61;
/// Programs in a library.
const BATCH: usize = 50;
/// Differences that are looked into before the test gives up.
const ENOUGH: usize = 12;

fn text(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

fn number(variable: &str) -> Option<u64> {
    text(variable).map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn seed() -> u64 {
    match text("SEED").as_deref() {
        Some("new") => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64),
        _ => number("SEED").unwrap_or(DEFAULT_SEED),
    }
}

/// The programs of a library whose replies differ; all of them when only one side takes the library. One that neither
/// takes, which leaving something out can make of it, is no difference.
fn differing(stock: &Replies, shadow: &Replies) -> Vec<usize> {
    match (stock, shadow) {
        (Ok(stock), Ok(shadow)) => (0..stock.len())
            .filter(|&at| stock[at].iter().zip(&shadow[at]).any(|(stock, shadow)| !agree(stock, shadow)))
            .collect(),
        (Ok(replies), _) | (_, Ok(replies)) => (0..replies.len()).collect(),
        (Err(_), Err(_)) => Vec::new(),
    }
}

fn differs(subject: &mut Subject, program: &Node, way: Way, form: Form) -> bool {
    let program = std::slice::from_ref(program);
    let (stock, shadow) = (subject.run(program, Way::Stock, form), subject.run(program, way, form));
    !differing(&stock, &shadow).is_empty()
}

/// A program that differs by itself, made small, and what each side says to it.
fn describe(subject: &mut Subject, program: &Node, way: Way, form: Form) -> String {
    let small = shrink(program.clone(), |program| differs(subject, program, way, form));
    let mut text =
        format!("{way:?} {form:?}:\n{}\n", String::from_utf8_lossy(&small.source()).trim().replace('\r', "\\r"));
    for way in [Way::Stock, way] {
        let replies = match subject.run(std::slice::from_ref(&small), way, form) {
            Ok(replies) => replies[0].iter().map(|reply| reply.escape_ascii().to_string()).collect(),
            Err(refused) => vec![refused.escape_ascii().to_string()],
        };
        text.push_str(&format!("  {way:?}: {}\n", replies.join("  RESP3: ")));
    }
    text
}

/// Programs that a panic is about: a server that does not answer or has ended cannot be asked which one it was.
struct ShownInPanic<'a>(&'a [Node], usize);

impl Drop for ShownInPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = String::from_utf8_lossy(&library::source(self.0)).into_owned();
            eprintln!("Programs {} and on:\n{text}", self.1);
        }
    }
}

#[test]
fn random_programs_differ_from_the_server_in_rows_only() {
    let count = number("COUNT").map_or(DEFAULT_COUNT, |count| count as usize);
    let seed = seed();
    let enough = number("ENOUGH").map_or(ENOUGH, |enough| enough as usize);
    println!("SEED={seed}, {count} programs");
    let mut rng = Rng::with_seed(seed);
    let mut subject = Subject::start();
    let started = Instant::now();
    let (mut done, mut raised, mut compiled) = (0, 0, 0);
    let mut differences = Vec::new();
    while done < count && differences.len() < enough {
        let programs: Vec<Node> = (0..BATCH.min(count - done)).map(|_| Grammar::program(&mut rng)).collect();
        let _shown = ShownInPanic(&programs, done);
        for form in Form::ALL {
            let stock = subject.run(&programs, Way::Stock, form);
            if let Err(text) = &stock {
                panic!("SEED={seed}: the server takes every program that is made: {}", text.escape_ascii());
            }
            for way in Way::SHADOW {
                let shadow = subject.run(&programs, way, form);
                if (way, form) == (Way::Compiled, Form::Functions) {
                    compiled += subject.server().client().info_number("shadow_native_functions");
                }
                let suspects = differing(&stock, &shadow);
                let (alone, before) = (suspects.iter().map(|&at| &programs[at]), differences.len());
                for program in alone.take(enough - before.min(enough)) {
                    if differs(&mut subject, program, way, form) {
                        differences.push(describe(&mut subject, program, way, form));
                    }
                }
                if !suspects.is_empty() && differences.len() == before && before < enough {
                    let first = done + suspects[0];
                    differences.push(format!("{way:?} {form:?}: program {first} differs beside others only"));
                }
            }
            if form == Form::Functions {
                raised += stock.iter().flatten().filter(|replies| replies[0].starts_with(b"-")).count();
            }
        }
        done += programs.len();
    }
    println!("{done} programs, {raised} raised, in {:.1} s", started.elapsed().as_secs_f64());
    assert!(differences.is_empty(), "SEED={seed}: {} differ\n\n{}", differences.len(), differences.join("\n"));
    assert!(raised > 0 && raised < done / 2, "most come to their end");
    assert!(compiled >= done as i64, "{compiled} functions were compiled");
    let log = subject.server().log();
    assert!(!log.contains("internal error") && !log.contains("panicked"), "{log}");
}
