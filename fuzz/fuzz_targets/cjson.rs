//! `cjson`: what is decoded comes back when it is encoded. The first byte picks the server, the second sets options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadow_functions_fuzz::{Oracle, memory};

thread_local! {
    static ORACLE: Oracle = Oracle::new(include_str!("../oracles/cjson.lua"));
}

fuzz_target!(init: memory::count(), |data: &[u8]| {
    if let [server, options, text @ ..] = data {
        ORACLE.with(|oracle| oracle.check(*server, &[&[*options], text]));
    }
});
