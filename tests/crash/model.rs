//! What is loaded, as it should be.

use std::collections::BTreeMap;

use crate::support::{Client, Value};

/// The libraries by their numbers, and the edition of each: library 3 in edition 8 has a function `f3` that returns 8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Libraries(BTreeMap<u32, u32>);

/// A change, and the words that ask for it.
#[derive(Clone, Debug)]
pub enum Change {
    Load { library: u32, edition: u32, replace: bool },
    Delete { library: u32 },
    Restore { payload: Vec<u8>, contents: Libraries, policy: &'static str },
    Flush { word: Option<&'static str> },
}

impl Change {
    /// The command.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = vec![b"SHADOW.FUNCTION".to_vec()];
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
            Self::Flush { word } => {
                words.push(b"FLUSH".to_vec());
                words.extend(word.map(|word| word.as_bytes().to_vec()));
            }
        }
        words
    }
}

/// The source of a library in one of its editions.
fn code(library: u32, edition: u32) -> String {
    // Of several sizes, so that it is written in one piece and in several, compressed and not.
    let comment = "-- what it is about\n".repeat((edition % 5 * 40) as usize);
    format!("#!lua name=lib{library}\n{comment}redis.register_function('f{library}', function() return {edition} end)")
}

impl Libraries {
    /// Makes the change; whether it can be made.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Load { library, edition, replace } => {
                let free = *replace || !self.0.contains_key(library);
                if free {
                    self.0.insert(*library, *edition);
                }
                free
            }
            Change::Delete { library } => self.0.remove(library).is_some(),
            Change::Restore { contents, policy, .. } => {
                let free = *policy != "APPEND" || !contents.0.keys().any(|library| self.0.contains_key(library));
                if *policy == "FLUSH" {
                    self.0.clear();
                }
                if free {
                    self.0.extend(&contents.0);
                }
                free
            }
            Change::Flush { .. } => {
                self.0.clear();
                true
            }
        }
    }

    /// What a server has. Every source must be right to the letter, and every function must run.
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
            found.0.insert(library, edition as u32);
        }
        found
    }
}
