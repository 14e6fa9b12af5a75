//! Targets that are libraries: their function `check` looks at what it is given and says what is wrong with it.

use std::cell::RefCell;

use crate::vm::ENDED;
use crate::{Vm, redis_7_0, redis_8_2, valkey_9_1};

/// A VM of each server with a library in it.
pub struct Oracle(RefCell<[Vm; 3]>);

impl Oracle {
    pub fn new(source: &str) -> Self {
        Self(RefCell::new([redis_7_0(), redis_8_2(), valkey_9_1()].map(|dialect| {
            let mut vm = Vm::new(dialect);
            vm.load(source.as_bytes(), false).expect("the library is right");
            vm
        })))
    }

    /// Asks the library in one of the VMs.
    ///
    /// # Panics
    /// When it finds something wrong.
    pub fn check(&self, server: u8, arguments: &[&[u8]]) {
        let vm = &mut self.0.borrow_mut()[usize::from(server % 3)];
        match vm.call("check", &[], arguments).expect("the library is loaded") {
            Ok(reply) => {
                let fine = [&b"$ok\n"[..], b"$refused\n", b"$not encoded\n", b"$not packed\n"];
                assert!(fine.contains(&&reply[..]), "it {}", String::from_utf8_lossy(&reply[1..]));
            }
            Err(text) => assert!(ENDED.iter().any(|end| text.contains(end)), "{text}"),
        }
    }
}
