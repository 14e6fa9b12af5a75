//! Libraries and their functions, as the registry keeps them.

use super::callback::Callback;
use super::flags::FunctionFlags;

/// A loaded library. Never changes once it is registered, but for what is counted of its calls: a replacement is
/// another library.
#[derive(Debug)]
pub struct Library {
    /// Its name; case matters.
    pub name: Box<str>,
    /// The whole code as it was sent, first line included.
    pub code: Box<[u8]>,
    /// Its functions, at least one, no two of the same name in any case.
    pub functions: Box<[Function]>,
    /// Bytes that it had taken in the VM when it was loaded.
    pub vm_bytes: usize,
    /// When it was loaded, in milliseconds since 1970.
    pub loaded_at: u64,
}

impl Library {
    /// Bytes that it takes outside of the VM: its source, its names and descriptions, and what finds them. Counted as
    /// they were asked for, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        // Beside the library in an `Arc` stand two counts.
        let functions = self.functions.iter().map(Function::bytes).sum::<usize>();
        2 * size_of::<usize>() + size_of::<Self>() + self.name.len() + self.code.len() + functions
    }
}

impl Function {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.description.as_ref().map_or(0, |text| text.len())
    }
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
    /// What is called.
    pub callback: Callback,
}
