//! The error of a command, whose text goes over the wire. Errors of the layers below become one.

use std::fmt;

use crate::engine::ScriptError;
use crate::registry::RegistryError;

/// What a client reads after a panic.
pub const INTERNAL: &str = "ERR internal error in the shadow module, see the server's log";

/// A refusal or failure of a command. The text begins with the error code and has no leading dash. It can hold any
/// bytes, since scripts choose some of them: the reply replaces line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Vec<u8>);

impl Error {
    /// An error with the given wire text.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }

    /// The wire text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

impl From<&'static str> for Error {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        Self(error.text())
    }
}

impl From<ScriptError> for Error {
    fn from(error: ScriptError) -> Self {
        Self(error.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for Error {}
