//! Inner commands: by `VM_CallArgv` where that is known to do the same as `RM_Call`, and by that elsewhere.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr;

use redis_module::raw;

use super::call_argv::CallArgv;
use super::kept_words::{HeldWord, KeptWords};
use super::{Context, Flags, InnerReply, ServerString, Word, c_text, call};

/// Which function of the server runs inner commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPath {
    RmCall,
    CallArgv,
}

impl CallPath {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RmCall => "rm-call",
            Self::CallArgv => "call-argv",
        }
    }
}

/// The most words that are passed without an allocation.
const FEW: usize = 8;

/// The most bytes that a buffer may have to be kept.
const KEPT_BUFFER: usize = 1 << 16;

/// An inner command.
pub struct InnerCommand<'a, 'b> {
    pub context: &'a Context<'b>,
    pub name: &'a CStr,
    /// The words after the name.
    pub words: &'a [&'a [u8]],
    /// A string of the server with the bytes of the first word. It is passed as it is, so the command must be one that
    /// does not store its first word.
    pub first: Option<Word<'a>>,
    /// E is among them.
    pub flags: Flags,
    /// Where the reply goes.
    pub reply: &'a mut InnerReply,
}

/// A word as the server takes it.
type Argument = *mut raw::RedisModuleString;

/// What runs inner commands.
pub struct InnerCalls {
    /// The faster function, where it can be relied upon.
    found: Option<CallArgv>,
    /// The same, while it is wanted.
    used: Cell<Option<CallArgv>>,
    words: KeptWords,
    /// The buffer of a reply that nobody needs any more.
    spare: Cell<Vec<u8>>,
}

impl InnerCalls {
    /// Those of a server that is a Valkey of this version, if it is one. Both functions are compared here, and a
    /// difference is a line in the log.
    pub fn new(context: &Context, valkey: Option<u32>) -> Self {
        let found = valkey.and_then(CallArgv::find).filter(|&function| do_the_same(context, function));
        Self { found, used: Cell::new(found), words: KeptWords::default(), spare: Cell::default() }
    }

    /// Whether the faster function is wanted, if there is one.
    pub fn prefer_call_argv(&self, wanted: bool) {
        self.used.set(self.found.filter(|_| wanted));
    }

    /// The function that is used.
    pub fn path(&self) -> CallPath {
        if self.used.get().is_some() { CallPath::CallArgv } else { CallPath::RmCall }
    }

    /// Runs an inner command and leaves its reply. Returns the errno that the call left, which tells why the server
    /// itself refused the command.
    #[inline]
    pub fn run(&self, command: InnerCommand) -> c_int {
        let Some(function) = self.used.get() else {
            let InnerCommand { context, name, words, first, flags, reply } = command;
            let (server, errno) = call(context, name, words, first, flags);
            reply.take(server);
            return errno;
        };
        match command.words.len() + 1 {
            count @ ..=FEW => {
                let (mut held, mut argv) = ([HeldWord::NONE; FEW], [ptr::null_mut(); FEW]);
                self.run_by(function, command, &mut held[..count], &mut argv[..count])
            }
            count => {
                let (mut held, mut argv) = (vec![HeldWord::NONE; count], vec![ptr::null_mut(); count]);
                self.run_by(function, command, &mut held, &mut argv)
            }
        }
    }

    /// Keeps the buffer of a reply for another one.
    #[inline]
    pub fn recycle(&self, reply: &mut InnerReply) {
        let buffer = reply.take_buffer();
        if (1..=KEPT_BUFFER).contains(&buffer.capacity()) {
            self.spare.set(buffer);
        }
    }

    /// Runs a command by `function`. There is room in `held` and `argv` for all its words.
    #[inline(always)]
    fn run_by(&self, function: CallArgv, command: InnerCommand, held: &mut [HeldWord], argv: &mut [Argument]) -> c_int {
        let InnerCommand { context, name, words, first, flags, reply } = command;
        held[0] = self.words.take(name.to_bytes());
        argv[0] = held[0].raw();
        for (index, word) in (1..).zip(words) {
            let word = match first {
                Some(first) if index == 1 => HeldWord::borrowed(first),
                _ => self.words.take(word),
            };
            held[index] = word;
            argv[index] = word.raw();
        }
        // SAFETY: the strings live until they are given back below; so does `first`, which is a word of the command
        // that is running.
        let errno = reply.fill(&self.spare, |bytes| unsafe { function.call(context, argv, flags.bits(), bytes) });
        for &word in &*held {
            // SAFETY: the words are from there, or borrowed.
            unsafe { self.words.give_back(word) };
        }
        errno
    }
}

/// A command, its name first, and its flags.
type Case = (&'static [&'static [u8]], &'static [u8]);

/// What both functions are compared by: commands that change nothing. They reply a string with bytes of all kinds, a
/// number as a string, an array and its form in RESP3, an error of a command, and errors of the server in place of a
/// command: of its arity, of a write, of a name that is none.
const CASES: [Case; 8] = [
    (&[b"ECHO", b"a\0\r\n\xff"], b"E"),
    (&[b"ECHO", b"12"], b"E!"),
    (&[b"CONFIG", b"GET", b"maxmemory"], b"E"),
    (&[b"CONFIG", b"GET", b"maxmemory"], b"E3"),
    (&[b"OBJECT", b"HELP", b"me"], b"E"),
    (&[b"ECHO"], b"E"),
    (&[b"SETRANGE", b"", b"0", b""], b"EW"),
    (&[b"", b"", b""], b"E"),
];

/// Whether both functions do the same. A difference is a line in the log.
fn do_the_same(context: &Context, function: CallArgv) -> bool {
    let by_rm_call = |(words, flags): Case| {
        let name = c_text(words[0]);
        let (reply, errno) = call(context, &name, &words[1..], None, Flags::new(flags));
        reply.map(|reply| (reply.wire().to_vec(), errno))
    };
    let by_call_argv = |(words, flags): Case| {
        let texts: Vec<ServerString> = words.iter().map(|word| ServerString::new(word)).collect();
        let mut argv: Vec<Argument> = texts.iter().map(ServerString::raw).collect();
        let mut reply = Vec::new();
        // SAFETY: the strings live until the end of this.
        let errno = unsafe { function.call(context, &mut argv, Flags::new(flags).bits(), &mut reply) };
        errno.map(|errno| (reply, errno))
    };
    let Some((words, _)) = first_difference(by_rm_call, by_call_argv) else { return true };
    let words = words.join(&b' ').escape_ascii().to_string();
    let line = format!("VM_CallArgv and RM_Call differ in '{words}': inner commands are run by RM_Call.");
    context.log(c"warning", line.as_bytes());
    false
}

/// The first of [`CASES`] in which two ways of running a command differ: in the reply, in the errno, or in that there
/// is no reply.
fn first_difference(
    one: impl Fn(Case) -> Option<(Vec<u8>, c_int)>,
    other: impl Fn(Case) -> Option<(Vec<u8>, c_int)>,
) -> Option<Case> {
    CASES.into_iter().find(|&case| {
        let expected = one(case);
        expected.is_none() || expected != other(case)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies with the words, and with 1 for the errno if there are flags beside E.
    fn echo((words, flags): Case) -> Option<(Vec<u8>, c_int)> {
        Some((words.concat(), c_int::from(flags.len() > 1)))
    }

    #[test]
    fn a_difference_in_any_case_is_found() {
        assert_eq!(first_difference(echo, echo), None);
        for wrong in CASES {
            let is_wrong = |case: Case| case == wrong;
            let wrong_reply = |case| {
                let (mut reply, errno) = echo(case)?;
                reply.extend_from_slice(if is_wrong(case) { b"x" } else { b"" });
                Some((reply, errno))
            };
            assert_eq!(first_difference(echo, wrong_reply), Some(wrong));
            let wrong_errno = |case| echo(case).map(|(reply, errno)| (reply, errno + c_int::from(is_wrong(case))));
            assert_eq!(first_difference(echo, wrong_errno), Some(wrong));
            let no_reply = |case| echo(case).filter(|_| !is_wrong(case));
            assert_eq!(first_difference(echo, no_reply), Some(wrong));
            assert_eq!(first_difference(no_reply, no_reply), Some(wrong));
        }
    }
}
