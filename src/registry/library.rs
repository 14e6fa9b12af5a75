//! Libraries and their functions, as the registry keeps them.

use super::flags::FunctionFlags;

/// A loaded library. Never changes once it is registered: a replacement is another library.
#[derive(Debug)]
pub struct Library {
    /// Its name; case matters.
    pub name: Box<str>,
    /// The whole code as it was sent, first line included.
    pub code: Box<[u8]>,
    /// Its functions, at least one, no two of the same name in any case.
    pub functions: Box<[Function]>,
}

/// One function of a library.
#[derive(Debug)]
pub struct Function {
    /// Its name as registered; callers may use any case.
    pub name: Box<str>,
    /// What it says about itself, any bytes.
    pub description: Option<Box<[u8]>>,
    /// What it declares about itself.
    pub flags: FunctionFlags,
    /// Where the engine keeps its callback.
    pub slot: Slot,
}

/// The engine's handle of a callback. The registry only keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);
