//! Every request for memory refused once while libraries and scripts come and go: nothing is lost by a refusal, and
//! nothing stays behind. `engine/refusals.rs` says how.

use std::ffi::CStr;
use std::fmt::Debug;

use super::*;
use crate::deployment::{Deployment, Sources, Texts};
use crate::engine::{CallMode, Caller, Host, Item, NoServer, Sink, out_of_memory, refusing};
use crate::registry::Origin;
use crate::registry::payload::{self, Rules, Versions};

const LIMIT: usize = 1 << 30;

/// What a VM may hold more after a refusal and a collection than before it, in bytes; whole pages are counted.
const SLACK: usize = 16 << 10;

/// Keeps the last item of a reply, as text.
#[derive(Default)]
struct Last(String);

impl Sink for Last {
    fn put(&mut self, item: Item<'_>) {
        self.0 = match item {
            Item::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        };
    }
}

/// Answers every command with `OK`.
struct Fine;

impl Host for Fine {
    fn call(&mut self, _: &CStr, _: &[&[u8]], _: CallMode, _: Caller) -> &[u8] {
        b"+OK\r\n"
    }
}

/// A library with two functions, which tell the edition.
fn source(library: &str, edition: u32) -> String {
    format!(
        "#!lua name={library}
        local edition, kept = 'edition {edition}', {{1, 2, {{3}}}}
        redis.register_function('{library}_f', function() redis.call('PING') return edition end)
        redis.register_function{{function_name = '{library}_g', callback = function() return #kept end,
            flags = {{'no-writes'}}, description = 'has a description'}}"
    )
}

const COLLECTING: &str = "#!lua name=collecting
    redis.register_function('collect', function() collectgarbage() collectgarbage() return 'collected' end)";

fn functions() -> Functions {
    let mut functions = Functions::new(Dialect::default()).unwrap();
    functions.set_memory_limit(LIMIT);
    for code in [COLLECTING, &source("a", 1), &source("b", 1)] {
        functions.load(code.as_bytes(), false, None, &mut NoServer).unwrap();
    }
    functions
}

fn call(functions: &Functions, name: &str) -> String {
    let mut last = Last::default();
    let function = functions.registry().function(name.as_bytes()).unwrap();
    functions.call(function, [].into_iter(), [].into_iter(), &mut Fine, &mut last).unwrap();
    last.0
}

/// All that is loaded, callbacks included, and what each function answers.
fn contents(functions: &Functions) -> Vec<String> {
    let libraries = functions.registry().libraries();
    let mut contents: Vec<_> = libraries.map(|library| format!("{library:?}")).collect();
    contents.sort();
    for function in functions.registry().functions() {
        contents.push(format!("{}: {}", function.name, call(functions, &function.name)));
    }
    contents
}

/// Bytes that the VM holds and something refers to.
fn held(functions: &Functions) -> usize {
    call(functions, "collect");
    functions.vm_memory()
}

fn is_refusal(error: &Error, callable: Callable) -> bool {
    error.text().starts_with(out_of_memory(callable))
}

/// Runs `change` over and over, each time with another request refused, until it gets through: before that everything
/// is as it was each time. How many requests there were.
fn refuse_each<T: Debug>(functions: &mut Functions, mut change: impl FnMut(&mut Functions) -> Result<T, Error>) -> u64 {
    let (before, bytes) = (contents(functions), held(functions));
    for number in 0.. {
        let (result, came) = refusing(number, || change(functions));
        match result {
            Ok(_) => {
                assert!(!came || contents(functions) != before, "request {number} was refused and nothing happened");
                return number;
            }
            Err(error) => assert!(came && is_refusal(&error, Callable::Function), "request {number}: {error}"),
        }
        assert_eq!(contents(functions), before, "request {number}");
        let after = held(functions);
        assert!(after <= bytes + SLACK, "request {number}: {bytes} to {after} bytes");
    }
    unreachable!("numbers do not end")
}

fn restore(functions: &mut Functions, sources: &[String], replace: bool) -> Result<(), Error> {
    let payload = payload::write(sources.iter().map(|source| source.as_bytes()), 10, true);
    functions.restore(payload::read(&payload, Rules::new(Versions::Redis(10))).unwrap(), replace, &mut NoServer)
}

#[test]
fn libraries_that_come_are_refused_at_every_request() {
    let mut functions = functions();
    let mut load = |code: String, replace| {
        let count =
            refuse_each(&mut functions, |functions| functions.load(code.as_bytes(), replace, None, &mut NoServer));
        assert!(count > 10, "{count}");
        count
    };
    let mut count = load(source("c", 1), false) + load(source("a", 2), true);
    for (sources, replace) in [([source("d", 1), source("e", 1)], false), ([source("b", 2), source("d", 2)], true)] {
        count += refuse_each(&mut functions, |functions| restore(functions, &sources, replace));
    }
    println!("{count} requests were refused");
    let answers = ["a_f", "b_f", "c_f", "d_f", "e_f"].map(|name| call(&functions, name));
    assert_eq!(answers, ["2", "2", "1", "2", "1"].map(|edition| format!("edition {edition}")));
}

/// What leaves needs no memory.
#[test]
fn libraries_that_go_are_refused_nothing() {
    let mut functions = functions();
    let bytes = held(&functions);
    for name in ["a", "b"] {
        let (result, came) = refusing(0, || functions.delete(name.as_bytes()));
        assert_eq!((result, came), (Ok(()), false), "{name}");
    }
    assert!(held(&functions) < bytes);
    assert_eq!(functions.registry().library_count(), 1);
    let ((), came) = refusing(0, || drop(functions));
    assert!(!came);
}

#[test]
fn deploys_are_refused_at_every_request() {
    let sources: Vec<String> = (0..5).map(|number| source(&format!("l{number}"), 1)).collect();
    let deployment = Deployment {
        sources: Sources::Texts(Texts::new(sources.iter().map(|source| source.as_bytes()))),
        dialect: Dialect::default(),
        memory_limit: LIMIT,
        time_limit: None,
        label: None,
    };
    for number in 0.. {
        match refusing(number, || deployment.build(&mut NoServer, &|| false)) {
            (Ok(built), came) => {
                assert!(!came && number > 50, "{number}");
                assert_eq!(call(&built.generation, "l4_f"), "edition 1");
                return println!("{number} requests were refused");
            }
            (Err(error), came) => {
                assert!(came, "{error}");
                let text = error.to_string();
                let refused = String::from_utf8_lossy(out_of_memory(Callable::Function)).into_owned();
                assert!(text.starts_with("ERR Library 'l") && text.ends_with(&refused), "request {number}: {text}");
            }
        }
    }
}

fn answer(scripts: &mut Scripts, code: &str) -> Result<String, Error> {
    let script = scripts.add(code.as_bytes(), Origin::Eval, false)?;
    let mut last = Last::default();
    scripts.call(&script, [].into_iter(), [].into_iter(), &mut Fine, &mut last)?;
    Ok(last.0)
}

#[test]
fn scripts_that_come_are_refused_at_every_request() {
    let mut scripts = Scripts::new(Dialect::default()).unwrap();
    scripts.set_memory_limit(LIMIT);
    assert_eq!(answer(&mut scripts, "collectgarbage() return 'first'"), Ok("first".to_owned()));
    let code = "#!lua flags=no-writes\nlocal t = {1, {2}, 'three'} return 'second' .. #t";
    let bytes = scripts.vm_memory();
    for number in 0.. {
        let (result, came) = refusing(number, || answer(&mut scripts, code));
        assert_eq!(answer(&mut scripts, "collectgarbage() return 'first'"), Ok("first".to_owned()));
        if let Err(error) = result {
            assert!(came && is_refusal(&error, Callable::Script), "request {number}: {error}");
            let digest = crate::registry::Digest::of(code.as_bytes());
            // It may have come, and its call been refused.
            scripts.remove(digest.as_bytes());
            assert_eq!(scripts.registry().count(), 1);
            answer(&mut scripts, "collectgarbage() return 'first'").unwrap();
            let after = scripts.vm_memory();
            assert!(after <= bytes + SLACK, "request {number}: {bytes} to {after} bytes");
            continue;
        }
        assert_eq!(result, Ok("second3".to_owned()));
        if !came {
            assert!(number > 10, "{number}");
            return println!("{number} requests were refused");
        }
    }
}
