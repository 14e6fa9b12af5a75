//! What is called in a VM.

/// What clients call: a VM runs calls of one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callable {
    /// What a library has registered.
    Function,
    /// What comes by EVAL.
    Script,
}

impl Callable {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Function, Self::Script];

    /// The name of the chunks that programs of it are compiled as; errors name it.
    pub const fn chunk(self) -> &'static [u8] {
        match self {
            Self::Function => b"@user_function",
            Self::Script => b"@user_script",
        }
    }

    /// What texts call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Script => "script",
        }
    }
}
