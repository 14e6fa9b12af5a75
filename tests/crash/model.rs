//! What is loaded, as it should be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shadow::registry::Digest;

use crate::support::{Client, Value};

/// Scripts that take part. Fewer than any server evicts.
pub const SCRIPTS: u32 = 40;

/// Generations that deploys replace and that are kept at most.
pub const KEPT: usize = 2;

/// The libraries by their numbers, and the edition of each: library 3 in edition 8 has a function `f3` that returns 8.
pub type Libraries = BTreeMap<u32, u32>;

/// Libraries, and what their version is called.
#[derive(Clone, Debug, Default, PartialEq)]
struct Generation {
    libraries: Libraries,
    version: Option<String>,
}

/// What is added to a version that was changed after its deploy.
const CHANGED: &str = "+changes";

impl Generation {
    fn note_change(&mut self) {
        if self.libraries.is_empty() {
            self.version = None;
        }
        if let Some(version) = self.version.as_mut().filter(|version| !version.ends_with(CHANGED)) {
            version.push_str(CHANGED);
        }
    }
}

/// What is loaded, what could come back, and the scripts by their numbers: script 3 returns 3.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    current: Generation,
    /// The last one first.
    kept: VecDeque<Generation>,
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
    Deploy(Deploy),
    RollBack {
        version: Option<String>,
    },
}

/// A deploy of version `number`, which is called so.
#[derive(Clone, Debug)]
pub struct Deploy {
    pub number: u32,
    pub libraries: Libraries,
    /// What must be the current version.
    pub if_version: Option<String>,
    pub tries: bool,
    /// Whether a library of it does not load.
    pub fails: bool,
}

/// What version `number` is called.
pub fn label(number: u32) -> String {
    format!("v{number}")
}

impl Deploy {
    fn words(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = ["DEPLOY", "VERSION", &label(self.number)].map(|word| word.into()).into();
        words.extend(self.if_version.iter().flat_map(|version| [b"IFVERSION".to_vec(), version.clone().into()]));
        words.extend(self.tries.then(|| b"TRY".to_vec()));
        words.extend(self.libraries.iter().map(|(library, edition)| code(*library, *edition).into_bytes()));
        words.extend(self.fails.then(|| b"#!lua name=bad\nreturn".to_vec()));
        words
    }
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
            Self::Deploy(deploy) => words.extend(deploy.words()),
            Self::RollBack { version } => {
                words.push(b"ROLLBACK".to_vec());
                words.extend(version.iter().flat_map(|version| [b"VERSION".to_vec(), version.clone().into()]));
            }
            Self::Flush { word } | Self::FlushScripts { word } => {
                words.push(b"FLUSH".to_vec());
                words.extend(word.map(|word| word.as_bytes().to_vec()));
            }
        }
        words
    }
}

/// What the server says of its version: in each place the same, and that it keeps no other one.
fn version(client: &mut Client) -> Option<String> {
    let versions = client.run("SHADOW.FUNCTION VERSIONS").items();
    assert_eq!(versions.len(), 1, "nothing is kept beyond the end of the server: {versions:?}");
    let version = versions[0].field("version").expect("a field of it");
    let version = (version != Value::Null).then(|| version.text());
    let libraries = client.run("SHADOW.FUNCTION LIST").items().len();
    assert_eq!(versions[0].field("libraries"), Some(Value::Integer(libraries as i64)));
    assert_eq!(client.info("shadow_version"), version);
    assert_eq!(client.run("SHADOW.FUNCTION STATS").field("version").map(|version| version.text()), version);
    version
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
        let Self { current, .. } = self;
        let libraries = &mut current.libraries;
        match change {
            Change::Load { library, edition, replace } => {
                let free = *replace || !libraries.contains_key(library);
                if free {
                    libraries.insert(*library, *edition);
                    current.note_change();
                }
                free
            }
            Change::Delete { library } => {
                let found = libraries.remove(library).is_some();
                if found {
                    current.note_change();
                }
                found
            }
            Change::Restore { contents, policy, .. } => {
                let new = &contents.current.libraries;
                let free = *policy != "APPEND" || !new.keys().any(|library| libraries.contains_key(library));
                if *policy == "FLUSH" {
                    self.flush();
                }
                if free && !new.is_empty() {
                    self.current.libraries.extend(new);
                    self.current.note_change();
                }
                free
            }
            Change::Flush { .. } => {
                self.flush();
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
            Change::Deploy(deploy) => {
                let Deploy { number, libraries, if_version, tries, fails } = deploy;
                let possible = !fails && (if_version.is_none() || *if_version == current.version);
                if possible && !tries {
                    self.supersede(Generation { libraries: libraries.clone(), version: Some(label(*number)) });
                }
                possible
            }
            Change::RollBack { version } => {
                let is_it = |kept: &Generation| version.is_none() || kept.version == *version;
                let found = self.kept.iter().position(is_it).and_then(|place| self.kept.remove(place));
                let possible = found.is_some();
                if let Some(generation) = found {
                    self.supersede(generation);
                }
                possible
            }
        }
    }

    fn flush(&mut self) {
        self.current = Generation::default();
        self.kept.clear();
    }

    /// Puts a generation in the place of the current one, which is kept unless it is empty.
    fn supersede(&mut self, next: Generation) {
        let old = std::mem::replace(&mut self.current, next);
        if !old.libraries.is_empty() {
            self.kept.push_front(old);
        }
        self.kept.truncate(KEPT);
    }

    /// What the current version is called.
    pub fn version(&self) -> Option<&str> {
        self.current.version.as_deref()
    }

    /// What stays of it when the server ends.
    pub fn lasting(&self) -> Self {
        Self { kept: VecDeque::new(), ..self.clone() }
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
            found.current.libraries.insert(library, edition as u32);
        }
        found.current.version = version(client);
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
