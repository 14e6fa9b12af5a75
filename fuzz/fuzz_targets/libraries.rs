//! Libraries: a text that begins with `#!` is loaded, and all its functions are called. Of other bytes a sequence of
//! commands is made, with libraries that use all that libraries see; some are built on another thread, as deploys are.
//! Whatever they do, a refused change changes nothing, what is dumped can be restored, and a flush gives all memory
//! back.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use shadow_functions_fuzz::{Round, Vm, memory, redis_7_0, redis_8_2, source, valkey_9_1};

/// Commands in a sequence.
const LONGEST: usize = 12;

fuzz_target!(
    init: {
        memory::count();
        // What is kept for the whole life of the process is there after the first call.
        warm_up();
    },
    |data: &[u8]| {
        let _round = Round::begin();
        if data.starts_with(b"#!") {
            text(data);
        } else {
            // Bytes that run out end the sequence.
            let _ = commands(&mut Unstructured::new(data));
        }
    }
);

fn warm_up() {
    text(b"#!lua name=warm\nredis.register_function('f', function() return redis.call('x') end)");
    text(b"#!lua name=warm\nerror('x')");
}

fn text(code: &[u8]) {
    let mut vm = Vm::new(redis_7_0());
    if vm.load(code, false).is_ok() {
        call_all(&mut vm);
        let _ = vm.load(code, true);
        call_all(&mut vm);
        vm.check_dump();
    }
}

fn call_all(vm: &mut Vm) {
    for function in vm.functions() {
        let _ = vm.call(&function, &[b"key"], &[b"argument", b"2"]);
    }
}

fn commands(u: &mut Unstructured<'_>) -> Result<()> {
    let dialects = [redis_7_0, redis_8_2, valkey_9_1];
    let mut vm = Vm::new(u.choose(&dialects)?());
    let mut payloads = vec![vm.dump(true)];
    for _ in 0..LONGEST {
        if u.is_empty() {
            break;
        }
        command(u, &mut vm, &mut payloads)?;
    }
    call_all(&mut vm);
    vm.check_dump();
    call_all(&mut vm);
    Ok(())
}

fn command(u: &mut Unstructured<'_>, vm: &mut Vm, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
    match u.int_in_range(0..=16u8)? {
        0..=5 => {
            let code = source::library(u)?;
            let _ = vm.load(code.as_bytes(), u.arbitrary()?);
        }
        6..=10 => {
            let function = format!("f{}", u.int_in_range(0..=7u8)?);
            let argument: &[u8] = u.arbitrary()?;
            let _ = vm.call(&function, &[b"key"], &[argument, b"7"]);
        }
        11 => payloads.push(vm.dump(u.arbitrary()?)),
        12 => {
            let payload = u.choose(payloads)?.clone();
            let _ = vm.restore(&payload, u.arbitrary()?);
        }
        13 => {
            let name = format!("lib{}", u.int_in_range(0..=3u8)?);
            let _ = vm.delete(name.as_bytes());
        }
        14 => vm.flush(),
        15 => {
            let codes = (0..u.int_in_range(1..=3u8)?).map(|_| source::library(u)).collect::<Result<Vec<_>>>()?;
            let _ = vm.deploy(&codes);
        }
        _ => {
            let code = [b"#!lua name=raw\nlocal i, s, t = 1, '', {}\n", u.arbitrary::<&[u8]>()?].concat();
            let _ = vm.load(&code, true);
        }
    }
    Ok(())
}
