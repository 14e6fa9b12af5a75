//! What the body of a library registers while it runs.

use super::error::ScriptError;
use crate::registry::FunctionFlags;

/// A function that a library registered while it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its name, valid and new to its library.
    pub name: Box<str>,
    /// What it says about itself, any bytes.
    pub description: Option<Box<[u8]>>,
    /// What it declares about itself.
    pub flags: FunctionFlags,
    /// The slot of its callback.
    pub slot: u32,
}

/// The library that is being loaded.
#[derive(Default)]
pub struct Registrations {
    /// What it has registered so far.
    pub functions: Vec<Registration>,
    /// Why the load fails although the body did not. The first refusal counts.
    pub refusal: Option<ScriptError>,
}
