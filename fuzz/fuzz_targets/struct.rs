//! `struct`: what is unpacked comes back when it is packed. The first byte picks the server; a format follows up to a
//! line's end, then the data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadow_functions_fuzz::{Oracle, memory};

thread_local! {
    static ORACLE: Oracle = Oracle::new(include_str!("../oracles/struct.lua"));
}

fuzz_target!(init: memory::count(), |data: &[u8]| {
    if let [server, rest @ ..] = data {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let data = rest.get(end + 1..).unwrap_or_default();
        ORACLE.with(|oracle| oracle.check(*server, &[&rest[..end], data]));
    }
});
