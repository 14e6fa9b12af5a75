//! A server that is made up: it answers every command with a reply that depends on the command alone.

use std::ffi::CStr;

use shadow::engine::{CallMode, Caller, Host, Permission, Tick};

/// The text that ends a call.
pub const KILLED: &str = "ERR Script killed by user with FUNCTION KILL.";

const REPLIES: [&[u8]; 10] = [
    b"+OK\r\n",
    b"-ERR no such key\r\n",
    b"-WRONGTYPE\r\n",
    b":-9223372036854775808\r\n",
    b"$-1\r\n",
    b"$6\r\nva\r\n\0e\r\n",
    b"*3\r\n:1\r\n*-1\r\n*2\r\n$0\r\n\r\n-ERR inside\r\n",
    b"*0\r\n",
    b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+deep\r\n",
    b"$20\r\n[1,{\"a\":null},\"\\u00\"]\r\n",
];

const REPLIES_OF_RESP3: [&[u8]; 8] = [
    b"_\r\n",
    b"#t\r\n",
    b",-inf\r\n",
    b"(123456789012345678901234567890\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"%2\r\n+a\r\n:1\r\n*1\r\n#f\r\n%0\r\n",
    b"~2\r\n+a\r\n,1.5\r\n",
    b"%1\r\n$1\r\nk\r\n~1\r\n%1\r\n:1\r\n_\r\n",
];

/// Ends every call that it is asked about: only those that take long are.
#[derive(Default)]
pub struct Scripted;

impl Host for Scripted {
    fn call(&mut self, _: &CStr, arguments: &[&[u8]], mode: CallMode, _: Caller) -> &[u8] {
        let all: &[&[&[u8]]] = if mode.resp3 { &[&REPLIES, &REPLIES_OF_RESP3] } else { &[&REPLIES] };
        let replies = || all.iter().copied().flatten();
        let sum = arguments.iter().copied().flatten().fold(0usize, |sum, byte| sum * 31 % 9973 + usize::from(*byte));
        replies().nth(sum % replies().count()).expect("there are as many")
    }

    fn permits(&mut self, arguments: &[&[u8]]) -> Permission {
        match arguments.first().and_then(|name| name.first()).map(|first| first % 4) {
            Some(1) => Permission::Granted,
            Some(2) => Permission::Denied,
            Some(3) => Permission::WrongArity,
            _ => Permission::Unknown,
        }
    }

    fn tick(&mut self) -> Tick {
        Tick::Kill(KILLED)
    }
}
