//! The two registries of one server, under one set of names.

use crate::support::{Client, Value, wait_until};

/// Commands in one write while loading: few enough that the server's buffers stay small.
const BATCH: usize = 500;

/// Whose commands are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server's own.
    Stock,
    /// The module's.
    Shadow,
}

/// How a flush frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Async,
    Sync,
}

impl Mode {
    /// The word after FLUSH.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Async => "ASYNC",
            Self::Sync => "SYNC",
        }
    }
}

/// What is loaded and flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Libraries,
    Scripts,
}

impl Kind {
    /// In texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Libraries => "libraries",
            Self::Scripts => "scripts",
        }
    }

    /// The source of this number: some 90 bytes.
    pub fn source(self, number: usize) -> String {
        match self {
            Self::Libraries => library(number),
            Self::Scripts => format!(
                "-- script_{number}: gives the text at a key, or a word for none\n\
                 return redis.call('GET', KEYS[1]) or 'none'"
            ),
        }
    }
}

impl Side {
    /// Both, in the order in which they are measured.
    pub const BOTH: [Self; 2] = [Self::Stock, Self::Shadow];

    /// The command that calls a function.
    pub const fn fcall(self) -> &'static str {
        match self {
            Self::Stock => "FCALL",
            Self::Shadow => "SHADOW.FCALL",
        }
    }

    /// The command that manages libraries.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Stock => "FUNCTION",
            Self::Shadow => "SHADOW.FUNCTION",
        }
    }

    /// The command that manages scripts.
    pub const fn script(self) -> &'static str {
        match self {
            Self::Stock => "SCRIPT",
            Self::Shadow => "SHADOW.SCRIPT",
        }
    }

    /// The command that runs a script by its text, or by its digest.
    pub const fn eval(self, by_digest: bool) -> &'static str {
        match (self, by_digest) {
            (Self::Stock, false) => "EVAL",
            (Self::Stock, true) => "EVALSHA",
            (Self::Shadow, false) => "SHADOW.EVAL",
            (Self::Shadow, true) => "SHADOW.EVALSHA",
        }
    }

    /// The command that manages libraries or scripts.
    pub const fn manager(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Libraries => self.function(),
            Kind::Scripts => self.script(),
        }
    }

    /// The name of one of its subcommands for libraries in `INFO commandstats`.
    pub fn statistic(self, subcommand: &str) -> String {
        self.statistic_of(Kind::Libraries, subcommand)
    }

    /// The same for libraries or scripts.
    pub fn statistic_of(self, kind: Kind, subcommand: &str) -> String {
        format!("{}|{subcommand}", self.manager(kind).to_ascii_lowercase())
    }

    /// Loads one library.
    pub fn load(self, client: &mut Client, code: &str) {
        accepted(&client.call(&[self.function(), "LOAD", "REPLACE", code]));
    }

    /// Loads `count` libraries of one small function each.
    pub fn fill(self, client: &mut Client, count: usize) {
        self.fill_with(Kind::Libraries, client, count);
    }

    /// Loads `count` of a kind.
    pub fn fill_with(self, kind: Kind, client: &mut Client, count: usize) {
        for start in (0..count).step_by(BATCH) {
            let commands: Vec<_> = (start..count.min(start + BATCH))
                .map(|number| vec![self.manager(kind).to_owned(), "LOAD".to_owned(), kind.source(number)])
                .collect();
            client.pipeline(&commands).iter().for_each(accepted);
        }
    }

    /// Deletes all libraries.
    pub fn flush(self, client: &mut Client, mode: Mode) {
        accepted(&client.call(&[self.function(), "FLUSH", mode.word()]));
    }
}

/// Waits until all registries have freed everything that was flushed, and the module has its spare VMs ready.
///
/// Before that, nothing may be loaded into the server's own registry: the thread that frees its libraries may share the
/// VM with the next LOAD.
pub fn settle(client: &mut Client) {
    wait_until("the registries have freed what was flushed", || {
        ["lazyfree_pending_objects", "shadow_pending_libraries", "shadow_scripts_pending"]
            .iter()
            .all(|pending| client.info_number(pending) == 0)
            && ["shadow_spare_ready", "shadow_scripts_spare_ready"].iter().all(|ready| client.info_number(ready) == 1)
    });
}

/// Microseconds in the server for each call of a command since the statistics were reset.
pub fn per_call(client: &mut Client, command: &str, calls: usize) -> f64 {
    assert_eq!(client.command_stat(command, "calls"), calls as f64, "{command}: calls in INFO commandstats");
    client.command_stat(command, "usec") / calls as f64
}

/// The name of the library of this number.
pub fn library_name(number: usize) -> String {
    format!("library_{number}")
}

/// The source of the library of this number: some 90 bytes.
fn library(number: usize) -> String {
    let name = library_name(number);
    format!("#!lua name={name}\nredis.register_function('function_{number}', function(keys, args) return 1 end)")
}

/// Panics at an error reply: nothing after it would be worth measuring.
fn accepted(reply: &Value) {
    assert!(!reply.is_error(), "the server refuses: {}", reply.text());
}
