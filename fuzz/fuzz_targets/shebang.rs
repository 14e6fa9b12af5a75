//! The first line of a library: what is accepted names a library, and says the same when it is written plainly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadow::registry::name::is_valid_name;
use shadow::registry::shebang::{Quoting, parse};

fuzz_target!(|input: &[u8]| {
    let Some((choice, code)) = input.split_first() else { return };
    let quoting = if choice % 2 == 0 { Quoting::Ends } else { Quoting::Parts };
    match parse(code, quoting) {
        Ok(header) => {
            assert!(is_valid_name(header.name.as_bytes()));
            assert_eq!(code[header.body], b'\n');
            assert!(!code[..header.body].contains(&b'\n'));
            if header.check_engine().is_ok() {
                let plain = [b"#!lua name=", header.name.as_bytes(), &code[header.body..]].concat();
                let again = parse(&plain, quoting).expect("the same, written plainly");
                assert_eq!(again.name, header.name);
                assert_eq!(plain[again.body..], code[header.body..]);
            }
        }
        Err(error) => assert!(error.to_string().starts_with("ERR ")),
    }
});
