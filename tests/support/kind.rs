//! Functions and scripts, for tests of what both have.

use super::library::{load, source};
use super::{Client, Value};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Function,
    Script,
}

/// Both.
pub const KINDS: [Kind; 2] = [Kind::Function, Kind::Script];

impl Kind {
    /// The container of its subcommands.
    pub fn container(self) -> &'static str {
        match self {
            Self::Function => "SHADOW.FUNCTION",
            Self::Script => "SHADOW.SCRIPT",
        }
    }

    /// What one is called in replies and in INFO.
    pub fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Script => "script",
        }
    }

    /// What the fields of its section of INFO begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Function => "shadow_",
            Self::Script => "shadow_scripts_",
        }
    }

    /// The answer to a name that there is not.
    pub fn unknown(self, words: &super::Words) -> &str {
        match self {
            Self::Function => "ERR Function not found",
            Self::Script => words.no_script,
        }
    }

    /// Makes `body` callable, which begins on line 2: as the function `name` of the library `<name>_lib`, or as a
    /// script. Returns what it is called by.
    pub fn prepare(self, client: &mut Client, name: &str, body: &str) -> String {
        match self {
            Self::Function => {
                let function = format!("redis.register_function('{name}', function(KEYS, ARGV) {body} end)");
                load(client, &source(&format!("{name}_lib"), &function));
                name.to_owned()
            }
            Self::Script => {
                let reply = client.call(&["SHADOW.SCRIPT", "LOAD", &format!("\n{body}")]);
                assert!(!reply.is_error(), "{reply:?} for {body}");
                reply.text()
            }
        }
    }

    /// The words of a call.
    pub fn words<A: AsRef<[u8]>>(self, callee: &str, keys: &[A], arguments: &[A]) -> Vec<Vec<u8>> {
        let command = match self {
            Self::Function => "SHADOW.FCALL",
            Self::Script => "SHADOW.EVALSHA",
        };
        let head = [command, callee, &keys.len().to_string()].map(|word| word.as_bytes().to_vec());
        head.into_iter().chain(keys.iter().chain(arguments).map(|word| word.as_ref().to_vec())).collect()
    }

    /// Calls what [`prepare`](Self::prepare) has made.
    pub fn call<A: AsRef<[u8]>>(self, client: &mut Client, callee: &str, keys: &[A], arguments: &[A]) -> Value {
        client.call(&self.words(callee, keys, arguments))
    }

    /// Runs a subcommand.
    pub fn run(self, client: &mut Client, line: &str) -> Value {
        client.run(&format!("{} {line}", self.container()))
    }

    /// A field of the section of INFO.
    pub fn info_number(self, client: &mut Client, field: &str) -> i64 {
        client.info_number(&format!("{}{field}", self.prefix()))
    }
}
