//! What the registry refuses, in the words the client reads.

use std::fmt;

use super::name::NAME_RULE;

/// A refusal. Its [`text`](Self::text) is the wire text, error code included, without the leading `-`.
///
/// Texts that echo the client hold its bytes as they came, line breaks included: whoever replies makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// The code does not start with `#!`.
    MissingMetadata,
    /// The first line does not end, or its quotes do not.
    InvalidMetadata,
    /// `name=` occurs twice.
    RepeatedName,
    /// A word of the first line that is not `name=`.
    UnknownMetadata(Vec<u8>),
    /// The first line names no library.
    MissingName,
    /// A name outside `[A-Za-z0-9_]+`.
    InvalidName,
    /// The first line asks for an engine that is not `lua`.
    EngineNotFound(Vec<u8>),
    /// A library of that name is loaded, and nobody said REPLACE.
    LibraryExists(Box<str>),
    /// The library ran and registered nothing.
    NoFunctions,
    /// Another library owns a function of that name, in this or another case.
    FunctionExists(Box<str>),
    /// No library has the name.
    LibraryNotFound,
    /// The payload is too short, of a wrong version or damaged.
    PayloadRefused,
    /// Something else than a library stands in the payload.
    NotAFunction,
    /// A library stands in the payload as the release candidates of 7.0 wrote it.
    PreGaFormat,
    /// This part of a library in the payload cannot be read.
    Unreadable(&'static str),
    /// The payload holds a library of the name of a loaded one, and nobody said REPLACE. Unlike
    /// [`LibraryExists`](Self::LibraryExists), its text has no quotes.
    LibraryCollides(Box<str>),
    /// Something is wrong with the first line of a script: the whole text.
    FirstLine(Vec<u8>),
}

impl RegistryError {
    /// The wire text, byte for byte.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::MissingMetadata => b"ERR Missing library metadata".to_vec(),
            Self::InvalidMetadata => b"ERR Invalid library metadata".to_vec(),
            Self::RepeatedName => b"ERR Invalid metadata value, name argument was given multiple times".to_vec(),
            Self::UnknownMetadata(token) => [b"ERR Invalid metadata value given: ", token.as_slice()].concat(),
            Self::MissingName => b"ERR Library name was not given".to_vec(),
            Self::InvalidName => [b"ERR ", NAME_RULE.as_bytes()].concat(),
            Self::EngineNotFound(engine) => [b"ERR Engine '", engine.as_slice(), b"' not found"].concat(),
            Self::LibraryExists(name) => [b"ERR Library '", name.as_bytes(), b"' already exists"].concat(),
            Self::NoFunctions => b"ERR No functions registered".to_vec(),
            Self::FunctionExists(name) => [b"ERR Function ", name.as_bytes(), b" already exists"].concat(),
            Self::LibraryNotFound => b"ERR Library not found".to_vec(),
            Self::PayloadRefused => b"ERR DUMP payload version or checksum are wrong".to_vec(),
            Self::NotAFunction => b"ERR given type is not a function".to_vec(),
            Self::PreGaFormat => b"ERR Pre-GA function format not supported".to_vec(),
            Self::Unreadable(part) => [b"ERR Failed loading ", part.as_bytes()].concat(),
            Self::LibraryCollides(name) => [b"ERR Library ", name.as_bytes(), b" already exists"].concat(),
            Self::FirstLine(text) => text.clone(),
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_the_wire_text() {
        let cases: [(RegistryError, &str); 17] = [
            (RegistryError::MissingMetadata, "ERR Missing library metadata"),
            (RegistryError::InvalidMetadata, "ERR Invalid library metadata"),
            (RegistryError::RepeatedName, "ERR Invalid metadata value, name argument was given multiple times"),
            (RegistryError::UnknownMetadata(b"flags=x".to_vec()), "ERR Invalid metadata value given: flags=x"),
            (RegistryError::MissingName, "ERR Library name was not given"),
            (
                RegistryError::InvalidName,
                "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                 character long",
            ),
            (RegistryError::EngineNotFound(b"js".to_vec()), "ERR Engine 'js' not found"),
            (RegistryError::LibraryExists("lib".into()), "ERR Library 'lib' already exists"),
            (RegistryError::NoFunctions, "ERR No functions registered"),
            (RegistryError::FunctionExists("f".into()), "ERR Function f already exists"),
            (RegistryError::LibraryNotFound, "ERR Library not found"),
            (RegistryError::PayloadRefused, "ERR DUMP payload version or checksum are wrong"),
            (RegistryError::NotAFunction, "ERR given type is not a function"),
            (RegistryError::PreGaFormat, "ERR Pre-GA function format not supported"),
            (RegistryError::Unreadable("library payload"), "ERR Failed loading library payload"),
            (RegistryError::LibraryCollides("lib".into()), "ERR Library lib already exists"),
            (RegistryError::FirstLine(b"ERR Invalid script shebang".into()), "ERR Invalid script shebang"),
        ];
        for (error, text) in cases {
            assert_eq!(error.text(), text.as_bytes());
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn client_bytes_survive_in_the_text() {
        let error = RegistryError::UnknownMetadata(b"\xff\r\n\0".to_vec());
        assert_eq!(error.text(), b"ERR Invalid metadata value given: \xff\r\n\0");
    }
}
