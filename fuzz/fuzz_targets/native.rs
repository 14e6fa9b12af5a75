//! Machine code: a library does the same in a VM that compiles its functions as in one that interprets them.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shadow_functions_fuzz::{ENDED, Round, Vm, memory, redis_7_0, redis_8_2, source, valkey_9_1};

/// What two VMs never agree on: how much memory they hold.
const THEIR_OWN: [&str; 2] = ["gcinfo", "collectgarbage"];

/// How often a function is called: what it leaves behind is there for the next call.
const CALLS: usize = 2;

fuzz_target!(
    init: {
        memory::count();
        // What is kept for the whole life of the process is there after the first call.
        let warm = "#!lua name=warm\nredis.register_function('f', function() return redis.call('x') end)";
        outcomes(Vm::new(redis_7_0()), warm);
        let mut vm = Vm::compiling(redis_7_0());
        vm.load(warm.as_bytes(), false).expect("it is a library");
        vm.call("f", &[], &[]);
        assert!(vm.compiled() > 0, "nothing is compiled here");
    },
    |data: &[u8]| {
        let _round = Round::begin();
        let u = &mut Unstructured::new(data);
        let Ok(dialect) = u.choose(&[redis_7_0, redis_8_2, valkey_9_1]).copied() else { return };
        // A text that begins with `#!` is a library as it stands.
        let code = match std::str::from_utf8(data) {
            Ok(text) if text.starts_with("#!") => text.to_owned(),
            _ => match source::library(u) {
                Ok(code) => code,
                Err(_) => return,
            },
        };
        if THEIR_OWN.iter().any(|name| code.contains(name)) {
            return;
        }
        let interpreted = outcomes(Vm::new(dialect()), &code);
        let compiled = outcomes(Vm::compiling(dialect()), &code);
        if interpreted == compiled || [&interpreted, &compiled].iter().any(|outcomes| were_ended(outcomes)) {
            return;
        }
        // The order of a table depends on addresses, if its keys have some.
        let settled = (0..8).all(|_| outcomes(Vm::new(dialect()), &code) == interpreted);
        assert!(!settled, "{code}\ninterpreted: {interpreted:?}\ncompiled: {compiled:?}");
    }
);

/// What loading the library and calling its functions gives, as text without addresses.
fn outcomes(mut vm: Vm, code: &str) -> Vec<String> {
    let mut outcomes = Vec::new();
    if let Err(text) = vm.load(code.as_bytes(), false) {
        outcomes.push(text);
    }
    for function in vm.functions() {
        for _ in 0..CALLS {
            let outcome = vm.call(&function, &[b"key"], &[b"argument", b"2"]);
            let text = match outcome {
                Some(Ok(reply)) => String::from_utf8_lossy(&reply).into_owned(),
                Some(Err(text)) => text,
                None => String::new(),
            };
            outcomes.push(without_addresses(&text));
        }
    }
    outcomes
}

/// Whether one of them was not let run to its own end. That takes longer in the one VM than in the other.
fn were_ended(outcomes: &[String]) -> bool {
    outcomes.iter().any(|text| ENDED.iter().any(|end| text.contains(end)))
}

fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "0x" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}
