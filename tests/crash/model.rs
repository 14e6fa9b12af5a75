//! What is loaded, as it should be.

use std::collections::{BTreeMap, BTreeSet};

use shadow::registry::Digest;

use crate::support::{Client, Value};

/// Scripts that take part. Fewer than any server evicts.
pub const SCRIPTS: u32 = 40;

/// The libraries by their numbers, and the edition of each: library 3 in edition 8 has a function `f3` that returns 8.
/// The scripts by their numbers: script 3 returns 3.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    libraries: BTreeMap<u32, u32>,
    scripts: BTreeSet<u32>,
}

/// A change, and the words that ask for it.
#[derive(Clone, Debug)]
pub enum Change {
    Load {
        library: u32,
        edition: u32,
        replace: bool,
    },
    Delete {
        library: u32,
    },
    Restore {
        payload: Vec<u8>,
        contents: Contents,
        policy: &'static str,
    },
    Flush {
        word: Option<&'static str>,
    },
    /// By LOAD, EVAL or EVAL_RO.
    Script {
        number: u32,
        command: &'static str,
    },
    FlushScripts {
        word: Option<&'static str>,
    },
}

impl Change {
    /// The command.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let container = match self {
            Self::Script { command, .. } => command,
            Self::FlushScripts { .. } => "SHADOW.SCRIPT",
            _ => "SHADOW.FUNCTION",
        };
        let mut words: Vec<Vec<u8>> = vec![container.as_bytes().to_vec()];
        match self {
            Self::Load { library, edition, replace } => {
                words.push(b"LOAD".to_vec());
                words.extend(replace.then(|| b"REPLACE".to_vec()));
                words.push(code(*library, *edition).into_bytes());
            }
            Self::Delete { library } => words.extend([b"DELETE".to_vec(), format!("lib{library}").into_bytes()]),
            Self::Restore { payload, policy, .. } => {
                words.extend([b"RESTORE".to_vec(), payload.clone(), policy.as_bytes().to_vec()]);
            }
            Self::Script { number, command } => {
                let code = script(*number).into_bytes();
                words.extend(if *command == LOAD { [b"LOAD".to_vec(), code] } else { [code, b"0".to_vec()] });
            }
            Self::Flush { word } | Self::FlushScripts { word } => {
                words.push(b"FLUSH".to_vec());
                words.extend(word.map(|word| word.as_bytes().to_vec()));
            }
        }
        words
    }
}

/// What brings scripts.
pub const LOAD: &str = "SHADOW.SCRIPT";
pub const BRINGING: [&str; 3] = [LOAD, "SHADOW.EVAL", "SHADOW.EVAL_RO"];

/// The script of this number.
fn script(number: u32) -> String {
    format!("return {number} {}", "-- what it is about\n".repeat((number % 5 * 40) as usize))
}

/// The source of a library in one of its editions.
fn code(library: u32, edition: u32) -> String {
    // Of several sizes, so that it is written in one piece and in several, compressed and not.
    let comment = "-- what it is about\n".repeat((edition % 5 * 40) as usize);
    format!("#!lua name=lib{library}\n{comment}redis.register_function('f{library}', function() return {edition} end)")
}

impl Contents {
    /// Makes the change; whether it can be made.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Load { library, edition, replace } => {
                let free = *replace || !self.libraries.contains_key(library);
                if free {
                    self.libraries.insert(*library, *edition);
                }
                free
            }
            Change::Delete { library } => self.libraries.remove(library).is_some(),
            Change::Restore { contents, policy, .. } => {
                let free = *policy != "APPEND"
                    || !contents.libraries.keys().any(|library| self.libraries.contains_key(library));
                if *policy == "FLUSH" {
                    self.libraries.clear();
                }
                if free {
                    self.libraries.extend(&contents.libraries);
                }
                free
            }
            Change::Flush { .. } => {
                self.libraries.clear();
                true
            }
            Change::Script { number, .. } => {
                self.scripts.insert(*number);
                true
            }
            Change::FlushScripts { .. } => {
                self.scripts.clear();
                true
            }
        }
    }

    /// What a server has. Every source must be right to the letter, and every function and script must run.
    pub fn of(client: &mut Client) -> Self {
        let list = client.run("SHADOW.FUNCTION LIST WITHCODE");
        assert!(!list.is_error(), "{list:?}");
        let mut found = Self::default();
        for entry in list.items() {
            let name = entry.field("library_name").expect("a name").text();
            let library: u32 = name["lib".len()..].parse().expect("a name of ours");
            let Value::Integer(edition) = client.run(&format!("SHADOW.FCALL f{library} 0")) else {
                panic!("the function of {name} does not run")
            };
            assert_eq!(entry.field("library_code").expect("asked for").text(), code(library, edition as u32));
            found.libraries.insert(library, edition as u32);
        }
        for number in 0..SCRIPTS {
            let digest = Digest::of(script(number).as_bytes()).to_string();
            match client.call(&["SHADOW.EVALSHA", &digest, "0"]) {
                Value::Integer(answer) if answer == i64::from(number) => drop(found.scripts.insert(number)),
                reply => assert!(reply.text().starts_with("NOSCRIPT "), "{reply:?}"),
            }
        }
        found
    }
}
