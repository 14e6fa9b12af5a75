//! What the engine asks of the server that it runs in.

use std::ffi::CStr;

use bitflags::bitflags;

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
    /// It takes another number of words. Not every server looks at that.
    WrongArity,
}

/// What becomes of a call that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It goes on, and the host is asked again.
    GoOn,
    /// It goes on, and the host is not asked again until the alarm is rung anew.
    Silence,
    /// It ends with this error.
    Kill(&'static str),
}

/// The server, as one call of a function or one load of a library sees it.
///
/// A host never raises into the VM: what goes wrong comes back as a reply.
pub trait Host {
    /// Runs the command `name`, which is also the first of `arguments`, and returns its raw reply in RESP. Refusals
    /// (unknown command, wrong arity, not allowed in scripts, no permission, ...) are error replies with the texts that
    /// scripts know. The bytes stay valid until the next call.
    fn call(&mut self, name: &CStr, arguments: &[&[u8]], mode: CallMode) -> &[u8];

    /// Whether the calling user may run the command `arguments`.
    fn permits(&mut self, arguments: &[&[u8]]) -> Permission;

    /// Asked now and then while a call is overdue.
    fn tick(&mut self) -> Tick;

    /// Writes a line to the server's log.
    fn log(&mut self, level: LogLevel, message: &[u8]);
}

/// What differs between versions of the server and shows in scripts.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// `redis.REDIS_VERSION`.
    pub version: String,
    /// `redis.REDIS_VERSION_NUM`: major << 16 | minor << 8 | patch.
    pub version_number: u32,
    /// Whether the server is a Valkey, which calls itself a Redis 7.2 and has some of what came later.
    pub valkey: bool,
}

impl Dialect {
    const fn at_least(&self, major: u32, minor: u32) -> bool {
        self.version_number >= (major << 16 | minor << 8)
    }

    /// Whether this is 7.0, which differs in a few texts from all later servers.
    pub const fn is_7_0(&self) -> bool {
        !self.at_least(7, 2)
    }

    /// 7.0 prints numbers with 17 digits; later servers by shortest round trip, integers first.
    pub const fn shortest_numbers(&self) -> bool {
        !self.is_7_0()
    }

    /// 7.0 says that `redis.set_repl` takes two arguments.
    pub const fn set_repl_arity(&self) -> &'static str {
        if !self.is_7_0() {
            "redis.set_repl() requires one argument."
        } else {
            "redis.set_repl() requires two arguments."
        }
    }

    /// Redis before 7.4 says otherwise what is wrong with a log level.
    pub const fn bad_log_level(&self) -> &'static str {
        if self.at_least(7, 4) || self.valkey { "Invalid log level." } else { "Invalid debug level." }
    }

    /// Whether a refusal of keys in a cluster says what is wrong with them.
    pub const fn details_cluster_refusals(&self) -> bool {
        self.at_least(7, 4) && !self.valkey
    }

    /// Whether `cjson` marks the arrays that it decodes, and writes marked tables as arrays.
    pub const fn marks_json_arrays(&self) -> bool {
        self.at_least(8, 4)
    }

    /// Whether RESTORE takes payloads without a checksum.
    pub const fn takes_unsealed_payloads(&self) -> bool {
        self.at_least(8, 4)
    }

    /// Whether scripts see `os.clock`.
    pub const fn has_os_clock(&self) -> bool {
        self.at_least(7, 4) || self.valkey
    }
}
