//! What the engine asks of the server that it runs in.

use std::ffi::CStr;

use bitflags::bitflags;

use super::stack::Stack;

bitflags! {
    /// Where the effects of a command go (`redis.set_repl`); the bits are the API's own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Replication: u8 {
        const AOF = 1;
        const REPLICAS = 2;
    }
}

/// How a command of a script runs.
#[derive(Clone, Copy, Debug)]
pub struct CallMode {
    /// The reply comes in RESP3 rather than RESP2.
    pub resp3: bool,
    /// Where its effects go.
    pub replication: Replication,
}

impl CallMode {
    /// Whether it is the mode that a call begins with.
    pub const fn is_plain(self) -> bool {
        !self.resp3 && self.replication.is_all()
    }
}

/// What runs a command. The host asks it only when there is something to say about the command.
#[derive(Clone, Copy)]
pub struct Caller<'a>(pub(super) &'a Stack);

impl Caller<'_> {
    /// The line of the source that runs the command; None if the VM does not know it.
    pub fn line(self) -> Option<u32> {
        // Level 0 is the native that runs it, level 1 what has called that: a function of a script, or `pcall`.
        let (_, line) = self.0.place(1).or_else(|| self.0.place(2))?;
        u32::try_from(line).ok()
    }
}

/// Severity of a log line, numbered as `redis.LOG_DEBUG` to `redis.LOG_WARNING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// What the server says of a user who wants to run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Granted,
    Denied,
    /// There is no such command.
    Unknown,
    /// The command takes another number of words. Not every server checks that.
    WrongArity,
}

/// The host's verdict on a call that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It goes on, and the host is asked again later.
    GoOn,
    /// It goes on, and the host is not asked again until the alarm is rung anew.
    Silence,
    /// It ends with this error.
    Kill(&'static str),
}

/// A frame of the running code, as a profile shows it. Its texts are the VM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A function that is written in Lua.
    Lua {
        /// Its name in the source, if it has one there.
        name: Option<&'a [u8]>,
        /// What the code is called that it comes from; None for the library or the script itself.
        chunk: Option<&'a [u8]>,
        /// The line of the instruction that it is at.
        line: u32,
    },
    /// A function that is not, by its name.
    Native(&'a [u8]),
    /// A command, run by the function of the API of this name.
    Command { by: &'a [u8], name: &'a [u8] },
    /// What is called from here on runs in a coroutine.
    Coroutine,
    /// Here are more frames than a profile takes.
    Cut,
}

/// The server, as one call of a function or one load of a library sees it. What an implementation leaves out is as it
/// is without a server: commands fail, log lines are lost, and nothing is ended. A load runs no commands, so its host
/// may leave out all but the log.
///
/// A host never raises into the VM: what goes wrong comes back as a reply.
pub trait Host {
    /// Runs the command `name`, which is also the first of `arguments`, and returns its raw reply in RESP. Refusals
    /// (unknown command, wrong arity, not allowed in scripts, no permission, ...) are error replies with the texts that
    /// scripts know. The bytes stay valid until the next call.
    fn call(&mut self, _name: &CStr, _arguments: &[&[u8]], _mode: CallMode, _caller: Caller) -> &[u8] {
        b"-ERR there is no server\r\n"
    }

    /// Whether the calling user may run the command `arguments`.
    fn permits(&mut self, _arguments: &[&[u8]]) -> Permission {
        Permission::Unknown
    }

    /// Asked now and then while a call is overdue.
    fn tick(&mut self) -> Tick {
        Tick::Silence
    }

    /// How many samples of the running code a profile wants now. They are due once: the same number is not given again.
    fn samples_due(&mut self) -> u32 {
        0
    }

    /// Takes the code that is running, the innermost frame first, as that many samples.
    fn sample(&mut self, _frames: &[Frame], _samples: u32) {}

    /// Writes a line to the server's log.
    fn log(&mut self, _level: LogLevel, _message: &[u8]) {}
}

/// The host where there is no server.
#[derive(Clone, Copy, Debug)]
pub struct NoServer;

impl Host for NoServer {}
