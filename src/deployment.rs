//! A deploy: a generation of exactly these libraries, built beside the current one on whatever thread.

use std::path::PathBuf;
use std::time::Duration;

use crate::directory::{self, GIVEN_UP};
use crate::engine::{Dialect, Host, LogLevel};
use crate::error::Error;
use crate::generation::Functions;
use crate::registry::{Label, SetHash, shebang};

/// What is to be built.
pub struct Deployment {
    pub sources: Sources,
    pub dialect: Dialect,
    /// Bytes that the VM may hold; 0 for no limit.
    pub memory_limit: usize,
    /// How long the body of each library may run; None for as long as it likes.
    pub time_limit: Option<Duration>,
    /// What it is called; None for the beginning of its hash.
    pub label: Option<Label>,
}

/// Where the libraries come from.
pub enum Sources {
    Texts(Texts),
    /// The library files of this directory.
    Directory(PathBuf),
}

/// Texts one after the other: there may be many, and each by itself would be an allocation.
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// These texts. They are looked at once: of a hundred thousand the cache has none, and the main thread waits for
    /// each.
    pub fn new<'t>(texts: impl ExactSizeIterator<Item = &'t [u8]>) -> Self {
        const MOST_AHEAD: usize = 16 << 20;
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(texts.len());
        for text in texts {
            if ends.is_empty() {
                // As if all were as long as the first, and a quarter.
                let expected = text.len().saturating_mul(ends.capacity()) / 4 * 5;
                bytes.reserve(expected.min(MOST_AHEAD).max(text.len()));
            }
            bytes.extend_from_slice(text);
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// What was built.
pub struct Built {
    pub generation: Box<Functions>,
    pub label: Label,
    pub hash: SetHash,
}

impl Deployment {
    /// Builds it. `is_given_up` is asked before each library.
    ///
    /// # Errors
    /// What is wrong with the first library that does not load, and its name; or it was given up. Nothing stays then.
    pub fn build(&self, host: &mut dyn Host, is_given_up: &dyn Fn() -> bool) -> Result<Built, Error> {
        let generation = match &self.sources {
            Sources::Texts(texts) => self.load(texts, host, is_given_up)?,
            Sources::Directory(path) => {
                let built = directory::build(path, &self.dialect, self.memory_limit, host, is_given_up);
                let (generation, files) = built.map_err(|sentence| Error::new(format!("ERR {sentence}")))?;
                if files.is_empty() {
                    return Err(Error::new(format!("ERR the directory '{}' has no library files", path.display())));
                }
                generation
            }
        };
        let hash = generation.registry().hash();
        let label = self.label.clone().unwrap_or_else(|| Label::of_hash(&hash));
        Ok(Built { generation: Box::new(generation), label, hash })
    }

    fn load(&self, texts: &Texts, host: &mut dyn Host, is_given_up: &dyn Fn() -> bool) -> Result<Functions, Error> {
        let mut generation = Functions::new(self.dialect.clone())?;
        generation.set_memory_limit(self.memory_limit);
        for (number, code) in (1..).zip(texts.iter()) {
            if is_given_up() {
                return Err(Error::new(format!("ERR {GIVEN_UP}")));
            }
            let loaded = generation.load(code, false, self.time_limit, host);
            loaded.map_err(|error| self.named(number, code, &error))?;
        }
        Ok(generation)
    }

    /// An error with the name of its library, or its place if it has none.
    fn named(&self, number: usize, code: &[u8], error: &Error) -> Error {
        let library = match shebang::parse(code, self.dialect.quoting()) {
            Ok(header) => format!("ERR Library '{}': ", header.name),
            Err(_) => format!("ERR Library number {number}: "),
        };
        let text = error.text().strip_prefix(b"ERR ").unwrap_or(error.text());
        Error::new([library.as_bytes(), text].concat())
    }
}

/// A host where there is no server: it keeps what the bodies log, for the main thread to write.
#[derive(Default)]
pub struct LogLines {
    lines: Vec<(LogLevel, Vec<u8>)>,
    bytes: usize,
    /// Lines that were too many.
    lost: u64,
}

/// The most bytes and lines that are kept.
const KEPT_BYTES: usize = 64 * 1024;
const KEPT_LINES: usize = 1_000;

impl LogLines {
    /// What was logged, in its order, and how many lines more there were.
    pub fn take(self) -> (Vec<(LogLevel, Vec<u8>)>, u64) {
        (self.lines, self.lost)
    }
}

impl Host for LogLines {
    fn log(&mut self, level: LogLevel, message: &[u8]) {
        if self.lines.len() < KEPT_LINES && self.bytes + message.len() <= KEPT_BYTES {
            self.bytes += message.len();
            self.lines.push((level, message.to_vec()));
        } else {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::engine::NoServer;

    fn deployment(texts: &[&str]) -> Deployment {
        Deployment {
            sources: Sources::Texts(Texts::new(texts.iter().map(|text| text.as_bytes()))),
            dialect: Dialect::default(),
            memory_limit: 0,
            time_limit: Some(Duration::from_millis(500)),
            label: None,
        }
    }

    fn build(texts: &[&str]) -> Result<Built, String> {
        deployment(texts).build(&mut NoServer, &|| false).map_err(|error| error.to_string())
    }

    fn source(name: &str) -> String {
        format!("#!lua name={name}\nredis.register_function('f_{name}', function() return '{name}' end)")
    }

    #[test]
    fn a_deploy_is_built_on_another_thread_and_used_on_this_one() {
        let texts: Vec<String> = (0..200).map(|number| source(&format!("l{number}"))).collect();
        let built = thread::spawn(move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            build(&texts).unwrap()
        });
        let Built { generation, label, hash } = built.join().unwrap();
        assert_eq!(generation.registry().library_count(), 200);
        assert_eq!(label.as_str(), &hash.to_string()[..12]);
        assert!(generation.registry().function(b"F_L199").is_some());
    }

    #[test]
    fn the_hash_is_that_of_the_set_whatever_its_order() {
        let (a, b) = (source("a"), source("b"));
        let hash = |texts: &[&str]| build(texts).unwrap().hash;
        assert_eq!(hash(&[&a, &b]), hash(&[&b, &a]));
        assert_ne!(hash(&[&a, &b]), hash(&[&a]));
    }

    #[test]
    fn an_error_names_its_library() {
        let fine = source("a");
        let error = |text: &str| build(&[&fine, text]).err().unwrap();
        assert_eq!(error("return 1"), "ERR Library number 2: Missing library metadata");
        assert_eq!(error(&fine), "ERR Library 'a': Library 'a' already exists");
        assert_eq!(error("#!lua name=b\nreturn 1"), "ERR Library 'b': No functions registered");
        assert!(error("#!lua name=b\nnot lua").starts_with("ERR Library 'b': Error compiling function: "));
    }

    #[test]
    fn a_directory_without_libraries_is_not_deployed() {
        let directory = tempfile::tempdir().unwrap();
        let sources = Sources::Directory(directory.path().to_owned());
        let error = Deployment { sources, ..deployment(&[]) }.build(&mut NoServer, &|| false).err().unwrap();
        assert!(error.text().ends_with(b"has no library files"));
    }

    #[test]
    fn a_deploy_that_nobody_waits_for_ends() {
        let built = deployment(&[&source("a")]).build(&mut NoServer, &|| true);
        assert_eq!(built.err().unwrap().text(), b"ERR the build was given up");
    }

    #[test]
    fn what_bodies_log_is_kept_up_to_a_bound() {
        let mut host = LogLines::default();
        for _ in 0..KEPT_LINES + 5 {
            host.log(LogLevel::Notice, b"x");
        }
        host.log(LogLevel::Notice, &[b'x'; KEPT_BYTES]);
        let (lines, lost) = host.take();
        assert_eq!((lines.len(), lost), (KEPT_LINES, 6));
    }
}
